"""The infilling GAN: training, and painting of masses into tissue (paper 3.2, 4.1 and 4.3)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.dist import is_main_process
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline import resume, version
from pipeline.errors import PipelineError
from pipeline.gan import layers, models, patches, variety
from pipeline.gan.adversarial import Gan, adam
from pipeline.gan.crn import CascadedRefinement, Spade
from pipeline.gan.losses import VggFeatures, feature_matching, load_vgg
from pipeline.gan.patchgan import PatchGAN
from pipeline.gan.snapshots import Shown, Snapshots
from pipeline.gan.unet import UNet
from pipeline.params import Gen, GenTrain, Runtime
from pipeline.preprocess.trilabel import CHANNELS, Labels, Noise, tri_label
from pipeline.rng import generator
from pipeline.training import engine, parallel
from pipeline.training.precision import resolved

GENERATORS: dict[str, type[nn.Module]] = {"unet": UNet, "crn": CascadedRefinement, "spade": Spade}


def build(arch: str, labels: Labels, patch_px: int, width: int, noise: Noise = "mask") -> nn.Module:
    """A generator by its name in `GENERATORS`."""
    if arch not in GENERATORS:
        raise PipelineError(f"gen.arch {arch} unknown; choose {' or '.join(GENERATORS)}")
    return GENERATORS[arch](CHANNELS[labels], patch_px, width, noise == "mask+margin")


def decisions_near_hole(condition: Tensor, logits: Tensor) -> Tensor:
    """(N, 1, D, D) bool: decisions of the PatchGAN whose middle lies on the mask or margin of the condition (N, C, P, P).

    Elsewhere the image is the tissue that the generator was given, and there is nothing to decide.
    """
    return F.adaptive_max_pool2d(condition[:, 1:].amax(1, keepdim=True), logits.shape[-1]) > 0


def finishing(noise: Noise, strength: float) -> Callable[[Tensor, Tensor], Tensor]:
    """What is done to a painted image (N, 1, P, P), given its condition: grain is added, where there is noise to make it of.

    strength: of `gen.grain`, 1 for as much as the tissue around has, 0 for none.
    """

    def finish(condition: Tensor, painted: Tensor) -> Tensor:
        if not strength or noise == "none":
            return painted
        centred = layers.centred(condition)
        return painted + strength * layers.grain(centred, layers.hole(centred, noise == "mask+margin"))

    return finish


class InfillGan(Gan):
    """Adversarial loss (paper eq. 3) and weighted feature matching (eq. 4)."""

    def __init__(
        self,
        network: nn.Module,
        channels: int,
        patch_px: int,
        features: VggFeatures | None,
        train: GenTrain,
        loss: str = "bce",
        finish: Callable[[Tensor, Tensor], Tensor] = lambda condition, painted: painted,
    ) -> None:
        super().__init__(network, PatchGAN(channels, patch_px, train.discriminator_width), loss)
        self.finish = finish
        self.weight = train.perceptual_weight
        self.frozen = [features]  # in a list: neither trained, averaged nor saved

    def paint(self, data: Any) -> Tensor:
        painted: Tensor = self.generator(data["condition"])
        return painted

    def seen(self, data: Any, painted: Tensor) -> Tensor:
        return self.finish(data["condition"], painted)

    def judge(self, data: Any, image: Tensor) -> Any:
        """(K,) logits: the decisions about the holes alone."""
        logits = self.discriminator(data["condition"], image)
        return logits[decisions_near_hole(data["condition"], logits)]

    def real(self, data: Any) -> Tensor:
        image: Tensor = data["image"]
        return image

    def wanted(self, data: Any, painted: Tensor, logits: Tensor) -> dict[str, Tensor]:
        features = self.frozen[0].to(painted.device) if self.frozen[0] else None
        matching = feature_matching(data["image"], painted, features)
        return {
            "adversarial": parallel.weighted(self.adversarial.generator(logits), len(logits)),
            "feature_matching": self.weight * matching,
        }


def train(
    real: patches.Patches,
    weights: Path,
    target: Path,
    gen: Gen,
    perceptual: str,
    runtime: Runtime,
    seed: int,
    state: Path = resume.ROOT,
    stage: str = "train_infill",
) -> None:
    """Train the infilling GAN on patches and write the folder `target` (docs/architecture.md).

    weights: folder of the stage weights. perceptual: vgg16, vgg19 or none. An interrupted training goes on from its last
    checkpoint below `state`, in the folder `stage`. Raises PipelineError where it paints the same mass everywhere.
    """
    features, used = load_vgg(weights, perceptual, gen.train.perceptual_layers)
    width = getattr(gen, gen.arch).width
    meta = {
        **gen.model_dump(include={"arch", "labels", "margin", "noise", "grain", "loss"}),
        "width": width,
        "discriminator_width": gen.train.discriminator_width,
        "patch_px": real.patch_px,
        "patients": sorted({*real.patients, *real.donors}),
        "iterations": gen.train.iterations,
        "perceptual": used,
        "precision": resolved(runtime.precision),
        "seed": seed,
    }
    key = resume.fingerprint([meta, gen.train.model_dump(), runtime.model_dump(), real.digest()], models.CODE)
    folder = resume.folder(stage, key, state)
    shown = Shown(real, gen, seed, finishing(gen.noise, gen.grain))
    gan = engine.fit(
        lambda: InfillGan(
            build(gen.arch, gen.labels, real.patch_px, width, gen.noise),
            CHANNELS[gen.labels],
            real.patch_px,
            features,
            gen.train,
            gen.loss,
            finishing(gen.noise, gen.grain),
        ),
        adam(gen.train.lr, (gen.train.betas[0], gen.train.betas[1])),
        patches.InfillSamples(real, seed, gen.labels, gen.margin / 256, gen.noise),
        what=f"infilling GAN ({gen.arch}, {stage})",
        state=folder,
        iterations=gen.train.iterations,
        batch=gen.train.batch,
        seed=seed,
        threads=runtime.threads,
        precision=runtime.precision,
        workers=runtime.workers,
        average=gen.train.ema,
        custom_hooks=[Snapshots(shown, folder)],
    )
    if not is_main_process():
        return
    meta["variety"] = checked_variety(Infiller(gan.generator, meta, gan.discriminator), real, seed, folder / "losses.csv")
    models.write(target, gan.generator, meta, folder / "losses.csv", shown.sheet(gan.generator, folder), gan.discriminator)
    resume.done(folder)


def checked_variety(infiller: "Infiller", real: patches.Patches, seed: int, losses: Path) -> float | None:
    """How much painted masses vary, as a share of the real ones (`variety`). Raises PipelineError where they are all the same."""
    images, masks = real.images[: variety.SHOWN], real.masks[: variety.SHOWN]
    noise = np.stack([generator(seed, "variety", item).random(images.shape[1:], np.float32) for item in range(len(images))])
    painted = infiller.fill(images, masks, noise)
    return variety.check("masses", variety.of_masses(painted, masks), variety.of_masses(images, masks), losses)


def load(folder: Path) -> "Infiller":
    """The infilling GAN of `folder`, as written by `train`."""
    meta = models.read_meta(folder)
    with version.reading(folder / "meta.json", meta):
        network = build(meta["arch"], meta["labels"], meta["patch_px"], meta["width"], meta["noise"])
        judge = PatchGAN(CHANNELS[cast(Labels, meta["labels"])], meta["patch_px"], meta["discriminator_width"])
    return Infiller(models.read_weights(folder, network), meta, models.read_weights(folder, judge, models.JUDGE))


class Infiller:
    """Paints masses into tissue with a trained generator; `meta` is its meta.json, `patch_px` the side P of its patches."""

    def __init__(self, network: nn.Module, meta: dict[str, Any], discriminator: nn.Module) -> None:
        self.network, self.meta, self.patch_px = network.eval(), meta, int(meta["patch_px"])
        self.discriminator, self.finish = discriminator.eval(), finishing(meta["noise"], meta["grain"])

    def condition(self, tissue: NDArray[np.float32], masks: NDArray[np.bool_], noise: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, C, P, P) float32: the labels that the generator was trained with. Arguments as of `fill`."""
        labels, noise_in = cast(Labels, self.meta["labels"]), cast(Noise, self.meta["noise"])
        return tri_label(tissue, masks, noise, labels, self.meta["margin"] / 256, noise_in)

    def fill(
        self, tissue: NDArray[np.float32], masks: NDArray[np.bool_], noise: NDArray[np.float32], contrast: float = 1.0
    ) -> NDArray[np.float32]:
        """Patches with a mass painted into each mask.

        tissue, noise: (N, P, P) float32 in [0, 1], noise uniform; masks: (N, P, P) bool, none empty. contrast: factor of what
        is painted onto the tissue that closes the hole (`layers.interpolated`); grain stays as it is.
        Returns (N, P, P) float32 in [0, 1]. Raises ValueError where shapes differ or a mask is empty.
        """
        if tissue.shape[1:] != (self.patch_px, self.patch_px):
            raise ValueError(f"tissue is {tissue.shape}; patches of {self.patch_px} px are needed")
        condition = torch.from_numpy(self.condition(tissue, masks, noise))
        with torch.inference_mode():
            painted_on = self.network(condition).float()
            if contrast != 1:
                painted_on = torch.lerp(self._closed(condition), painted_on, contrast)
            image = self.finish(condition, painted_on)
            painted: NDArray[np.float32] = image[:, 0].clamp(0, 1).numpy()
        return painted

    def _closed(self, condition: Tensor) -> Tensor:
        """(N, 1, P, P) in [0, 1]: the tissue of a condition (N, C, P, P) with its hole closed smoothly."""
        centred = layers.centred(condition)
        return (layers.interpolated(centred, layers.hole(centred, self.meta["noise"] == "mask+margin"))[:, :1] + 1) / 2

    def judge(
        self, tissue: NDArray[np.float32], masks: NDArray[np.bool_], noise: NDArray[np.float32], painted: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """(N,) how real the trained discriminator takes painted patches for: mean logit of its decisions near the hole.

        Arguments as of `fill`; painted: what it returned. Comparable between patches of one generator alone.
        """
        condition = torch.from_numpy(self.condition(tissue, masks, noise))
        with torch.inference_mode():
            logits = self.discriminator(condition, torch.from_numpy(painted)[:, None]).float()
            near = decisions_near_hole(condition, logits)
            found: NDArray[np.float32] = ((logits * near).sum((1, 2, 3)) / near.sum((1, 2, 3))).numpy()
        return found
