"""The mask GAN: training, and sampling of masks that are clean and plausible (paper 3.1 and 4.2)."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dist import is_main_process
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from pipeline import resume, version
from pipeline.errors import PipelineError
from pipeline.gan import models, patches, variety
from pipeline.gan.adversarial import Gan, adam
from pipeline.gan.dcgan import MaskDiscriminator, MaskGenerator
from pipeline.gan.snapshots import ShownMasks, Snapshots
from pipeline.params import Masks, Runtime
from pipeline.rng import generator
from pipeline.training import engine, parallel
from pipeline.training.precision import resolved

ATTEMPTS = 200
FRAGMENTS = 0.1  # share of the foreground outside of the largest component from which a mask counts as broken


class MaskGan(Gan):
    """DCGAN with the minimax loss in its non-saturating form (paper eq. 2)."""

    def __init__(self, patch_px: int, z_dim: int, width: int) -> None:
        super().__init__(MaskGenerator(patch_px, z_dim, width), MaskDiscriminator(patch_px, width))
        self.z_dim = z_dim

    def paint(self, data: Any) -> Tensor:
        latent = parallel.mine(torch.rand(len(data) * parallel.processes(), self.z_dim, device=data.device))
        drawn: Tensor = self.generator(latent * 2 - 1)
        return drawn

    def judge(self, data: Any, image: Tensor) -> Any:
        return self.discriminator(image)

    def real(self, data: Any) -> Tensor:
        return torch.as_tensor(data)

    def wanted(self, data: Any, painted: Tensor, logits: Tensor) -> dict[str, Tensor]:
        return {"generator": self.adversarial.generator(logits)}


def train(source: Path, target: Path, params: Masks, runtime: Runtime, seed: int, state: Path = resume.ROOT) -> None:
    """Train the mask GAN on the training patches of `source` and write the folder `target` (docs/architecture.md).

    An interrupted training goes on from its last checkpoint below `state`.
    Raises PipelineError where hardly any of its masks is plausible after training, or all are alike.
    """
    real = patches.read(source, ["train"])
    key = resume.fingerprint([params.model_dump(), runtime.model_dump(), resolved(runtime.precision), seed], [source, *models.CODE])
    folder = resume.folder("train_masks", key, state)
    shown = ShownMasks(real.masks, params.z_dim, seed)
    gan = engine.fit(
        lambda: MaskGan(real.patch_px, params.z_dim, params.width),
        adam(params.lr, (params.betas[0], params.betas[1])),
        patches.MaskSamples(real, seed, params.edge),
        what="mask GAN",
        state=folder,
        iterations=params.iterations,
        batch=params.batch,
        seed=seed,
        threads=runtime.threads,
        precision=runtime.precision,
        workers=runtime.workers,
        average=params.ema,
        custom_hooks=[Snapshots(shown, folder)],
    )
    if not is_main_process():
        return
    meta = {
        "patch_px": real.patch_px,
        "patients": sorted(set(real.patients)),
        "precision": resolved(runtime.precision),
        "seed": seed,
        **params.model_dump(include={"z_dim", "width", "iterations", "min_area", "max_area"}),
    }
    sampler = MaskSampler(gan.generator, meta)
    drawn = np.stack([sampler.sample(seed, item, 0) for item in range(variety.SHOWN)])
    meta["variety"] = variety.check("masks", variety.of_masks(drawn), variety.of_masks(real.masks), folder / "losses.csv")
    models.write(target, gan.generator, meta, folder / "losses.csv", shown.sheet(gan.generator, folder, drawn))
    resume.done(folder)


def load(folder: Path) -> "MaskSampler":
    """The mask GAN of `folder`, as written by `train`."""
    meta = models.read_meta(folder)
    with version.reading(folder / "meta.json", meta):
        network = MaskGenerator(meta["patch_px"], meta["z_dim"], meta["width"])
    return MaskSampler(models.read_weights(folder, network), meta)


class MaskSampler:
    """Draws masks from a trained generator; `meta` is its meta.json."""

    def __init__(self, network: torch.nn.Module, meta: dict[str, Any]) -> None:
        self.network, self.meta = network.eval(), meta

    def raw(self, seed: int, *stream: int) -> NDArray[np.bool_]:
        """(P, P) bool: what the generator draws for one latent vector, neither cleaned nor checked."""
        z = generator(seed, "mask", *stream).uniform(-1, 1, (1, self.meta["z_dim"]))
        with torch.inference_mode():
            drawn: NDArray[np.bool_] = (self.network(torch.from_numpy(z).float())[0, 0] > 0).numpy()
        return drawn

    def sample(self, seed: int, item: int, attempt: int) -> NDArray[np.bool_]:
        """(P, P) bool: one component without holes, of plausible area; a function of (seed, item, attempt) and the model.

        Masks that fail the check are drawn again from the next stream. Raises PipelineError after `ATTEMPTS` of them.
        """
        for attempts in range(ATTEMPTS):
            mask = accepted(self.raw(seed, item, attempt, attempts), self.meta["min_area"], self.meta["max_area"])
            if mask is not None:
                return mask
        raise PipelineError(
            f"the mask GAN drew {ATTEMPTS} masks for item {item} and none is one component inside the patch with an area of "
            f"{self.meta['min_area']} to {self.meta['max_area']} of it: too short a training, or mode collapse; look at "
            f"samples.png and losses.csv of the model, change masks.iterations ({self.meta['iterations']}), masks.lr or seed"
        )


def accepted(drawn: NDArray[np.bool_], min_area: float, max_area: float) -> NDArray[np.bool_] | None:
    """The mask without white noise and holes, None where it is implausible.

    drawn: (P, P) bool. White noise is removed as components other than the largest, holes are filled. (A median filter, which
    removes noise too, makes real outlines rounder.)
    Implausible is a mask that was broken (more than `FRAGMENTS` of it outside of the largest component), that touches the
    border of the patch (the real ones are padded), or whose area is not within [min_area, max_area], shares of the patch.
    """
    labels, count = ndimage.label(drawn)
    if not count:
        return None
    areas = np.bincount(labels.ravel())[1:]
    if areas.sum() - areas.max() > FRAGMENTS * areas.sum():
        return None
    mask: NDArray[np.bool_] = ndimage.binary_fill_holes(labels == areas.argmax() + 1)
    border = mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any()
    return mask if not border and min_area <= mask.mean() <= max_area else None
