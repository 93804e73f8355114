"""Contact sheets: rows of small grey images with a caption each."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.io import from_unit

GAP, LETTER_PX, SMALLEST_PX = 4, 8, 96


def sheet(rows: Sequence[Sequence[NDArray[np.floating[Any]]]], captions: Sequence[str] = ()) -> NDArray[np.uint8]:
    """One uint8 picture of rows of images ((H, W) float in [0, 1], clipped, all of one size), captions on the left.

    Small images are enlarged by a whole factor, so that every pixel stays visible.
    """
    factor = max(1, -(-SMALLEST_PX // rows[0][0].shape[0]))
    height, width = (side * factor for side in rows[0][0].shape)
    left = max((len(text) for text in captions), default=0) * LETTER_PX + GAP
    picture = np.full((len(rows) * (height + GAP) + GAP, left + max(map(len, rows)) * (width + GAP)), 255, np.uint8)
    for y, row in enumerate(rows):
        for x, image in enumerate(row):
            top, start = GAP + y * (height + GAP), left + x * (width + GAP)
            enlarged = from_unit(image, np.uint8).repeat(factor, 0).repeat(factor, 1)
            picture[top : top + height, start : start + width] = enlarged
    for y, text in enumerate(captions):
        cv2.putText(picture, text, (GAP, GAP + y * (height + GAP) + height // 2), cv2.FONT_HERSHEY_SIMPLEX, 0.42, 0, 1, cv2.LINE_AA)
    return picture


def boxed(image: NDArray[np.floating[Any]], boxes: Sequence[tuple[Sequence[float], bool]], gap: int = 3) -> NDArray[np.floating[Any]]:
    """A copy of (H, W) with white frames `gap` px around boxes (xywh, whether to draw a second frame around the first)."""
    drawn = image.copy()
    for (x, y, w, h), double in boxes:
        for away in (gap, 2 * gap)[: 1 + double]:
            corner = (round(x) - away, round(y) - away)
            cv2.rectangle(drawn, corner, (round(x + w) - 1 + away, round(y + h) - 1 + away), 1.0, 1)
    return drawn
