"""Sides of anchors that fit the masses of a training set."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import PipelineError

ROUNDS = 100  # at most; a few suffice


def fitted(sides: Sequence[float] | NDArray[np.floating], count: int) -> list[float]:
    """`count` sides in px, ascending, rounded to 0.1, that minimise the mean 1 - IoU of concentric squares to `sides`.

    sides: geometric mean side of each box in px of the detector's input. k-means with that distance (Redmon and Farhadi
    2017, section 2), begun at quantiles, so that equal boxes give equal anchors. Fewer sides where fewer differ.
    Raises PipelineError for no boxes.
    """
    found = np.sort(np.asarray(sides, float))
    if not len(found):
        raise PipelineError("detector.anchors auto needs real training boxes; there are none: give the sides as a list")
    centres = np.unique(np.quantile(found, (np.arange(count) + 0.5) / count))
    for _ in range(ROUNDS):
        nearest = overlap(found, centres).argmax(1)
        moved = np.array([_centre(found[nearest == k]) if (nearest == k).any() else centres[k] for k in range(len(centres))])
        if np.array_equal(moved, centres):
            break
        centres = moved
    return [round(float(side), 1) for side in np.unique(centres.round(1))]


def overlap(sides: NDArray[np.floating], anchors: NDArray[np.floating]) -> NDArray[np.floating]:
    """(N, K) IoU of concentric squares of these sides."""
    ratio = np.minimum.outer(sides, anchors) / np.maximum.outer(sides, anchors)
    return np.asarray(ratio**2)


def _centre(members: NDArray[np.floating]) -> float:
    """The member with the largest sum of IoU to all of its group."""
    return float(members[overlap(members, members).sum(0).argmax()])
