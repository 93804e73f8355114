"""The pectoral muscle of an MLO view, bounded by the best straight edge across the upper corner at the chest wall.

The edge of the muscle is the one long edge that runs from the top of the film to the chest wall, nearly straight
(Karssemeijer 1998, Phys Med Biol 43(2):365-378, finds it by a Hough transform; here all lines are compared directly).
"""

import cv2
import numpy as np
from numpy.typing import NDArray

SMOOTHING = 0.01  # of the height: sigma of the edge filter
STRONG = 0.075  # fall of brightness within sigma that counts in full; steeper edges (gland, labels) count no more
FAINT = 0.2  # mean of the edge along the line, 0..1, below which no muscle is seen
LENGTH = 0.3  # exponent by which a longer edge is preferred
TOPS = np.linspace(0.1, 0.95, 40)  # where a line leaves the top, as a share of the breast's width
ENDS = np.linspace(0.15, 0.9, 46)  # where it meets the chest wall, as a share of the height below the breast's top
POINTS = (np.arange(64) + 0.5) / 64  # of a line that are looked at, as a share of its length


def pectoral_mask(image: NDArray[np.float32], breast: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    """The pectoral muscle, or None where no edge is plain enough.

    image: (H, W) float32 in [0, 1], an MLO view with the chest wall on the left, a few hundred px high.
    breast: (H, W) bool, not empty, as `breast_mask` returns it. Returns (H, W) bool inside of the breast.
    """
    rows, columns = breast.any(1), breast.any(0)
    top, left, width = int(rows.argmax()), int(columns.argmax()), int(columns.sum())
    inside = breast[top:, left:]
    tops, ends = (grid.ravel() for grid in np.meshgrid(TOPS * width, ENDS * len(inside)))
    strength = _edges(image[top:, left:], inside, tops, ends)
    best = int((strength * np.hypot(tops, ends) ** LENGTH).argmax())
    if strength[best] < FAINT:
        return None
    mask = np.zeros_like(breast)
    y, x = np.indices(inside.shape, np.float32) + np.float32(0.5)
    mask[top:, left:] = x / tops[best] + y / ends[best] < 1
    return mask & breast


def _edges(
    image: NDArray[np.float32], inside: NDArray[np.bool_], tops: NDArray[np.float64], ends: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Mean fall of brightness across the line from (x = tops, y = 0) to (0, ends), each point counting -1..1, outside 0."""
    sigma = SMOOTHING * len(image)
    smooth = cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    dy, dx = np.gradient(smooth * (sigma / STRONG))
    at = (ends[:, None] * POINTS).astype(int), (tops[:, None] * (1 - POINTS)).astype(int)
    # The normal of the line, pointing from the muscle into the breast, is (ends, tops).
    falls = -(dx[at] * ends[:, None] + dy[at] * tops[:, None]) / np.hypot(tops, ends)[:, None]
    return (np.clip(falls, -1, 1) * inside[at]).mean(1)
