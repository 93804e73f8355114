"""Mode collapse: a generator that draws the same whatever it is given is a failed training, not a pool of copies.

The measures compare what a generator draws with the training patches, pair by pair, so that they have no unit and need
no other network. `BOUNDS` says below which share of the variety of real patches a training has failed.
"""

import math
from itertools import combinations
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import PipelineError

SHOWN = 32  # items compared, at most: 496 pairs
BOUNDS = {"masks": 0.1, "masses": 0.1}  # sound trainings have above 0.7 and 1.0, on the phantom and even after 3 iterations


def of_masks(masks: NDArray[np.bool_]) -> float:
    """1 - mean intersection over union of all pairs of masks (N, P, P); 0 where all are equal. N >= 2."""
    pairs = list(combinations(masks[:SHOWN], 2))
    return 1 - float(np.mean([(a & b).sum() / max(1, (a | b).sum()) for a, b in pairs]))


def of_masses(images: NDArray[np.floating[Any]], masks: NDArray[np.bool_]) -> float:
    """Mean absolute grey difference of all pairs of images (N, P, P) where both have a mass; 0 where all masses are equal. N >= 2.

    Greys are averaged within the mass first, over an eighth of the side, so that noise which a generator lets through is no
    variety, nor the tissue around the mass.
    """
    numbered = [(_smooth(image, mask), mask) for image, mask in zip(images[:SHOWN], masks[:SHOWN], strict=True)]
    differences = [float(np.abs(a - b)[m & n].mean()) for (a, m), (b, n) in combinations(numbered, 2) if (m & n).any()]
    return float(np.mean(differences)) if differences else float("nan")


def _smooth(image: NDArray[np.floating[Any]], mask: NDArray[np.bool_]) -> NDArray[np.floating[Any]]:
    """(P, P): the mean of the px of the mask around each px."""
    box = (image.shape[-1] // 8 + 1,) * 2
    sums, counts = (cv2.blur(part.astype(np.float64), box) for part in (np.where(mask, image, 0), mask))
    return np.asarray(sums / np.maximum(counts, 1e-9))


def check(what: str, drawn: float, real: float, losses: Path) -> float | None:
    """`drawn` as a share of `real`, varieties of `what` (a key of BOUNDS), rounded to 0.001. Raises PipelineError below its bound.

    None where it is not defined: the real patches do not vary either, or no two masses overlap.
    """
    if not (real > 0 and math.isfinite(drawn)):
        return None
    share = round(drawn / real, 3)
    if share < BOUNDS[what]:
        raise PipelineError(
            f"mode collapse: the generated {what} vary {share:.3f} times as much as those of the training patches, {BOUNDS[what]} is the "
            f"least; look at {losses}, change the learning rate, the number of iterations or the seed, and run `dvc repro`"
        )
    return share
