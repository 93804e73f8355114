"""Pools that put a mass into a host. All share the places, so that image i differs in the mass alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline import leaks
from pipeline.io import to_unit
from pipeline.preprocess.geometry import resize
from pipeline.preprocess.trilabel import margin
from pipeline.rng import generator
from pipeline.synthesis.blending import feather_alpha, soft_alpha
from pipeline.synthesis.placement import MASK_TRIES, Place, Placer, ellipse
from pipeline.synthesis.pool import CHUNK, Made, Method
from pipeline.synthesis.scene import Scene, open_scene, unlabelled
from pipeline.synthesis.sources import Patch, Sources


@dataclass(frozen=True)
class MaskSource:
    """Where masks come from: draw(item, attempt) -> (P, P) bool; manifest and patients go to the pool's manifest."""

    manifest: dict[str, Any]
    draw: Callable[[int, int], NDArray[np.bool_]]
    patients: frozenset[str]


class MaskSampler(Protocol):
    """What is needed of a trained mask GAN (pipeline.gan.masks.load)."""

    meta: dict[str, Any]

    def sample(self, seed: int, item: int, attempt: int) -> NDArray[np.bool_]: ...


class Infiller(Protocol):
    """What is needed of a trained infilling generator (pipeline.gan.infill.load)."""

    patch_px: int
    meta: dict[str, Any]

    def fill(
        self, tissue: NDArray[np.float32], masks: NDArray[np.bool_], noise: NDArray[np.float32], contrast: float = 1.0
    ) -> NDArray[np.float32]: ...

    def judge(
        self, tissue: NDArray[np.float32], masks: NDArray[np.bool_], noise: NDArray[np.float32], painted: NDArray[np.float32]
    ) -> NDArray[np.float32]: ...


class Experiment(Protocol):
    """What is needed of an experiment (`Sources`): its seed, and its training patients."""

    @property
    def seed(self) -> int: ...

    @property
    def training(self) -> frozenset[str]: ...


def real_masks(sources: Sources) -> MaskSource:
    """Masks of real training masses, drawn at random."""

    def draw(item: int, attempt: int) -> NDArray[np.bool_]:
        rng = generator(sources.seed, "real mask", item, attempt)
        return sources.mask(sources.patches[rng.integers(len(sources.patches))])

    return MaskSource({"kind": "real"}, draw, frozenset(patch.patient_id for patch in sources.patches))


def ellipse_masks(sources: Sources) -> MaskSource:
    """Ellipses with the area, the proportions and the direction of real training masks: what is left out is the outline alone."""
    real = real_masks(sources)
    return MaskSource({"kind": "ellipse"}, lambda item, attempt: as_ellipse(real.draw(item, attempt)), real.patients)


