"""The form of a breast on film: patient, outline, thickness and pectoral muscle. Lengths are in mm."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.data.phantom import calibration as cal
from pipeline.data.phantom.fields import Array, ramp
from pipeline.rng import generator


@dataclass(frozen=True)
class Patient:
    """What both views of a patient share. radius: half the height of the breast in mm; share: glandular share of its area."""

    laterality: str
    density: int
    radius: float
    share: float
    softness: float


@dataclass(frozen=True)
class Layout:
    """A breast whose chest wall is on the left, before it has tissue.

    x, y: (H, W) coordinates of the pixels' centres in mm. mm: side of a pixel. nipple: (x, y) in mm. breast: (H, W) bool.
    depth: (H, W) distance from the skin in mm. thickness, muscle: (H, W) 0..1.
    """

    view: str
    x: Array
    y: Array
    mm: float
    nipple: tuple[float, float]
    breast: NDArray[np.bool_]
    depth: Array
    thickness: Array
    muscle: Array

    @property
    def shape(self) -> tuple[int, int]:
        return (self.x.shape[0], self.x.shape[1])


def patient_of(seed: int, patient: str) -> Patient:
    rng = generator(seed, "phantom", patient)
    density = 1 + int(rng.choice(4, p=cal.DENSITY_SHARES))
    return Patient(
        laterality="LR"[int(rng.integers(2))],
        density=density,
        radius=float(np.clip(rng.normal(91, 14), 60, 118)),
        share=float(rng.uniform(*cal.DENSE_AREA[density - 1])),
        softness=float(rng.uniform(0.3, 0.7)),
    )


def layout_of(rng: np.random.Generator, person: Patient, view: str, shape: tuple[int, int]) -> Layout:
    """One view of a patient's breast at `shape` (H, W) px."""
    mm = cal.FILM_HEIGHT_MM / shape[0]
    y, x = (np.asarray(axis, np.float32) for axis in np.mgrid[: shape[0], : shape[1]])
    y, x = (y + 0.5) * mm, (x + 0.5) * mm
    skin, nipple, fold = _outline(rng, person, view, y[:, :1], float(x[0, -1]))
    breast = x < skin
    depth = _depth(breast) * mm
    thickness = ((1 - np.square(1 - np.clip(depth / rng.uniform(20, 34), 0, 1))) ** 0.75).astype(np.float32)
    muscle = _muscle(rng, x, y, fold) if view == "MLO" else np.zeros(shape, np.float32)
    return Layout(view, x, y, mm, nipple, breast, depth, thickness, muscle)


def _outline(rng: np.random.Generator, person: Patient, view: str, y: Array, width: float) -> tuple[Array, tuple[float, float], float]:
    """Distance of the skin from the chest wall for rows `y` (N, 1) in mm; the nipple (x, y); the lower fold."""
    radius = person.radius
    p, q = rng.uniform(1.9, 2.5), rng.uniform(1.8, 2.3)
    if view == "CC":
        depth = min(radius * rng.uniform(1.0, 1.3), 0.88 * width)
        middle = cal.FILM_HEIGHT_MM / 2 + rng.normal(0, 6)
        at, fold = middle + rng.normal(0, 0.08) * radius, middle + radius
        up, down = at - (middle - radius), fold - at
        skin = depth * (1 - np.clip(np.where(y < at, (at - y) / up, (y - at) / down), 0, 1) ** p) ** (1 / q)
    else:
        depth = min(radius * rng.uniform(1.05, 1.4), 0.88 * width)
        at = rng.uniform(0.5, 0.66) * cal.FILM_HEIGHT_MM
        fold = min(at + radius * rng.uniform(0.75, 0.95), 0.97 * cal.FILM_HEIGHT_MM)
        top = depth * rng.uniform(0.35, 0.75)
        rise = np.clip(y / at, 0, 1)
        upper = top + (depth - top) * (0.55 * rise ** rng.uniform(1.6, 2.6) + 0.45 * np.sin(np.pi / 2 * rise) ** 2)
        lower = depth * (1 - np.clip((y - at) / (fold - at), 0, 1) ** p) ** (1 / q)
        belly = rng.uniform(0, 14) * ramp(y, fold - 8, fold + 20)
        skin = np.maximum(np.where(y < at, upper, lower), belly)
    skin = skin + rng.uniform(0, 3.5) * np.exp(-np.square((y - at) / 4.5))
    return np.asarray(skin, np.float32), (float(depth), float(at)), float(fold)


def _depth(breast: NDArray[np.bool_]) -> Array:
    """Distance in px of each pixel of the breast from the skin; the film's edges are no skin."""
    pad = max(breast.shape) // 4
    wide = cv2.copyMakeBorder(breast.astype(np.uint8), pad, pad, pad, 0, cv2.BORDER_REPLICATE)
    return np.asarray(cv2.distanceTransform(wide, cv2.DIST_L2, 5)[pad:-pad, pad:])


def _muscle(rng: np.random.Generator, x: Array, y: Array, fold: float) -> Array:
    """Pectoral muscle, 0..1: below a curved line from the film's top edge to the chest wall, thinner towards that line."""
    top, low = rng.uniform(18, 60), fold * rng.uniform(0.45, 0.95)
    fall = np.clip(1 - y / low, 0, 1)
    edge = top * (fall ** rng.uniform(0.75, 1.3) + rng.uniform(-0.1, 0.15) * np.sin(np.pi * fall))
    soft = rng.uniform(2, 6)
    body = 0.72 + 0.28 * ramp(edge - x, 0, rng.uniform(20, 45))
    return np.asarray(ramp(edge - x, -soft, soft) * ramp(edge, 0, 8) * body, np.float32)
