"""From a source image to the prepared one and back: mirrored, columns cut to the breast, scaled."""

from dataclasses import dataclass
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

MARGIN = 0.01  # of the height: dark columns kept beside the breast, away from the chest wall


@dataclass(frozen=True)
class Geometry:
    """Where a prepared image (height, width) comes from.

    flipped: the source was mirrored, so that the chest wall is on the left. crop_x, crop_width: columns of the (mirrored)
    source that are kept. scale: prepared px per source px.
    """

    source_width: int
    flipped: bool
    crop_x: int
    crop_width: int
    height: int
    width: int
    scale: float

    @classmethod
    def of(cls, breast: NDArray[np.bool_], flipped: bool, height: int | None) -> Self:
        """The geometry for a source with this breast (H, W bool, not empty). height: of the prepared image; None: the source's.

        The crop is fitted to whole px of the prepared image, so that columns scale as rows do.
        """
        source_height, source_width = breast.shape
        columns = np.flatnonzero((breast[:, ::-1] if flipped else breast).any(0))
        left, right = int(columns[0]), min(source_width, int(columns[-1]) + 1 + round(MARGIN * source_height))
        height = height or source_height
        scale = height / source_height
        width = max(1, round((right - left) * scale))
        crop_width = min(source_width - left, max(1, round(width / scale)))
        return cls(source_width, flipped, left, crop_width, height, width, scale)

    def apply(self, image: NDArray[Any]) -> NDArray[Any]:
        """(H, W) of the source, uint8, uint16 or float, to the prepared (height, width) of the same type."""
        turned = image[:, ::-1] if self.flipped else image
        part = np.ascontiguousarray(turned[:, self.crop_x : self.crop_x + self.crop_width])
        return resize(part, (self.height, self.width))

    def apply_mask(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """(H, W) bool of the source to (height, width): pixels that are covered by half."""
        return np.asarray(self.apply(mask.astype(np.float32)) >= 0.5)

    def to_source(self, points: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """(..., 2) x, y in px of the prepared image (corners of px are whole numbers) to px of the source."""
        x, y = np.moveaxis(np.asarray(points, np.float64) / self.scale, -1, 0)
        x = x + self.crop_x
        return np.stack([self.source_width - x if self.flipped else x, y], -1)


def resize(image: NDArray[Any], shape: tuple[int, int]) -> NDArray[Any]:
    """(H, W) to `shape` (rows, columns), type kept: along each side the mean over the area where it shrinks, linear where it grows.

    One side at a time, because OpenCV averages over areas only where both sides shrink.
    """
    if image.shape == shape:
        return image
    scaled = image.astype(np.float32)
    for size in ((scaled.shape[1], shape[0]), shape[::-1]):
        shrinks = size[0] * size[1] < scaled.size
        scaled = cv2.resize(scaled, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return scaled if image.dtype.kind == "f" else np.rint(scaled).astype(image.dtype)
