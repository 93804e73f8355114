"""Mammograms without labels, tape, borders and background noise, with the breast and its pectoral muscle (paper 4.1, step 1)."""

from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.io import to_unit
from pipeline.preprocess.breast import breast_mask, chest_wall_right
from pipeline.preprocess.pectoral import pectoral_mask

HEIGHT = 320  # px: a skin line and a muscle's edge need no more, whatever the size of the image


class Cleaned(NamedTuple):
    """image: (H, W) as given, 0 outside of the breast. breast: (H, W) bool with the pectoral muscle. pectoral: its part, or None."""

    image: NDArray[Any]
    breast: NDArray[np.bool_]
    pectoral: NDArray[np.bool_] | None


def clean(image: NDArray[Any], view: str | None = None) -> Cleaned:
    """Find the breast and set all else to 0; pixels of the breast are not touched.

    image: (H, W) uint8 or uint16, breast bright, chest wall on either side. view: the muscle is looked for in `MLO` only.
    Equal images of either depth give equal masks. Raises ValueError where no breast stands out.
    """
    small = _reduced(to_unit(image))
    breast = breast_mask(small)
    if not breast.any():
        raise ValueError("no breast stands out from the background")
    pectoral = _pectoral(small, breast) if view == "MLO" else None
    breast = _enlarged(breast, image.shape)
    if pectoral is not None:
        pectoral = _enlarged(pectoral, image.shape) & breast
    return Cleaned(np.where(breast, image, image.dtype.type(0)), breast, pectoral)


def _pectoral(image: NDArray[np.float32], breast: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    if not chest_wall_right(breast):
        return pectoral_mask(image, breast)
    mirrored = pectoral_mask(np.ascontiguousarray(image[:, ::-1]), breast[:, ::-1])
    return None if mirrored is None else mirrored[:, ::-1]


def _reduced(image: NDArray[np.float32]) -> NDArray[np.float32]:
    height, width = image.shape
    if height <= HEIGHT:
        return image
    return np.asarray(cv2.resize(image, (max(1, round(width * HEIGHT / height)), HEIGHT), interpolation=cv2.INTER_AREA))


def _enlarged(mask: NDArray[np.bool_], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    soft = cv2.resize(mask.astype(np.float32), shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(soft >= 0.5)
