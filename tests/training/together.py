"""A few steps of every kind of training, in fp32; `torchrun -m tests.training.together FOLDER` does them in several processes."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.detection.train import train
from pipeline.gan import infill, masks, patches
from pipeline.gan.adversarial import adam
from pipeline.params import GenTrain, Runtime
from pipeline.preprocess.trilabel import CHANNELS
from pipeline.rng import generator
from pipeline.training import engine, hooks
from tests.detection.conftest import DETECTOR

BATCH, STEPS, SIDE = 4, 4, 32
RUNTIME = Runtime(threads=1, precision="fp32", workers=0)
TRAIN = GenTrain.model_validate(
    {
        "iterations": STEPS, "batch": BATCH, "lr": 0.0002, "betas": [0.5, 0.999], "discriminator_width": 4, "perceptual_weight": 10.0,
        "perceptual_layers": [], "ema": 0.9,
    }
)  # fmt: skip


def real() -> patches.Patches:
    """Discs of very different sizes, so that processes have different numbers of decisions about holes."""
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    drawn = np.stack([x**2 + y**2 < (3 + 1.2 * item) ** 2 for item in range(9)])
    tissue = np.stack([generator(0, "tissue", item).random((SIDE, SIDE), np.float32) for item in range(9)])
    return patches.Patches(tissue, drawn, [str(item) for item in range(9)], [str(item) for item in range(9)])


def gan(build: Any, samples: Any, state: Path) -> Any:
    return engine.fit(
        build, adam(TRAIN.lr, (0.5, 0.999)), samples, what=state.name, state=state, iterations=STEPS, batch=BATCH, seed=2, threads=1,
        precision="fp32", average=TRAIN.ema,
    )  # fmt: skip


def run(folder: Path, annotations: Path) -> None:
    """Write the losses of each training to folder/<name>/losses.csv or below it."""
    infilling = infill.build("unet", "tri", SIDE, 4)
    finish = infill.finishing("mask", True)

    def painter() -> infill.InfillGan:
        hooks.seed_all(5)
        return infill.InfillGan(infilling, CHANNELS["tri"], SIDE, None, TRAIN, "bce", finish)

    hooks.seed_all(4)
    for module in infilling.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    gan(painter, patches.InfillSamples(real(), 3, "tri", 296 / 256), folder / "infill")
    drawer = gan(lambda: masks.MaskGan(SIDE, 8, 4), patches.MaskSamples(real(), 3, 0.0), folder / "masks")
    if engine.parallel.mine(torch.arange(2))[0] == 0:
        torch.save({name: value for name, value in drawer.state_dict().items() if "running" in name}, folder / "statistics.pth")
    for arch in ("light_head", "retinanet"):
        detector = DETECTOR.model_copy(update={"arch": arch, "iterations": STEPS, "lr": 0.0001, "ratios": [0.5, 1.0, 2.0]})
        train(annotations, folder / arch / "0", detector, RUNTIME, 3, folder / "state")


if __name__ == "__main__":
    run(Path(sys.argv[1]), Path(sys.argv[2]))
