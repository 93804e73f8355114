"""The same mammogram twice, under other names: candidates by a perceptual hash, then by the correlation of small copies."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE = 64  # px of the small copy
# Of the breasts in two small copies, from which on they are one mammogram. The largest among 1269 films is .95
# (CBIS-DDSM, DDSM and CDD-CESM, all pairs); JPEG of quality 40, half the size or another contrast leave a copy above .99.
CORRELATION = 0.98
OVERLAP = 0.8  # of the two breasts, as intersection over union, below which they are not compared
DISTANCE = 10  # of 64 bits in which the hashes of one mammogram may differ
COEFFICIENTS = 8  # rows and columns of the cosine transform that make the hash


@dataclass(frozen=True)
class Print:
    """A mammogram in 4 KiB. small: (SIDE, SIDE) uint8, the breast stretched over it; bits: the perceptual hash."""

    small: NDArray[np.uint8]
    bits: int


class Pair(NamedTuple):
    """Indices of two prints, first < second, and the correlation of their small copies, -1..1."""

    first: int
    second: int
    correlation: float


def print_of(image: NDArray[Any]) -> Print:
    """The print of a prepared mammogram (H, W), uint8 or uint16: cleaned, cut to the breast and turned, so that labels,
    borders, mirroring and the scanner's depth do not hide a copy.

    The hash is the sign about their median of the lowest frequencies of the cosine transform, without the mean
    (pHash; Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions, 2010).
    """
    small = cv2.resize(image.astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    low = cv2.dct(small)[:COEFFICIENTS, :COEFFICIENTS].ravel()
    signs = low > np.median(low[1:])
    top = float(np.iinfo(image.dtype).max)
    return Print(np.rint(small * (255 / top)).astype(np.uint8), int(np.packbits(signs).view(">u8")[0]))


def pairs(prints: Sequence[Print]) -> list[Pair]:
    """All pairs of prints that show the same mammogram, in their order. Time grows with the square, 5,000 take seconds."""
    bits = np.array([one.bits for one in prints], np.uint64)
    found = []
    for first in range(len(prints) - 1):
        near = np.flatnonzero(np.bitwise_count(bits[first + 1 :] ^ bits[first]) <= DISTANCE) + first + 1
        for second in near.tolist():
            correlation = _correlation(prints[first].small, prints[second].small)
            if correlation >= CORRELATION:
                found.append(Pair(first, second, correlation))
    return found


def _correlation(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Pearson's r of the px that are breast in both; 0 where the breasts differ in outline or one is flat.

    With the background, any two breasts of a like outline would correlate.
    """
    both, either = (one > 0) & (other > 0), (one > 0) | (other > 0)
    if both.sum() < OVERLAP * either.sum() or not both.any():
        return 0.0
    a, b = (small[both] - small[both].mean() for small in (one, other))
    size = np.sqrt((a * a).sum() * (b * b).sum())
    return float((a * b).sum() / size) if size else 0.0
