"""What a breast without masses consists of: gland, ducts, ligaments, vessels, skin and muscle."""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.data.phantom import calibration as cal
from pipeline.data.phantom.fields import Array, Stroke, lines, logistic, power_law, ramp
from pipeline.data.phantom.layout import Layout, Patient, layout_of, patient_of
from pipeline.rng import generator

LAYERS = 2
RADIAL_SIDE = 256
Polar = tuple[Array, Array]


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


def anatomy_of(seed: int, patient: str, view: str, shape: tuple[int, int]) -> Anatomy:
    """The fields of (patient, view) at `shape` (H, W) px."""
    rng = generator(seed, "phantom", patient, view, "anatomy")
    person = patient_of(seed, patient)
    at = layout_of(rng, person, view, shape)
    polar = _polar(rng, at)
    gland = _gland(rng, person, at, polar)
    strands = _strands(rng, shape, polar, gland) + _strokes(rng, at)
    fine = power_law(rng, shape, 3.2, 0.12)
    tissue = 0.88 * gland + strands * ramp(at.depth, 1, 9) + 0.04 * fine
    tissue = np.maximum(tissue, cal.SKIN * ramp(at.depth, 2.5, 0.8))
    level = (cal.MUSCLE - cal.FAT) / (cal.GLAND - cal.FAT)
    tissue = tissue * (1 - 0.8 * at.muscle) + at.muscle * (level - 0.12 + 0.05 * fine)
    nipple = (at.nipple[0] / at.mm, at.nipple[1] / at.mm)
    return Anatomy(at.breast, at.thickness, tissue.astype(np.float32), gland, at.muscle, nipple)


def _gland(rng: np.random.Generator, person: Patient, at: Layout, polar: Polar) -> Array:
    """Glandular share, 0..1: a cone behind the nipple, broken up by power-law noise, of the patient's share of the area.

    Layers are averaged, as a projection does.
    """
    lift = rng.normal(0.12, 0.1) * person.radius * (2.0 if at.view == "MLO" else 1.0)
    along = np.clip(1 - at.x / at.nipple[0], 0, 1.2)
    across = (at.y - at.nipple[1] + lift * along) / (person.radius * (0.22 + 0.62 * np.sqrt(np.clip(along, 0, 1))))
    envelope = 1 - across**2 - 1.3 * ramp(along, 0.55, 1.05) - 1.2 * ramp(at.depth, 9, 2) - 1.5 * at.muscle
    envelope = np.clip(envelope, -1.5, None)
    inside = at.breast & (at.muscle < 0.5)
    beta = cal.BETA[at.view]
    layers = []
    for _ in range(LAYERS):
        noise = 0.7 * power_law(rng, at.shape, beta, 0.3) + 0.7 * _radial(rng, polar, beta, 0.3)
        field = envelope + rng.uniform(0.5, 0.9) * noise
        threshold = np.quantile(field[inside], 1 - person.share)
        layers.append(logistic((field - threshold) / person.softness))
    return np.asarray(sum(layers) / len(layers) * ramp(at.depth, 1, 8) * (1 - at.muscle), np.float32)


def _polar(rng: np.random.Generator, at: Layout) -> Polar:
    """Where each pixel looks in noise that is to be stretched along the rays from the nipple, as ducts and ligaments run."""
    dx, dy = at.nipple[0] + 8 - at.x, at.y - at.nipple[1]
    wobble = 6 * power_law(rng, at.shape, 3.5, 0.3)
    angle = (np.arctan2(dy + wobble, np.maximum(dx, 0.1)) / np.pi + 0.5) * RADIAL_SIDE
    ray = np.log1p(np.hypot(dx, dy) / 30) * RADIAL_SIDE * 0.2
    return np.asarray(angle, np.float32), np.asarray(ray, np.float32)


