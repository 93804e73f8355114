"""A part of a mammogram, turned or enlarged, under another name: local features that two images share in the same arrangement.

`duplicates` compares whole breasts; a crop has another outline. Here up to `POINTS` SIFT features (Lowe, International
Journal of Computer Vision 60:91-110, 2004; their square roots compared, Arandjelovic and Zisserman, CVPR 2012) of each
image are matched, and matches count where one similarity transform maps them all (RANSAC).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

HEIGHT = 320  # px at which features are found
POINTS = 64
ALIKE = 0.9  # scalar product of two features, 0..1, from which on they match
NEAR = 3.0  # px by which matched points may miss each other
# Matches in one arrangement from which on an image is a part of another. Between films of different patients there were at
# most 4 (33,557 pairs of CBIS-DDSM, 3,160 of the phantom); a crop to the half in both directions leaves 11 and more, one of a
# tenth on each side 16, a turn of 3 degrees with JPEG of quality 60 23.
LEAST = 10


@dataclass(frozen=True)
class Features:
    """places: (N, 2) float32 x, y in px at HEIGHT; described: (N, 128) uint8; N <= POINTS."""

    places: NDArray[np.float32]
    described: NDArray[np.uint8]


class Shared(NamedTuple):
    """Indices of two images, first < second, and how many features they share."""

    first: int
    second: int
    points: int


def features(image: NDArray[Any]) -> Features:
    """Of a prepared mammogram (H, W), uint8 or uint16."""
    shade = (image / (np.iinfo(image.dtype).max / 255)).astype(np.uint8)
    width = max(8, round(shade.shape[1] * HEIGHT / shade.shape[0]))
    even = cv2.createCLAHE(4.0, (8, 8)).apply(cv2.resize(shade, (width, HEIGHT), interpolation=cv2.INTER_AREA))
    found, described = cv2.SIFT.create(nfeatures=POINTS).detectAndCompute(even, None)
    if described is None:
        return Features(np.zeros((0, 2), np.float32), np.zeros((0, 128), np.uint8))
    return Features(np.array([one.pt for one in found[:POINTS]], np.float32), described[:POINTS].astype(np.uint8))


def shared(images: Sequence[Features], groups: Sequence[str]) -> list[Shared]:
    """Pairs of images of different groups of which one is a part of the other, in their order.

    Time grows with the square: 1,000 images take about half a minute.
    """
    every = np.zeros((len(images), POINTS, 128), np.float32)
    for row, one in zip(every, images, strict=True):
        row[: len(one.described)] = one.described
    every = np.sqrt(every / np.maximum(every.sum(2, keepdims=True), 1))
    found = []
    for first in range(len(images)):
        others = np.array([k for k in range(first + 1, len(images)) if groups[k] != groups[first]], int)
        if not len(others):
            continue
        alike = every[first] @ every[others].reshape(-1, 128).T
        alike = alike.reshape(POINTS, len(others), POINTS)
        theirs, ours = alike.argmax(2), alike.argmax(0)  # the most similar one there, and back
        mutual = ours[np.arange(len(others)), theirs] == np.arange(POINTS)[:, None]
        mutual &= alike.max(2) >= ALIKE
        for k in np.flatnonzero(mutual.sum(0) >= LEAST):
            rows = np.flatnonzero(mutual[:, k])
            second = int(others[k])
            points = _arranged(images[first].places[rows], images[second].places[theirs[rows, k]])
            if points >= LEAST:
                found.append(Shared(first, second, points))
    return found


def _arranged(here: NDArray[np.float32], there: NDArray[np.float32]) -> int:
    """How many of (N, 2) points one similarity transform takes to their partners."""
    _, kept = cv2.estimateAffinePartial2D(here, there, ransacReprojThreshold=NEAR)
    return 0 if kept is None else int(kept.sum())
