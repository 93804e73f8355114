"""One insertion: a host, a place in it and a mask that fits there."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import coco
from pipeline.io import to_unit
from pipeline.preprocess.geometry import resize
from pipeline.synthesis.blending import BLENDS, insert
from pipeline.synthesis.placement import Host, Place, Placer, fit_mask
from pipeline.synthesis.pool import Made


@dataclass(frozen=True)
class Scene:
    """image, region: (H, W) of the host; mask: (h, w) bool of the mass in the place's frame, which may leave the image."""

    host: Host
    place: Place
    image: NDArray[Any]
    region: NDArray[np.uint8]
    mask: NDArray[np.bool_]

    @cached_property
    def frame(self) -> tuple[slice, slice]:
        """Rows and columns of the frame's visible part in the image."""
        return self.place.clip(self.image.shape)

    @cached_property
    def inside(self) -> tuple[slice, slice]:
        """The visible part in coordinates of the frame."""
        return self.place.inside(self.image.shape)

    @property
    def tissue(self) -> NDArray[np.float32]:
        """The visible part of the host's tissue, float32 in [0, 1]."""
        return to_unit(self.image[self.frame])

    def made(self, patch: NDArray[np.float32], alpha: NDArray[np.float32], blend: str, *patients: str, labelled: bool = True) -> Made:
        """The host with `patch` (any size, of the visible part) blended in; alpha: (h, w) of the whole frame.

        Nothing changes where alpha is 0 or outside of the breast. patients: whose pixels the patch holds. labelled: whether
        the scene's mask is annotated as a mass.
        """
        visible = alpha[self.inside]
        free = (visible > 0) & (self.region[self.frame] > 0)
        new = BLENDS[blend](self.tissue, resize(patch, (visible.shape[0], visible.shape[1])), visible, free)
        whole = np.zeros(self.image.shape, bool)
        whole[self.frame] = self.mask[self.inside]
        image = insert(self.image, new, free, self.frame)
        return (
            with_mass(self.host, self.place, image, whole, *patients) if labelled else unlabelled(self.host, self.place, image, *patients)
        )


def open_scene(placer: Placer, place: Place, draw: Callable[[int], NDArray[np.bool_]]) -> Scene:
    """The scene at one of the placer's places; draw(attempt) gives masks (P, P) until one lies in the breast."""
    host = placer.hosts[place.host]
    image, region = host.image(), host.region()
    return Scene(host, place, image, region, fit_mask(draw, place, placer.sizes.inner, region == 1))


def with_mass(host: Host, place: Place, image: NDArray[Any], mask: NDArray[np.bool_], *patients: str) -> Made:
    """A Made of a host that received a mass. mask: (H, W) bool in the host."""
    made = unlabelled(host, place, image, *patients)
    return replace(made, annotations=[*made.annotations, coco.annotation(mask, synthetic=True)])


def unlabelled(host: Host, place: Place, image: NDArray[Any], *patients: str) -> Made:
    """A Made of a host in which something was painted at a place that is no mass."""
    record = host_record(host, centre=list(place.centre), patch_size=[place.width, place.height])
    return Made(image, record, kept(host), frozenset({host.record["patient_id"], *patients}))


def host_record(host: Host, **more: Any) -> dict[str, Any]:
    """The COCO record of a mammogram made from a host: its metadata and what was done to it."""
    same = ("patient_id", "laterality", "view", "density", "spacing_mm", "spacing_assumed")
    return {**{key: host.record.get(key) for key in same}, "host": host.record["image_id"], **more}


def kept(host: Host) -> list[dict[str, Any]]:
    """The host's own annotations, without ids."""
    return [{key: value for key, value in one.items() if key not in ("id", "image_id")} for one in host.annotations]
