"""A breast without masses: outline, thickness, gland, strands and muscle of one patient and view."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.data.phantom import calibration as cal
from pipeline.data.phantom.fields import Array, lines, logistic, power_law, ramp
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
class Anatomy:
    """Fields (H, W) of a breast.

    breast: bool. thickness: 0..1 of the compressed thickness. tissue: attenuation relative to fat (0) and gland (1).
    gland: glandular share, smooth. muscle: 0..1. nipple: x, y in px. wall_left: whether the chest wall is on the left.
    """

    breast: NDArray[np.bool_]
    thickness: Array
    tissue: Array
    gland: Array
    muscle: Array
    nipple: tuple[float, float]
    wall_left: bool = True

    def mirrored(self) -> "Anatomy":
        """The same breast facing the other way."""
        width = self.breast.shape[1]
        fields = {name: np.ascontiguousarray(getattr(self, name)[:, ::-1]) for name in ("breast", "thickness", "tissue", "gland", "muscle")}
        return Anatomy(**fields, nipple=(width - self.nipple[0], self.nipple[1]), wall_left=not self.wall_left)


def patient_of(seed: int, patient: str) -> Patient:
    rng = generator(seed, "phantom", patient)
    density = 1 + int(rng.choice(4, p=cal.DENSITY_SHARES))
    return Patient(
        laterality="LR"[int(rng.integers(2))],
        density=density,
        radius=float(np.clip(rng.normal(84, 13), 58, 112)),
        share=float(rng.uniform(*cal.DENSE_AREA[density - 1])),
        softness=float(rng.uniform(0.18, 0.45)),
    )


def anatomy_of(seed: int, patient: str, view: str, shape: tuple[int, int]) -> Anatomy:
    """The fields of (patient, view) at `shape` (H, W) px."""
    rng = generator(seed, "phantom", patient, view, "anatomy")
    person = patient_of(seed, patient)
    mm = cal.FILM_HEIGHT_MM / shape[0]
    y, x = (np.asarray(axis, np.float32) for axis in np.mgrid[: shape[0], : shape[1]])
    y, x = (y + 0.5) * mm, (x + 0.5) * mm
    skin, nipple, fold = _outline(rng, person, view, y[:, :1], float(x[0, -1]))
    breast = x < skin
    depth = _depth(breast) * mm
    thickness = np.sqrt(1 - np.square(1 - np.clip(depth / rng.uniform(20, 32), 0, 1)))
    muscle = _muscle(rng, x, y, fold) if view == "MLO" else np.zeros(shape, np.float32)
    gland = _gland(rng, person, view, x, y, nipple, depth, muscle, breast)
    strands = _radial_strands(rng, x, y, nipple, gland) + _strokes(rng, shape, mm, nipple, breast)
    fine = power_law(rng, shape, cal.BETA[view] - 0.6, 0.06)
    tissue = 0.86 * gland + strands * ramp(depth, 1, 7) + 0.05 * fine * (0.5 + gland)
    tissue = np.maximum(tissue, cal.SKIN * ramp(depth, 2.5, 1.0) * 6)
    level = (cal.MUSCLE - cal.FAT) / (cal.GLAND - cal.FAT)
    tissue = tissue * (1 - 0.8 * muscle) + muscle * (level - 0.12 + 0.05 * fine)
    return Anatomy(breast, thickness.astype(np.float32), tissue.astype(np.float32), gland, muscle, (nipple[0] / mm, nipple[1] / mm))


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
    """Pectoral muscle, 0..1: below a slightly curved line from the film's top edge to the chest wall."""
    top, low = rng.uniform(25, 62), fold * rng.uniform(0.5, 0.95)
    edge = top * np.clip(1 - y / low, 0, 1) ** rng.uniform(0.8, 1.25)
    soft = rng.uniform(1.5, 4)
    return ramp(edge - x, -soft, soft) * ramp(edge, 0, 6)


