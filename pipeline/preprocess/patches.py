"""Patches around masses: the box of a mass, padded, cut at the film's edge and scaled to a square (paper 4.1, step 2)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.coco import bounding_box
from pipeline.params import Preprocess
from pipeline.preprocess.geometry import resize

Frame = tuple[int, int, int, int]


def padding(params: Preprocess, spacing_mm: float, scale: float) -> int:
    """Padding in px of the prepared image. spacing_mm: of the prepared image; scale: prepared px per source px."""
    return round(params.pad_mm / spacing_mm if params.pad_mm is not None else (params.pad_px or 0) * scale)


def frame(mask: NDArray[np.bool_], pad: int) -> Frame:
    """xywh of the mask's box (H, W bool, not empty) with `pad` px on each side: clipped to the image, never shifted."""
    height, width = mask.shape
    x, y, w, h = bounding_box(mask)
    left, top = max(0, x - pad), max(0, y - pad)
    return left, top, min(width, x + w + pad) - left, min(height, y + h + pad) - top


def cut(image: NDArray[Any], mask: NDArray[np.bool_], where: Frame, size: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Image (H, W) and mask (H, W) inside of a frame as squares of `size` px; the image keeps its type."""
    x, y, w, h = where
    part = np.s_[y : y + h, x : x + w]
    pixels = resize(np.ascontiguousarray(image[part]), (size, size))
    return pixels, resize(mask[part].astype(np.float32), (size, size)) >= 0.5