def as_ellipse(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(P, P) bool: the ellipse about the patch's centre with the area and the ratio and direction of second moments of a mask."""
    points = np.argwhere(mask).astype(float)
    moments = np.cov(points.T, bias=True) + np.eye(2) / 12  # a pixel is a square, not a point
    moments *= mask.sum() / (4 * np.pi * np.sqrt(np.linalg.det(moments)))  # an ellipse of covariance C has the area 4 pi sqrt(det C)
    away = np.moveaxis(np.indices(mask.shape), 0, -1) - (np.array(mask.shape) - 1) / 2
    return np.asarray(np.einsum("...i,ij,...j", away, np.linalg.inv(moments), away) <= 4)


MASKS: dict[str, Callable[[Sources], MaskSource]] = {"real": real_masks, "ellipse": ellipse_masks}  # without a mask GAN


def learned_masks(sampler: MaskSampler, seed: int) -> MaskSource:
    """Masks of a trained DCGAN."""
    manifest = {"kind": "dcgan", **{key: value for key, value in sampler.meta.items() if key != "patients"}}
    return MaskSource(manifest, lambda item, attempt: sampler.sample(seed, item, attempt), frozenset(sampler.meta["patients"]))


def gan(
    sources: Experiment,
    placer: Placer,
    infiller: Infiller,
    masks_from: MaskSource,
    blend: str,
    keep: float = 1.0,
    labelled: bool = True,
    contrast: float = 1.0,
) -> Method:
    """The paper's method: a mask, infilled by the trained generator, inserted in a host (paper 4.3).

    blend: a key of BLENDS. `paste` takes the whole patch; `mask` the mass alone with a soft edge, and all around stays the
    film's; the others mask and margin, fading out towards the patch's border. keep: share of the painted masses that is kept:
    each image is the best of 1 / keep, rounded, by the generator's own discriminator, at its one place, so that it depends on
    no other image. labelled: False where the generator paints healthy tissue, which nobody is to find. contrast: as of
    `Infiller.fill`.
    """
    side, scale = infiller.patch_px, infiller.meta["margin"] / 256
    leaks.require_training({"masks": masks_from.patients, "the infilling GAN": infiller.meta["patients"]}, sources.training)
    best_of = round(1 / keep)

    def paint(items: Sequence[int], places: list[Place], draw: int) -> tuple[list[Scene], NDArray[np.float32], NDArray[np.float32]]:
        """Scenes, patches and what the discriminator says of them (0 where there is nothing to choose)."""

        def mask(item: int) -> Callable[[int], NDArray[np.bool_]]:
            return lambda attempt: masks_from.draw(item, draw * MASK_TRIES + attempt)

        scenes = [open_scene(placer, place, mask(item)) for item, place in zip(items, places, strict=True)]
        given = inputs(scenes, [generator(sources.seed, "noise", item, *([draw] if draw else [])) for item in items], side)
        filled = infiller.fill(*given, contrast)
        return scenes, filled, infiller.judge(*given, filled) if best_of > 1 else np.zeros(len(filled), np.float32)

    def weight(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
        if blend == "paste":
            return np.ones(mask.shape, np.float32)
        return soft_alpha(mask) if blend == "mask" else feather_alpha(mask | margin(mask, scale))

    def make(items: Sequence[int]) -> list[Made]:
        places = [placer(item) for item in items]
        draws = [paint(items, places, draw) for draw in range(best_of)]
        best = np.argmax([scores for _, _, scores in draws], 0)
        found = []
        for k in range(len(items)):
            scenes, filled, _ = draws[best[k]]
            found.append(scenes[k].made(filled[k], weight(scenes[k].mask), blend, labelled=labelled))
        return found

    learned = masks_from.patients | {*infiller.meta["patients"]}
    manifest = {"masks": masks_from.manifest, "blend": blend, "best_of": best_of, "contrast": contrast, "generator": infiller.meta}
    return Method(make, {**manifest, "learned_from": sorted(learned)})


def inputs(
    scenes: list[Scene], streams: Sequence[np.random.Generator], side: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.float32]]:
    """Tissue, masks and noise (CHUNK, side, side) of at most CHUNK scenes, noise of each from its stream.

    The rest of the batch repeats the first scene: networks see batches of one size, whatever the number of images.
    """
    tissue, noise = np.zeros((2, CHUNK, side, side), np.float32)
    masks = np.zeros((CHUNK, side, side), bool)
    for k, (scene, stream) in enumerate(zip(scenes, streams, strict=True)):
        tissue[k] = resize(scene.tissue, (side, side))
        covered = resize(scene.mask[scene.inside].astype(np.float32), (side, side))
        masks[k] = covered >= min(0.5, float(covered.max()))
        noise[k] = stream.random((side, side), np.float32)
    tissue[len(scenes) :], masks[len(scenes) :] = tissue[0], masks[0]
    return tissue, masks, noise


def copy_paste(sources: Sources, placer: Placer, blend: str = "feather") -> Method:
    """A real training mass with its own mask, pasted; never into its own patient.

    blend: `feather` softens the mask's edge by a pixel; `poisson` keeps the mass's gradients and takes its level from the host;
    `paste` cuts the mass out along its mask.
    """

    def one(item: int) -> Made:
        place = placer(item)
        patient = placer.hosts[place.host].record["patient_id"]
        donors = [patch for patch in sources.patches if patch.patient_id != patient]
        chosen: list[Patch] = []

        def draw(attempt: int) -> NDArray[np.bool_]:
            chosen.append(donors[generator(sources.seed, "donor", item, attempt).integers(len(donors))])
            return sources.mask(chosen[-1])

        scene = open_scene(placer, place, draw)
        donor = chosen[-1]
        patch = resize(to_unit(sources.pixels(donor)), (place.height, place.width))[scene.inside]
        alpha = scene.mask.astype(np.float32) if blend == "paste" else soft_alpha(scene.mask)
        made = scene.made(patch, alpha, blend, donor.patient_id)
        return replace(made, record={**made.record, "source_patch": donor.name})

    return Method(lambda items: [one(item) for item in items], {"blend": blend})


def blob(sources: Sources, placer: Placer) -> Method:
    """A smooth bright ellipse of the place's size and of a real training mass's contrast: is any blob enough?"""

    def one(item: int) -> Made:
        rng = generator(sources.seed, "blob", item)
        contrast = sources.contrast(sources.patches[rng.integers(len(sources.patches))])
        place = placer(item)
        shape = ellipse(place, placer.sizes.inner)
        scene = replace(open_scene(placer, place, lambda attempt: shape), mask=shape)
        profile = cv2.GaussianBlur(shape.astype(np.float32), (0, 0), 0.1 * min(place.width, place.height))
        return scene.made(scene.tissue + contrast * profile[scene.inside], (profile > 0.01).astype(np.float32), "paste")

    return Method(lambda items: [one(item) for item in items])


def hosts(placer: Placer) -> Method:
    """The hosts of the inserting pools, untouched; only lesions that were there before are annotated."""

    def one(item: int) -> Made:
        place = placer(item)
        host = placer.hosts[place.host]
        return unlabelled(host, place, host.image())

    return Method(lambda items: [one(item) for item in items])
