"""Pools that put a mass into a host. All share the places, so that image i differs in the mass alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline import coco
from pipeline.io import to_unit
from pipeline.preprocess.geometry import resize
from pipeline.preprocess.trilabel import margin
from pipeline.rng import generator
from pipeline.synthesis.blending import ALPHAS, blend
from pipeline.synthesis.placement import Host, Place, Placer, fit_mask
from pipeline.synthesis.pool import CHUNK, Made, Method
from pipeline.synthesis.sources import Patch, Sources, host_record


@dataclass(frozen=True)
class MaskSource:
    """Where masks come from: draw(item, attempt) -> (P, P) bool; kind and patients go to the pool's manifest."""

    kind: str
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

    def fill(self, tissue: NDArray[np.float32], masks: NDArray[np.bool_], noise: NDArray[np.float32]) -> NDArray[np.float32]: ...


def real_masks(sources: Sources) -> MaskSource:
    """Masks of real training masses, drawn at random."""

    def draw(item: int, attempt: int) -> NDArray[np.bool_]:
        rng = generator(sources.seed, "real mask", item, attempt)
        return sources.mask(sources.patches[rng.integers(len(sources.patches))])

    return MaskSource("real", draw, frozenset(patch.patient_id for patch in sources.patches))


def learned_masks(sampler: MaskSampler, seed: int) -> MaskSource:
    """Masks of a trained DCGAN."""
    return MaskSource("dcgan", lambda item, attempt: sampler.sample(seed, item, attempt), frozenset(sampler.meta["patients"]))


def gan(sources: Sources, placer: Placer, infiller: Infiller, masks_from: MaskSource, blending: str) -> Method:
    """The paper's method: a mask, infilled by the trained generator, inserted in a host (paper 4.3)."""
    side = infiller.patch_px

    def make(items: Sequence[int]) -> list[Made]:
        places = [placer(item) for item in items]
        hosts = [placer.hosts[place.host] for place in places]
        images = [host.image() for host in hosts]
        regions = [host.region() for host in hosts]
        masks = [
            fit_mask(lambda attempt, item=item: masks_from.draw(item, attempt), place, placer.sizes.inner, region == 1)  # type: ignore[misc]
            for item, place, region in zip(items, places, regions, strict=True)
        ]
        tissue = np.zeros((CHUNK, side, side), np.float32)
        small = np.zeros((CHUNK, side, side), bool)
        noise = np.zeros((CHUNK, side, side), np.float32)
        for k, (item, place, image, mask) in enumerate(zip(items, places, images, masks, strict=True)):
            tissue[k] = resize(to_unit(image[place.clip(image.shape)]), (side, side))
            small[k] = _at_least_a_pixel(resize(mask[place.inside(image.shape)].astype(np.float32), (side, side)))
            noise[k] = generator(sources.seed, "noise", item).random((side, side), np.float32)
        tissue[len(items) :], small[len(items) :] = tissue[0], small[0]
        filled = infiller.fill(tissue, small, noise)
        scale = infiller.meta["margin"] / 256
        return [
            _insert(host, place, image, region, mask, filled[k], ALPHAS[blending](mask | margin(mask, scale)))
            for k, (host, place, image, region, mask) in enumerate(zip(hosts, places, images, regions, masks, strict=True))
        ]

    learned = masks_from.patients | {*infiller.meta["patients"]}
    return Method(make, {"masks": masks_from.kind, "blend": blending, "generator": infiller.meta, "learned_from": sorted(learned)})


def copy_paste(sources: Sources, placer: Placer) -> Method:
    """A real training mass with its own mask, pasted; never into its own patient (Ghiasi et al. 2021 for the idea)."""

    def one(item: int) -> Made:
        place = placer(item)
        host = placer.hosts[place.host]
        donors = [patch for patch in sources.patches if patch.patient_id != host.record["patient_id"]]
        chosen: list[Patch] = []

        def draw(attempt: int) -> NDArray[np.bool_]:
            chosen.append(donors[generator(sources.seed, "donor", item, attempt).integers(len(donors))])
            return sources.mask(chosen[-1])

        image, region = host.image(), host.region()
        mask = fit_mask(draw, place, placer.sizes.inner, region == 1)
        donor = chosen[-1]
        patch = resize(to_unit(sources.pixels(donor)), (place.height, place.width))[place.inside(image.shape)]
        alpha = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 1.0)
        made = _insert(host, place, image, region, mask, patch, np.where(mask, 1, alpha).astype(np.float32), donor.patient_id)
        return Made(made.image, {**made.record, "source_patch": donor.name}, made.annotations, made.patients)

    return Method(lambda items: [one(item) for item in items])


def hosts(placer: Placer) -> Method:
    """The hosts of the inserting pools, untouched; only lesions that were there before are annotated."""

    def one(item: int) -> Made:
        host = placer.hosts[placer(item).host]
        return Made(host.image(), host_record(host), kept(host), frozenset({host.record["patient_id"]}))

    return Method(lambda items: [one(item) for item in items])


def kept(host: Host) -> list[dict[str, Any]]:
    """The host's own annotations, without ids."""
    return [{key: value for key, value in one.items() if key not in ("id", "image_id")} for one in host.annotations]


def inserted(host: Host, place: Place, image: NDArray[Any], mask: NDArray[np.bool_], *patients: str) -> Made:
    """A Made of a host that received a mass. mask: (H, W) bool in the host."""
    record = host_record(host, centre=list(place.centre), patch_size=[place.width, place.height])
    lesion = coco.annotation(mask, synthetic=True)
    return Made(image, record, [*kept(host), lesion], frozenset({host.record["patient_id"], *patients}))


def _insert(
    host: Host,
    place: Place,
    image: NDArray[Any],
    region: NDArray[np.uint8],
    mask: NDArray[np.bool_],
    patch: NDArray[np.float32],
    alpha: NDArray[np.float32],
    *patients: str,
) -> Made:
    """Blend a patch, stretched to the frame's visible part, into the host; the background outside of the breast stays."""
    frame, inside = place.clip(image.shape), place.inside(image.shape)
    visible = alpha[inside] * (region[frame] > 0)
    stretched = resize(patch, (visible.shape[0], visible.shape[1]))
    whole = np.zeros(image.shape, bool)
    whole[frame] = mask[inside]
    return inserted(host, place, blend(image, stretched, visible, frame), whole, *patients)


def _at_least_a_pixel(mask: NDArray[np.float32]) -> NDArray[np.bool_]:
    return np.asarray(mask >= min(0.5, float(mask.max())))
