"""The paper's baseline: real training mammograms rotated, flipped and scaled, stored beforehand (paper 4.1)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline import coco
from pipeline.rng import generator
from pipeline.synthesis.placement import find_hosts
from pipeline.synthesis.pool import Made, Method
from pipeline.synthesis.scene import host_record, kept

ROTATION_DEG = 15.0  # the paper gives no ranges; these keep the breast upright and the mass plausible in size
SCALE = (0.85, 1.15)
KEPT = 0.9  # least share of each lesion that must stay in the image
TRIES = 50


def traditional(train: Path, seed: int) -> Method:
    """Rotation within +-15 degrees, scale .85 to 1.15, upside-down flip half of the time; the frame's size stays.

    The chest wall stays on the left, as in every prepared mammogram. Every image is used once before any is used again.
    """
    sources = [host for host in find_hosts(train, "lesion_free") if coco.has_target(host.annotations)]

    def one(item: int) -> Made:
        n = len(sources)
        host = sources[int(generator(seed, "traditional", item // n).permutation(n)[item % n])]
        image = host.image()
        masks = [coco.decode(lesion["segmentation"]) for lesion in host.annotations]
        for attempt in range(TRIES):
            matrix = _matrix(generator(seed, "transform", item, attempt), image.shape, still=attempt == TRIES - 1)
            moved = [_warp(mask.astype(np.uint8), matrix, cv2.INTER_NEAREST) > 0 for mask in masks]
            areas = [new.sum() / (old.sum() * abs(np.linalg.det(matrix[:, :2]))) for new, old in zip(moved, masks, strict=True)]
            if min(areas) >= KEPT:
                break
        lesions = [{**lesion, **coco.annotation(mask, iscrowd=lesion["iscrowd"])} for lesion, mask in zip(kept(host), moved, strict=True)]
        return Made(_warp(image, matrix, cv2.INTER_LINEAR), host_record(host), lesions, frozenset({host.record["patient_id"]}))

    def make(items: Sequence[int]) -> list[Made]:
        return [one(item) for item in items]

    return Method(make, {"rotation_deg": ROTATION_DEG, "scale": list(SCALE)})


def _matrix(rng: np.random.Generator, shape: tuple[int, ...], still: bool) -> NDArray[np.float64]:
    """(2, 3) affine matrix about the image's centre; still: the flip alone, which always keeps every lesion."""
    height, width = shape
    angle, scale = (0.0, 1.0) if still else (rng.uniform(-ROTATION_DEG, ROTATION_DEG), rng.uniform(*SCALE))
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, scale)
    if rng.random() < 0.5:
        matrix[1] = -matrix[1]
        matrix[1, 2] += height - 1
    return np.asarray(matrix)


def _warp(image: NDArray[Any], matrix: NDArray[np.float64], interpolation: int) -> NDArray[Any]:
    return cv2.warpAffine(image, matrix, image.shape[::-1], flags=interpolation, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
