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
    small = np.array([one.small.ravel() for one in prints], np.uint8)
    found = []
    for first in range(len(prints) - 1):
        near = np.flatnonzero(np.bitwise_count(bits[first + 1 :] ^ bits[first]) <= DISTANCE) + first + 1
        correlations = _correlations(small[first], small[near])
        found += [Pair(first, int(near[k]), float(correlations[k])) for k in np.flatnonzero(correlations >= CORRELATION)]
    return found


def _correlations(one: NDArray[np.uint8], others: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Pearson's r of (P,) with each of (N, P) over the px that are breast in both; 0 where the breasts differ in outline or one is flat.

    With the background, any two breasts of a like outline would correlate.
    """
    inside = one > 0
    both = (others > 0) & inside
    n = both.sum(1, dtype=np.float32)
    overlap = n / np.maximum(((others > 0) | inside).sum(1), 1)
    count = np.maximum(n, 1)[:, None]
    a, b = (np.where(both, values, np.float32(0)) for values in (one.astype(np.float32), others.astype(np.float32)))
    a, b = (np.where(both, values - values.sum(1, keepdims=True) / count, np.float32(0)) for values in (a, b))
    size = np.sqrt((a * a).sum(1) * (b * b).sum(1))
    r = (a * b).sum(1) / np.where(size > 0, size, np.float32(1))
    return np.where(overlap >= OVERLAP, r, np.float32(0)).astype(np.float32)
