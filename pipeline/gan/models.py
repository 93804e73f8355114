"""The folder of a trained generator: `model.pth`, `meta.json`, `losses.csv`, `samples.png`."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline import version
from pipeline.errors import PipelineError
from pipeline.io import atomic_folder, read_json, sha256, write_json, write_png
from pipeline.preprocess import trilabel
from pipeline.training import engine
from pipeline.training.checkpoints import load_state, save_state

CODE = [Path(__file__).parent, Path(engine.__file__).parent, Path(trilabel.__file__)]  # what the state of a training depends on

WEIGHTS, JUDGE = "model.pth", "discriminator.pth"


def write(
    target: Path,
    network: torch.nn.Module,
    meta: dict[str, Any],
    losses: Path,
    samples: NDArray[np.uint8],
    judge: torch.nn.Module | None = None,
) -> None:
    """Write the folder as a whole or not at all. judge: the discriminator, where it is wanted after training."""
    with atomic_folder(target) as folder:
        for name, part in ((WEIGHTS, network), (JUDGE, judge)):
            if part is not None:
                save_state(folder / name, {key: tensor.contiguous() for key, tensor in part.state_dict().items()})
        write_json(folder / "meta.json", {**meta, version.KEY: version.VERSION})
        shutil.copyfile(losses, folder / "losses.csv")
        write_png(folder / "samples.png", samples)


def read_meta(folder: Path) -> dict[str, Any]:
    """meta.json, and the hash of the weights as `sha256`."""
    return {**read_json(folder / "meta.json"), "sha256": sha256(folder / WEIGHTS)}


def read_weights(folder: Path, network: torch.nn.Module, name: str = WEIGHTS) -> torch.nn.Module:
    """`network` with the weights of the folder, for inference. Raises PipelineError where they do not fit."""
    try:
        with version.reading(folder / name, read_json(folder / "meta.json")):
            network.load_state_dict(load_state(folder / name))
    except (TypeError, AttributeError) as error:
        raise PipelineError(f"{folder / name}: does not fit meta.json ({str(error).splitlines()[0]}); train again") from None
    return network.eval().requires_grad_(False).to(memory_format=torch.channels_last)