def _gland(
    rng: np.random.Generator,
    person: Patient,
    view: str,
    x: Array,
    y: Array,
    nipple: tuple[float, float],
    depth: Array,
    muscle: Array,
    breast: NDArray[np.bool_],
) -> Array:
    """Glandular share, 0..1: a cone behind the nipple, broken up by power-law noise, of the patient's share of the area.

    Two layers are averaged, as a projection does.
    """
    lift = rng.normal(0.12, 0.1) * person.radius * (2.0 if view == "MLO" else 1.0)
    along = np.clip(1 - x / nipple[0], 0, 1.2)
    across = (y - nipple[1] + lift * along) / (person.radius * (0.22 + 0.62 * np.sqrt(np.clip(along, 0, 1))))
    envelope = 1 - across**2 - 1.3 * ramp(along, 0.55, 1.05) - 1.2 * ramp(depth, 9, 2) - 1.5 * muscle
    envelope = np.clip(envelope, -1.5, None)
    inside = breast & (muscle < 0.5)
    layers = []
    for _ in range(2):
        field = envelope + rng.uniform(0.55, 0.85) * power_law(rng, x.shape, cal.BETA[view], 0.3)
        threshold = np.quantile(field[inside], 1 - person.share)
        layers.append(logistic((field - threshold) / person.softness))
    return np.asarray(sum(layers) / len(layers) * ramp(depth, 1, 8) * (1 - muscle), np.float32)


def _radial_strands(rng: np.random.Generator, x: Array, y: Array, nipple: tuple[float, float], gland: Array) -> Array:
    """Ducts and ligaments: ridges of noise that is stretched along rays from the nipple."""
    dx, dy = nipple[0] + 6 - x, y - nipple[1]
    side = 256
    noise = power_law(rng, (side, side), 2.6, 0.2)
    u = (np.arctan2(dy, np.maximum(dx, 0.1)) / np.pi + 0.5) * side * 0.9
    v = np.log1p(np.hypot(dx, dy) / 30) * side * 0.22
    warped = cv2.remap(noise, u.astype(np.float32), v.astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    warped = warped + 0.25 * power_law(rng, x.shape, 2.4, 0.08)
    ridge = np.exp(-np.square(warped / 0.16))
    return np.asarray(ridge * (0.06 + 0.22 * np.sqrt(gland)) * rng.uniform(0.6, 1.3), np.float32)


def _strokes(rng: np.random.Generator, shape: tuple[int, int], mm: float, nipple: tuple[float, float], breast: NDArray[np.bool_]) -> Array:
    """Vessels across the breast and strands that cross each other."""
    strokes = []
    for _ in range(rng.poisson(cal.VESSELS)):
        start = np.array([rng.uniform(0, 0.3) * nipple[0], nipple[1] + rng.normal(0, 45)])
        end = np.array([nipple[0] * rng.uniform(0.5, 0.9), nipple[1] + rng.normal(0, 25)])
        strokes.append((_curve(rng, start, end, 9.0) / mm, rng.uniform(0.9, 2.0) / mm, rng.uniform(0.2, 0.42)))
    rows, columns = np.nonzero(breast)
    for _ in range(rng.poisson(cal.CROSSINGS)):
        pick = int(rng.integers(len(rows)))
        centre = np.array([columns[pick], rows[pick]]) * mm
        for _ in range(int(rng.integers(2, 5))):
            angle, length = rng.uniform(0, np.pi), rng.uniform(8, 30)
            reach = length / 2 * np.array([np.cos(angle), np.sin(angle)])
            shift = rng.normal(0, 1.5, 2)
            strokes.append(
                (_curve(rng, centre + shift - reach, centre + shift + reach, 1.5) / mm, rng.uniform(0.6, 1.4) / mm, rng.uniform(0.15, 0.4))
            )
    return cv2.GaussianBlur(lines(shape, strokes), (0, 0), max(0.5, 0.5 / mm))


def _curve(rng: np.random.Generator, start: NDArray[np.float64], end: NDArray[np.float64], bend: float) -> NDArray[np.float64]:
    """A smooth curve (24, 2) from start to end; bend: standard deviation in mm of its course off the straight line."""
    t = np.linspace(0, 1, 24)[:, None]
    normal = np.array([-(end - start)[1], (end - start)[0]]) / max(float(np.hypot(*(end - start))), 1e-6)
    waves = sum(rng.normal(0, bend) / k * np.sin(np.pi * k * t) for k in (1, 2, 3))
    return np.asarray(start + (end - start) * t + normal * waves)
