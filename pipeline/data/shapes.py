"""Masks from outlines. Pixel (x, y) is the unit square around the point (x, y); masks are cut off at the image's border."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import PipelineError

FAR = 1 << 20  # px; OpenCV counts in 32 bits and goes along every row


def polygon(points: NDArray[Any], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """The inside of a closed outline and the outline itself. points: (N, 2) x, y in px, rounded. Returns (H, W) bool.

    Raises PipelineError for coordinates that are not finite or beyond `FAR`.
    """
    if not (np.abs(points) <= FAR).all():
        raise PipelineError(f"an outline has coordinates that are no numbers from -{FAR} to {FAR}")
    mask = np.zeros(shape, np.uint8)
    cv2.fillPoly(mask, [np.rint(points).astype(np.int32).reshape(-1, 1, 2)], 1)
    return mask.astype(bool)


def ellipse(x: float, y: float, rx: float, ry: float, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """The pixels whose centre is not outside of the ellipse around (x, y) with half axes rx and ry in px. Returns (H, W) bool.

    Raises PipelineError for numbers that are not finite or beyond `FAR`.
    """
    if not all(abs(value) <= FAR for value in (x, y, rx, ry)):
        raise PipelineError(f"an ellipse has coordinates that are no numbers from -{FAR} to {FAR}")
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return np.asarray(((columns - x) / rx) ** 2 + ((rows - y) / ry) ** 2 <= 1)
