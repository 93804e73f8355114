"""The contact sheets of the GANs: the same masses and the same masks, painted again and again while they train."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from mmengine.hooks import Hook
from numpy.typing import NDArray

from pipeline.gan.patches import Patches
from pipeline.gan.sheets import sheet
from pipeline.io import from_unit, read_image, to_unit, write_png
from pipeline.params import Gen
from pipeline.preprocess.trilabel import tri_label
from pipeline.rng import generator

PATCHES, TIMES = 10, 5  # columns of the sheet; rows of patches painted during training


class Painter(Protocol):
    """What is painted again and again: `painted(generator)` gives (PATCHES, P, P) float32."""

    def painted(self, network: torch.nn.Module) -> NDArray[np.float32]: ...


class Shown:
    """Fixed training patches, their labels and two draws of the noise."""

    def __init__(self, real: Patches, gen: Gen, seed: int, finish: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> None:
        self.finish = finish
        chosen = np.arange(PATCHES) * len(real) // PATCHES
        self.images, masks = real.images[chosen], real.masks[chosen]
        draws = [np.stack([generator(seed, "sample", int(i), k).random(self.images.shape[1:], np.float32) for i in chosen]) for k in (0, 1)]
        self.conditions = [tri_label(self.images, masks, noise, gen.labels, gen.margin / 256, gen.noise) for noise in draws]

    def painted(self, network: torch.nn.Module, draw: int = 0) -> NDArray[np.float32]:
        """(PATCHES, P, P) float32, not clipped. draw: 0 or 1."""
        with torch.inference_mode():
            condition = torch.from_numpy(self.conditions[draw]).to(next(network.parameters()).device)
            found: NDArray[np.float32] = self.finish(condition, network(condition))[:, 0].float().cpu().numpy()
        return found

    def sheet(self, network: torch.nn.Module, folder: Path) -> NDArray[np.uint8]:
        """Real patches, labels, the rows that `Snapshots` left in `folder`, and what the trained network paints with both draws."""
        during, when = left_in(folder)
        labels = self.conditions[0].swapaxes(0, 1)
        names = [*["tissue, noise", "mask", "margin"][: len(labels)], *when]
        rows = [self.images, *labels, *during, self.painted(network), self.painted(network, 1)]
        return sheet([list(row) for row in rows], ["real", *names, "trained", "other noise"])


class ShownMasks:
    """Fixed training masks, and fixed latent vectors of a mask GAN."""

    def __init__(self, masks: NDArray[np.bool_], z_dim: int, seed: int) -> None:
        self.masks = masks[np.arange(2 * PATCHES) * len(masks) // (2 * PATCHES)].astype(np.float32)
        self.latent = np.stack([generator(seed, "sample mask", i).uniform(-1, 1, z_dim) for i in range(PATCHES)]).astype(np.float32)

    def painted(self, network: torch.nn.Module) -> NDArray[np.float32]:
        """(PATCHES, P, P) float32 in [0, 1]: before the threshold. Leaves the statistics of batch normalisation as they are."""
        training = network.training
        network.eval()
        with torch.inference_mode():
            latent = torch.from_numpy(self.latent).to(next(network.parameters()).device)
            found: NDArray[np.float32] = ((network(latent)[:, 0].float() + 1) / 2).cpu().numpy()
        network.train(training)
        return found

    def sheet(self, network: torch.nn.Module, folder: Path, accepted: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """Real masks, the rows that `Snapshots` left in `folder`, what the trained network draws, and `accepted` masks (N, P, P)."""
        during, when = left_in(folder)
        whole = len(accepted) // PATCHES
        chosen = accepted[: whole * PATCHES].astype(np.float32).reshape(whole, PATCHES, *accepted.shape[1:])
        rows = [self.masks[:PATCHES], self.masks[PATCHES:], *during, self.painted(network), *chosen]
        return sheet([list(row) for row in rows], ["real", "real", *when, "trained", *["accepted"] * whole])


def left_in(folder: Path) -> tuple[list[list[NDArray[np.float32]]], list[str]]:
    """Rows that `Snapshots` wrote into `folder`, in the order of training, and their captions."""
    files = sorted(folder.glob("painted_*.png"))
    rows = [np.split(to_unit(read_image(file)), PATCHES, 1) for file in files]
    return rows, [f"iteration {int(file.stem.split('_')[1])}" for file in files]


class Snapshots(Hook):
    """Paints the same things `TIMES` times in the course of a training, into `painted_<iteration>.png` of its state folder.

    It is the generator as it is then, without averaging, so that an oscillation or a collapse is seen.
    """

    priority = "VERY_LOW"

    def __init__(self, shown: Painter, folder: Path) -> None:
        self.shown, self.folder = shown, folder

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        done, total = runner.iter + 1, runner.max_iters
        if runner.rank == 0 and done < total and done * (TIMES + 1) // total > (done - 1) * (TIMES + 1) // total:
            row = np.concatenate(list(self.shown.painted(runner.model.generator)), 1)
            write_png(self.folder / f"painted_{done:09d}.png", from_unit(row, np.uint8))
