"""The infilling GAN: training, and painting of masses into tissue (paper 3.2, 4.1 and 4.3)."""

from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline import resume
from pipeline.errors import PipelineError
from pipeline.gan import models, patches
from pipeline.gan.adversarial import Gan, adam
from pipeline.gan.crn import CascadedRefinement, Spade
from pipeline.gan.losses import VggFeatures, feature_matching, load_vgg
from pipeline.gan.patchgan import PatchGAN
from pipeline.gan.sheets import sheet
from pipeline.gan.unet import UNet
from pipeline.params import Gen, GenTrain, Runtime
from pipeline.preprocess.trilabel import CHANNELS, Labels, Noise, tri_label
from pipeline.rng import generator
from pipeline.training import engine

GENERATORS: dict[str, type[nn.Module]] = {"unet": UNet, "crn": CascadedRefinement, "spade": Spade}
SHOWN = 10  # patches of samples.png


def build(arch: str, labels: Labels, patch_px: int, width: int, noise: Noise = "mask") -> nn.Module:
    """A generator by its name in `GENERATORS`."""
    if arch not in GENERATORS:
        raise PipelineError(f"gen.arch {arch} unknown; choose {' or '.join(GENERATORS)}")
    return GENERATORS[arch](CHANNELS[labels], patch_px, width, noise == "mask+margin")


class InfillGan(Gan):
    """Adversarial loss (paper eq. 3) and weighted feature matching (eq. 4)."""

    def __init__(
        self, network: nn.Module, channels: int, patch_px: int, features: VggFeatures | None, train: GenTrain, loss: str = "bce"
    ) -> None:
        super().__init__(network, PatchGAN(channels, patch_px, train.discriminator_width), loss)
        self.weight = train.perceptual_weight
        self.frozen = [features]  # in a list: neither trained, averaged nor saved

    def paint(self, data: Any) -> Tensor:
        painted: Tensor = self.generator(data["condition"])
        return painted

    def judge(self, data: Any, image: Tensor) -> Any:
        return self.discriminator(data["condition"], image)

    def real(self, data: Any) -> Tensor:
        image: Tensor = data["image"]
        return image

    def wanted(self, data: Any, painted: Tensor, logits: Tensor) -> dict[str, Tensor]:
        features = self.frozen[0].to(painted.device) if self.frozen[0] else None
        matching = feature_matching(data["image"], painted, features)
        return {"adversarial": self.adversarial.generator(logits), "feature_matching": self.weight * matching}


def train(
    source: Path, weights: Path, target: Path, gen: Gen, perceptual: str, runtime: Runtime, seed: int, state: Path = resume.ROOT
) -> None:
    """Train the infilling GAN on the training patches of `source` and write the folder `target` (docs/architecture.md).

    weights: folder of the stage weights. perceptual: vgg16, vgg19 or none. An interrupted training goes on from its last
    checkpoint below `state`.
    """
    real = patches.read(source, ["train"])
    features, used = load_vgg(weights, perceptual, gen.train.perceptual_layers)
    width = getattr(gen, gen.arch).width
    meta = {
        **gen.model_dump(include={"arch", "labels", "margin", "noise", "loss"}),
        "width": width,
        "patch_px": real.patch_px,
        "patients": sorted(set(real.patients)),
        "iterations": gen.train.iterations,
        "perceptual": used,
        "seed": seed,
    }
    key = resume.fingerprint([meta, gen.train.model_dump(), runtime.model_dump()], [source, *models.CODE])
    folder = resume.folder("train_infill", key, state)
    gan = engine.fit(
        lambda: InfillGan(
            build(gen.arch, gen.labels, real.patch_px, width, gen.noise), CHANNELS[gen.labels], real.patch_px, features, gen.train, gen.loss
        ),
        adam(gen.train.lr, (gen.train.betas[0], gen.train.betas[1])),
        patches.InfillSamples(real, seed, gen.labels, gen.margin / 256, gen.noise),
        what=f"infilling GAN ({gen.arch})",
        state=folder,
        iterations=gen.train.iterations,
        batch=gen.train.batch,
        seed=seed,
        threads=runtime.threads,
        precision=runtime.precision,
        workers=runtime.workers,
        average=gen.train.ema,
    )
    infiller = Infiller(gan.generator, meta)
    models.write(target, gan.generator, meta, folder / "losses.csv", _samples(infiller, real, seed))
    resume.done(folder)


def load(folder: Path) -> "Infiller":
    """The infilling GAN of `folder`, as written by `train`."""
    meta = models.read_meta(folder)
    network = build(meta["arch"], meta["labels"], meta["patch_px"], meta["width"], meta["noise"])
    return Infiller(models.read_weights(folder, network), meta)


class Infiller:
    """Paints masses into tissue with a trained generator; `meta` is its meta.json, `patch_px` the side P of its patches."""

    def __init__(self, network: nn.Module, meta: dict[str, Any]) -> None:
        self.network, self.meta, self.patch_px = network.eval(), meta, int(meta["patch_px"])

    def condition(self, tissue: NDArray[np.float32], masks: NDArray[np.bool_], noise: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, C, P, P) float32: the labels that the generator was trained with. Arguments as of `fill`."""
        labels, noise_in = cast(Labels, self.meta["labels"]), cast(Noise, self.meta["noise"])
        return tri_label(tissue, masks, noise, labels, self.meta["margin"] / 256, noise_in)

    def fill(self, tissue: NDArray[np.float32], masks: NDArray[np.bool_], noise: NDArray[np.float32]) -> NDArray[np.float32]:
        """Patches with a mass painted into each mask.

        tissue, noise: (N, P, P) float32 in [0, 1], noise uniform; masks: (N, P, P) bool, none empty.
        Returns (N, P, P) float32 in [0, 1]. Raises ValueError where shapes differ or a mask is empty.
        """
        if tissue.shape[1:] != (self.patch_px, self.patch_px):
            raise ValueError(f"tissue is {tissue.shape}; patches of {self.patch_px} px are needed")
        condition = torch.from_numpy(self.condition(tissue, masks, noise))
        with torch.inference_mode():
            painted: NDArray[np.float32] = self.network(condition)[:, 0].clamp(0, 1).float().numpy()
        return painted


def _samples(infiller: Infiller, real: patches.Patches, seed: int) -> NDArray[np.uint8]:
    """Fixed training patches: as they are, their labels, and painted again with two draws of the noise."""
    chosen = np.arange(SHOWN) * len(real) // SHOWN
    images, masks = real.images[chosen], real.masks[chosen]
    draws = [np.stack([generator(seed, "sample", int(i), k).random(images.shape[1:], np.float32) for i in chosen]) for k in range(2)]
    labels = list(infiller.condition(images, masks, draws[0]).swapaxes(0, 1))
    painted = [infiller.fill(images, masks, noise) for noise in draws]
    names = ["tissue, noise", "mask", "margin"][: len(labels)]
    return sheet([list(row) for row in (images, *labels, *painted)], ["real", *names, "painted", "other noise"])
