"""From attenuation to film: tone curve, blur, noise, and what lies on the film besides the breast."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.data.phantom import calibration as cal
from pipeline.data.phantom.fields import Array, logistic

MARGIN_MM = 4.0


@dataclass(frozen=True)
class Frame:
    """The film's edges: first and last row and column (exclusive) that show the breast, and the grey beyond them."""

    top: int
    bottom: int
    left: int
    right: int
    grey: float


def frame_of(rng: np.random.Generator, shape: tuple[int, int], spacing_mm: float) -> Frame:
    """Each edge lies inside of the image with probability BORDER_SHARE, by up to 6 mm."""
    widths = [int(rng.uniform(1, 6) / spacing_mm) * int(rng.random() < cal.BORDER_SHARE) for _ in range(4)]
    grey = float(rng.uniform(0.85, 1.0)) if rng.random() < 0.8 else 0.0
    return Frame(widths[0], shape[0] - widths[1], widths[2], shape[1] - widths[3], grey)


def exposed(rng: np.random.Generator, attenuation: Array, spacing_mm: float) -> Array:
    """Grey values 0..1 of a film: a logistic characteristic curve, the system's blur, grain and quantum noise."""
    slope, middle = rng.uniform(3.6, 5.0), rng.normal(0.55, 0.035)
    black, white = rng.uniform(0.005, 0.04), rng.uniform(0.9, 1.0)
    grain = rng.standard_normal(attenuation.shape, np.float32)
    foot = logistic(np.array(-slope * middle, np.float32))
    tone = (logistic(slope * (attenuation - middle)) - foot) / (1 - foot)
    blurred = cv2.GaussianBlur(np.asarray(tone, np.float32), (0, 0), cal.BLUR_PX)
    noise = cal.NOISE * (0.4 + np.sqrt(np.clip(blurred, 0, 1))) * grain
    return np.asarray(black + (white - black) * blurred + noise, np.float32)


def clutter(
    rng: np.random.Generator, grey: Array, breast: NDArray[np.bool_], laterality: str, view: str, frame: Frame, spacing_mm: float
) -> Array:
    """Add what cleaning has to remove, all of it outside of the breast: markers, tape, dust, and the edges of the film."""
    height, width = grey.shape
    keep_out = cv2.dilate(breast.astype(np.uint8), np.ones((3, 3)), iterations=max(1, round(MARGIN_MM / spacing_mm))) > 0
    added = np.zeros(grey.shape, np.float32)
    if rng.random() < cal.LABEL_SHARE:
        _marker(rng, added, keep_out, laterality, view, spacing_mm)
    if rng.random() < cal.TAPE_SHARE:
        _tape(rng, added, laterality)
    for _ in range(rng.poisson(3)):
        added[int(rng.integers(height)), int(rng.integers(width))] = rng.uniform(0.1, 0.9)
    film = np.where(keep_out, grey, np.maximum(grey, added))
    result = np.full(grey.shape, frame.grey, np.float32)
    inside = slice(frame.top, frame.bottom), slice(frame.left, frame.right)
    result[inside] = film[inside]
    return result


def _marker(rng: np.random.Generator, added: Array, keep_out: NDArray[np.bool_], laterality: str, view: str, spacing_mm: float) -> None:
    """A lead marker like RMLO or L CC, turned, in a free place on the nipple's side; none where there is no room."""
    text = str(rng.choice([f"{laterality}{view}", f"{laterality} {view}", laterality, f"{view}-{laterality}"]))
    scale = rng.uniform(6, 11) / spacing_mm / 22
    thick = max(1, round(scale * rng.uniform(2, 4)))
    (wide, high), base = cv2.getTextSize(text, cv2.FONT_HERSHEY_DUPLEX, scale, thick)
    pad = max(2, high // 3)
    tile = np.full((high + base + 2 * pad, wide + 2 * pad), rng.uniform(0.04, 0.2) * (rng.random() < 0.4), np.float32)
    cv2.putText(tile, text, (pad, pad + high), cv2.FONT_HERSHEY_DUPLEX, scale, float(rng.uniform(0.35, 1.0)), thick, cv2.LINE_AA)
    tile = _turned(tile, float(rng.choice([0, 90, -90, rng.uniform(-70, 70)])))
    rows, columns = tile.shape
    height, width = added.shape
    for _ in range(30):
        low, span = (0.5, 0.5) if laterality == "L" else (0.0, 0.5)
        x = int((low + span * rng.random()) * (width - columns))
        y = int(rng.uniform(0, 0.4 if rng.random() < 0.8 else 1.0) * (height - rows))
        if x < 0 or y < 0:
            return
        place = slice(y, y + rows), slice(x, x + columns)
        if not keep_out[place].any():
            np.maximum(added[place], tile, out=added[place])
            return


def _turned(tile: Array, degrees: float) -> Array:
    rows, columns = tile.shape
    turn = cv2.getRotationMatrix2D((columns / 2, rows / 2), degrees, 1)
    wide = int(np.ceil(rows * abs(turn[0, 1]) + columns * abs(turn[0, 0])))
    high = int(np.ceil(rows * abs(turn[0, 0]) + columns * abs(turn[0, 1])))
    turn[:, 2] += [(wide - columns) / 2, (high - rows) / 2]
    return np.asarray(cv2.warpAffine(tile, turn, (wide, high)))


def _tape(rng: np.random.Generator, added: Array, laterality: str) -> None:
    """A translucent strip across a corner on the nipple's side."""
    height, width = added.shape
    corner = np.array([width if laterality == "L" else 0, height * int(rng.integers(2))], float)
    inward = np.array([-1 if laterality == "L" else 1, 1 if corner[1] == 0 else -1])
    a, b = corner + inward * [rng.uniform(0.1, 0.4) * width, 0], corner + inward * [0, rng.uniform(0.05, 0.25) * height]
    cv2.line(
        added,
        tuple(np.rint(a).astype(int).tolist()),
        tuple(np.rint(b).astype(int).tolist()),
        float(rng.uniform(0.15, 0.7)),
        max(2, int(rng.uniform(0.01, 0.04) * height)),
        cv2.LINE_AA,
    )
