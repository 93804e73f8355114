"""The breast in a mammogram: film borders off, threshold above the background, largest part, smooth outline."""

import cv2
import numpy as np
from numpy.typing import NDArray

WHITE = 0.9  # of the largest value: unexposed film and scanner light
BORDER = 0.05  # of a side: the widest border that is looked for
SMOOTHING = 0.003  # of the height: sigma before the threshold, about the blur of the skin line
BACKGROUND = 0.2  # of the way from background to Otsu's threshold: where skin begins
NECK = 0.02  # of the height: what hangs on the breast by less is not breast


def breast_mask(image: NDArray[np.float32]) -> NDArray[np.bool_]:
    """The breast with its pectoral muscle, without labels, tape and borders.

    image: (H, W) float32 in [0, 1], a few hundred px high. Returns (H, W) bool, one component without holes,
    empty where the image holds nothing above its background.
    """
    height = len(image)
    smooth = cv2.GaussianBlur(image, (0, 0), SMOOTHING * height)
    skin = _skin_level(smooth)
    above = (smooth > skin) & film_area(image, skin)
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * round(NECK * height / 2) + 1,) * 2)
    core = _largest(cv2.morphologyEx(above.astype(np.uint8), cv2.MORPH_OPEN, disk, borderType=cv2.BORDER_CONSTANT, borderValue=0))
    near = cv2.dilate(core.astype(np.uint8), disk).astype(bool)
    breast = _largest((above & near) | core).astype(np.uint8)
    return _without_gaps(cv2.morphologyEx(breast, cv2.MORPH_CLOSE, disk).astype(bool))


def chest_wall_right(breast: NDArray[np.bool_]) -> bool:
    """Whether the breast (H, W) has its chest wall on the right: it ends there in a wall, on the other side in a tip."""
    columns = breast.sum(0)
    columns = columns[columns > 0]
    edge = max(1, len(columns) // 20)
    return bool(columns[-edge:].sum() > columns[:edge].sum())


def film_area(image: NDArray[np.float32], skin: float) -> NDArray[np.bool_]:
    """(H, W) bool: the image without bright borders and what lies beyond them (paper 4.1, step 1)."""
    area = np.zeros(image.shape, bool)
    left, right = (_white_border(side) for side in (image, image[:, ::-1]))
    top, bottom = (max(_white_border(side), _grey_border(side, skin)) for side in (image.T, image.T[:, ::-1]))
    area[top : len(image) - bottom, left : image.shape[1] - right] = True
    return area


def _white_border(image: NDArray[np.float32]) -> int:
    """Columns of white on the left of (H, W). Rows that stay white (muscle, label) say nothing."""
    reach = max(2, round(BORDER * image.shape[1]))
    white = image[:, : 2 * reach] >= WHITE * image.max()
    return _depth(white[:, :reach], ~white[:, reach:].max(1))


def _grey_border(image: NDArray[np.float32], skin: float) -> int:
    """Columns on the left of (H, W) that are brighter than background in rows that are background further in."""
    reach = max(2, round(BORDER * image.shape[1]))
    bright = image[:, : 2 * reach] > skin
    return _depth(bright[:, :reach], ~bright[:, reach:].max(1))


def _depth(bright: NDArray[np.bool_], telling: NDArray[np.bool_]) -> int:
    """How far bright px reach in from the left, where most of the telling rows have any; else 0. bright: (H, reach)."""
    rows = bright[telling]
    seen = rows[rows.any(1)]
    if len(rows) < 0.2 * len(bright) or len(seen) < 0.5 * len(rows):
        return 0
    return int(np.quantile(seen.shape[1] - seen[:, ::-1].argmax(1), 0.9)) + 1


def _skin_level(values: NDArray[np.float32]) -> float:
    """Where tissue begins: a fixed share of the way from the background (the mode of the dark part) to Otsu's threshold."""
    levels = np.clip(values * 255, 0, 255).astype(np.uint8).reshape(1, -1)
    if levels.min() == levels.max():
        return 1.0
    otsu, _ = cv2.threshold(levels, 0, 255, cv2.THRESH_OTSU)
    background = np.bincount(levels[0], minlength=256)[: int(otsu) + 1].argmax()
    return float(background + BACKGROUND * (otsu - background)) / 255


def _largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    return labels == 1 + stats[1:, cv2.CC_STAT_AREA].argmax() if count > 1 else np.zeros_like(mask)


def _without_gaps(breast: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """With all holes filled, and the dark notches of fat that open to the chest wall alone."""
    if not breast.any():
        return breast
    closed = breast.astype(np.uint8)
    columns = np.flatnonzero(breast.any(0))
    wall = columns[-1] if chest_wall_right(breast) else columns[0]
    rows = np.flatnonzero(breast[:, wall])
    closed[rows[0] : rows[-1], wall] = 1
    outlines, _ = cv2.findContours(closed, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return np.asarray(cv2.drawContours(closed, outlines, -1, 1, cv2.FILLED), bool)
