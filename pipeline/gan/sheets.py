"""Contact sheets: rows of small grey images with a caption each."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.io import from_unit

GAP, LETTER_PX, SMALLEST_PX = 4, 8, 96


def sheet(rows: Sequence[Sequence[NDArray[np.floating[Any]]]], captions: Sequence[str] = ()) -> NDArray[np.uint8]:
    """One uint8 picture of rows of images ((P, P) float in [0, 1], clipped, all of one size), captions on the left.

    Small images are enlarged by a whole factor, so that every pixel stays visible.
    """
    side = rows[0][0].shape[0]
    factor = max(1, -(-SMALLEST_PX // side))
    step = side * factor + GAP
    left = max((len(text) for text in captions), default=0) * LETTER_PX + GAP
    picture = np.full((len(rows) * step + GAP, left + max(map(len, rows)) * step), 255, np.uint8)
    for y, row in enumerate(rows):
        for x, image in enumerate(row):
            top, start = GAP + y * step, left + x * step
            enlarged = from_unit(image, np.uint8).repeat(factor, 0).repeat(factor, 1)
            picture[top : top + side * factor, start : start + side * factor] = enlarged
    for y, text in enumerate(captions):
        cv2.putText(picture, text, (GAP, GAP + y * step + side * factor // 2), cv2.FONT_HERSHEY_SIMPLEX, 0.42, 0, 1, cv2.LINE_AA)
    return picture
