"""Masks of masses and other findings on their way into COCO: specks dropped, scaled, and those that count told from those to ignore."""

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline import coco
from pipeline.data.records import StoredCase, StoredLesion
from pipeline.errors import PipelineError
from pipeline.io import read_image
from pipeline.preprocess.geometry import Geometry

# The pathologies that a study of each kind looks for; "" is not known, as in a source that does not say.
TARGETS = {"malignant": ("malignant", ""), "benign": ("benign", ""), "all": ("malignant", "benign", "unproven", "")}


def counts(case: StoredCase, lesion: StoredLesion, targets: str) -> bool:
    """Whether a lesion is to be found. The others are known and outlined: neither targets nor false positives (COCO's iscrowd).

    targets: a key of TARGETS. A lesion that does not say its pathology has that of its image.
    """
    return lesion.finding == "mass" and (lesion.pathology or case.pathology) in TARGETS[targets]


def n_targets(case: StoredCase, targets: str) -> int:
    return sum(counts(case, lesion, targets) for lesion in case.lesions)


def read_mask(lesion: StoredLesion, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """(H, W) bool. Raises PipelineError where it cannot be read or is of another shape than the image."""
    mask = read_image(lesion.mask) > 0
    if mask.shape != shape:
        raise PipelineError(f"mask {lesion.number} is {mask.shape}, the image {shape} (rows, columns)")
    return np.asarray(mask)


def prepared(
    masks: dict[int, NDArray[np.bool_]], geometry: Geometry, min_px: int, dropped: list[dict[str, Any]]
) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    """(number, prepared mask) of the lesions that remain; what does not is added to `dropped`. min_px: of the source."""
    for number, mask in masks.items():
        _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
        areas = stats[:, cv2.CC_STAT_AREA]
        for area in areas[1:][areas[1:] < min_px]:
            dropped.append({"lesion": number, "px": int(area), "reason": "smaller than min_lesion_px"})
        keep = areas >= min_px
        keep[0] = False
        if not keep.any():
            continue
        small = geometry.apply_mask(keep[labels])
        if small.any():
            yield number, small
        else:
            dropped.append({"lesion": number, "px": int(mask.sum()), "reason": "nothing of it is left in the prepared image"})


def annotation(case: StoredCase, lesion: StoredLesion, mask: NDArray[np.bool_], targets: str) -> dict[str, Any]:
    """The COCO annotation of a prepared mask, with everything that is said of the lesion."""
    words = {key: getattr(lesion, key) for key in ("shape", "margins", "subtlety", "finding")}
    words["pathology"] = lesion.pathology or case.pathology
    return coco.annotation(mask, iscrowd=int(not counts(case, lesion, targets)), lesion=lesion.number, **words)
