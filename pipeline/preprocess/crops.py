"""A part of a mammogram, turned or enlarged, under another name: local features that two images share in the same arrangement.

`duplicates` compares whole breasts; a crop has another outline. Here up to `POINTS` SIFT features (Lowe, International
Journal of Computer Vision 60:91-110, 2004; their square roots compared, Arandjelovic and Zisserman, CVPR 2012) of each
image are matched, and matches count where one similarity transform maps them all (RANSAC).
"""

from collections import Counter
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
NEIGHBOURS = 4  # of each feature that are looked at in each block
BLOCK = 512  # images whose features are searched at a time, so that memory holds as few of them however many there are


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

    300 images take a second, 5,000 half a minute.
    """
    found = []
    for first, second in _candidates(images, groups):
        alike = _roots([images[first]]) @ _roots([images[second]]).T
        there = alike.argmax(1)
        rows = np.flatnonzero((alike.argmax(0)[there] == np.arange(len(alike))) & (alike.max(1) >= ALIKE))  # best in both directions
        points = _arranged(images[first].places[rows], images[second].places[there[rows]]) if len(rows) >= LEAST else 0
        if points >= LEAST:
            found.append(Shared(first, second, points))
    return found


def _candidates(images: Sequence[Features], groups: Sequence[str]) -> list[tuple[int, int]]:
    """Pairs of different groups with several features among each other's nearest ones, by forests of k-d trees."""
    blocks = [range(start, min(start + BLOCK, len(images))) for start in range(0, len(images), BLOCK)]
    found: list[tuple[int, int]] = []
    for number, block in enumerate(blocks):
        known, owner = _roots(images[block.start : block.stop]), _owners(images, block)
        if len(known) < NEIGHBOURS:
            continue
        forest = cv2.flann.Index(known, {"algorithm": 1, "trees": 4})
        for later in blocks[number:]:  # the features of the second of a pair look for those of the first
            asked, asker = _roots(images[later.start : later.stop]), _owners(images, later)
            if len(asked):
                near, squared = forest.knnSearch(asked, NEIGHBOURS, params={"checks": 64})
                row, column = np.nonzero(1 - squared / 2 >= ALIKE)
                ends = zip(owner[near[row, column]].tolist(), asker[row].tolist(), strict=True)
                votes = Counter((first, second) for first, second in ends if first < second and groups[first] != groups[second])
                found += [pair for pair, count in votes.items() if count >= LEAST // 2]
    return sorted(found)


def _roots(images: Sequence[Features]) -> NDArray[np.float32]:
    """(N, 128) square roots of the features of all of them, each of length 1."""
    described = np.concatenate([one.described for one in images]).astype(np.float32)
    described /= np.maximum(described.sum(1, keepdims=True), 1)
    return np.sqrt(described, out=described)


def _owners(images: Sequence[Features], block: range) -> NDArray[np.intp]:
    """(N,) the image of each row of `_roots` of the block."""
    return np.repeat(np.arange(block.start, block.stop), [len(images[index].described) for index in block])


def _arranged(here: NDArray[np.float32], there: NDArray[np.float32]) -> int:
    """How many of (N, 2) points one similarity transform takes to their partners."""
    _, kept = cv2.estimateAffinePartial2D(here, there, ransacReprojThreshold=NEAR)
    return 0 if kept is None else int(kept.sum())