def _radial(rng: np.random.Generator, polar: Polar, beta: float, longest: float) -> Array:
    noise = power_law(rng, (RADIAL_SIDE, RADIAL_SIDE), beta, longest)
    return np.asarray(cv2.remap(noise, *polar, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT))


def _strands(rng: np.random.Generator, shape: tuple[int, int], polar: Polar, gland: Array) -> Array:
    """Ducts and ligaments as ridges: of noise along the rays, and of isotropic noise where ligaments run across."""
    along = np.exp(-np.square(_radial(rng, polar, 3.6, 0.12) / 0.16))
    across = np.exp(-np.square(power_law(rng, shape, 3.8, 0.12) / 0.16))
    weight = (0.04 + 0.14 * np.sqrt(gland)) * rng.uniform(0.5, 1.5)
    return np.asarray((along + 0.6 * across) * weight, np.float32)


def _strokes(rng: np.random.Generator, at: Layout) -> Array:
    """Ducts from the nipple, vessels across the breast, and strands that cross each other."""
    strokes = [*_ducts(rng, at), *_vessels(rng, at), *_crossings(rng, at)]
    return cv2.GaussianBlur(lines(at.shape, strokes), (0, 0), max(0.5, 0.5 / at.mm))


def _ducts(rng: np.random.Generator, at: Layout) -> Iterator[Stroke]:
    for _ in range(rng.poisson(cal.DUCTS)):
        start = np.array([at.nipple[0] - rng.uniform(3, 25), at.nipple[1] + rng.normal(0, 6)])
        end = start + np.array([-rng.uniform(0.3, 0.9) * at.nipple[0], rng.normal(0, 40)])
        yield _curve(rng, start, end, 5.0) / at.mm, rng.uniform(0.35, 0.9) / at.mm, rng.uniform(0.04, 0.16)


def _vessels(rng: np.random.Generator, at: Layout) -> Iterator[Stroke]:
    for _ in range(rng.poisson(cal.VESSELS)):
        start = np.array([rng.uniform(0, 0.3) * at.nipple[0], at.nipple[1] + rng.normal(0, 45)])
        end = np.array([at.nipple[0] * rng.uniform(0.5, 0.95), at.nipple[1] + rng.normal(0, 25)])
        course, width, strength = _curve(rng, start, end, 6.0) / at.mm, rng.uniform(0.5, 1.3) / at.mm, rng.uniform(0.1, 0.25)
        for piece in range(6):
            yield course[4 * piece : 4 * piece + 5], width * (1 - 0.1 * piece), strength * (1 - 0.12 * piece)


def _crossings(rng: np.random.Generator, at: Layout) -> Iterator[Stroke]:
    rows, columns = np.nonzero(at.breast)
    for _ in range(rng.poisson(cal.CROSSINGS)):
        pick = int(rng.integers(len(rows)))
        centre = np.array([columns[pick], rows[pick]]) * at.mm
        for _ in range(int(rng.integers(2, 5))):
            angle, length = rng.uniform(0, np.pi), rng.uniform(8, 30)
            reach = length / 2 * np.array([np.cos(angle), np.sin(angle)])
            middle = centre + rng.normal(0, 1.5, 2)
            course = _curve(rng, middle - reach, middle + reach, 1.5) / at.mm
            yield course, rng.uniform(0.6, 1.4) / at.mm, rng.uniform(0.15, 0.4)


def _curve(rng: np.random.Generator, start: NDArray[np.float64], end: NDArray[np.float64], bend: float) -> NDArray[np.float64]:
    """A smooth curve (24, 2) from start to end; bend: standard deviation in mm of its course off the straight line."""
    t = np.linspace(0, 1, 24)[:, None]
    normal = np.array([-(end - start)[1], (end - start)[0]]) / max(float(np.hypot(*(end - start))), 1e-6)
    waves = sum(rng.normal(0, bend) / k * np.sin(np.pi * k * t) for k in (1, 2, 3))
    return np.asarray(start + (end - start) * t + normal * waves)
