"""Masses: one continuous family of outlines and margins, and how a mass takes the place of tissue."""

import dataclasses
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.data.phantom import calibration as cal
from pipeline.data.phantom.fields import Array, power_law, ramp
from pipeline.rng import generator

Floats = NDArray[np.floating]
ANGLES = np.linspace(-np.pi, np.pi, 361)
SPICULE_REACH = 2.4  # radii from the centre at which the longest spicule and the distortion have ended


@dataclass(frozen=True)
class Mass:
    """A mass in px of the raw image.

    x, y: centre of its box. width, height: of its box. shape, margins: as CBIS-DDSM names them. fraction: share of the
    breast's thickness that it replaces, 0..1. seed: draws everything else about it.
    """

    x: float
    y: float
    width: float
    height: float
    shape: str
    margins: str
    fraction: float
    seed: int

    @property
    def reach(self) -> int:
        """No pixel farther than this from the centre, along x or y, depends on the mass."""
        return int(np.ceil(SPICULE_REACH * max(self.width, self.height) / 2)) + 6


def new_mass(rng: np.random.Generator, x: float, y: float, width: float, height: float) -> Mass:
    """A mass of the phantom's own distribution with the given box; `rng` draws shape, margins, contrast and detail."""
    margins = str(rng.choice(list(cal.MARGINS), p=_shares(cal.MARGINS)))
    shape = str(rng.choice(list(cal.SHAPES), p=_shares(cal.SHAPES)))
    if shape in ("oval", "round"):
        shape = "oval" if max(width, height) > 1.15 * min(width, height) else "round"
    fraction = float(np.clip(cal.CONTRAST_MEDIAN * np.exp(cal.CONTRAST_SIGMA * rng.normal()), *cal.CONTRAST_LIMITS))
    return Mass(x, y, width, height, shape, margins, fraction, int(rng.integers(2**31)))


def new_size(rng: np.random.Generator, image_height: int) -> tuple[float, float]:
    """Width and height in px of a mass's box."""
    side = float(np.clip(cal.SIZE_MEDIAN * np.exp(cal.SIZE_SIGMA * rng.normal()), *cal.SIZE_LIMITS)) * image_height
    aspect = float(np.exp(cal.ASPECT_SIGMA * rng.normal()))
    return side * aspect, side / aspect


def seen_again(rng: np.random.Generator, mass: Mass) -> Mass:
    """The same mass in another view: nearly the same size and contrast, details anew."""
    scale, aspect, contrast = np.exp([0.08, 0.04, 0.12] * rng.normal(size=3))
    return dataclasses.replace(
        mass,
        width=mass.width * scale * aspect,
        height=mass.height * scale / aspect,
        fraction=float(np.clip(mass.fraction * contrast, *cal.CONTRAST_LIMITS)),
        seed=int(rng.integers(2**31)),
    )


def insert(tissue: Array, mass: Mass, spacing_mm: float, attenuation: float = cal.MASS) -> NDArray[np.bool_]:
    """Put a mass into `tissue` (H, W; attenuation relative to fat and gland), in place; return its outline (H, W) bool.

    Tissue is replaced, not added to: in gland there is little to see. Around spiculated masses it is drawn towards them.
    """
    outline = np.zeros(tissue.shape, bool)
    left, top = max(0, int(mass.x) - mass.reach + 3), max(0, int(mass.y) - mass.reach + 3)
    window = slice(top, max(top, int(mass.y) + mass.reach - 2)), slice(left, max(left, int(mass.x) + mass.reach - 2))
    if not outline[window].size:
        return outline
    rows, columns = outline[window].shape
    dy = (np.arange(top, top + rows) + 0.5 - mass.y)[:, None]
    dx = (np.arange(left, left + columns) + 0.5 - mass.x)[None]
    rng = generator(mass.seed, "mass")
    relative, angle = _relative_radius(rng, mass, dx, dy)
    share = _profile(rng, mass, relative, angle)
    radius = (mass.width + mass.height) / 4
    distance = np.hypot(dx, dy) / radius
    part = tissue[window]
    pull = _pull(mass)
    if pull:
        part = _drawn_in(part, dx, dy, distance, pull)
    if mass.margins == "spiculated":
        share = share + _spicules(rng, distance, np.arctan2(dy, dx), radius, spacing_mm)
    share = np.clip(share * mass.fraction, 0, 0.95).astype(np.float32)
    tissue[window] = part + share * (np.float32(attenuation) - part)
    outline[window] = relative <= 1
    return outline


def _shares(weights: dict[str, float]) -> NDArray[np.float64]:
    values = np.array(list(weights.values()))
    return np.asarray(values / values.sum())


def _relative_radius(rng: np.random.Generator, mass: Mass, dx: Floats, dy: Floats) -> tuple[Array, Array]:
    """Distance from the centre in units of the outline (1: on it), and the angle; the outline fills the mass's box."""
    amplitude = {"irregular": 0.16, "lobulated": 0.05, "irregular-architectural_distortion": 0.2}.get(mass.shape, 0.02)
    harmonics = np.arange(2, 13)
    size = amplitude * (2 / harmonics) ** 1.2
    if mass.shape == "lobulated":
        size[1:4] += 0.07
    if mass.margins == "microlobulated":
        size[6:10] += 0.035
    phases = rng.uniform(0, 2 * np.pi, len(harmonics))
    waves = size * np.abs(rng.normal(1, 0.35, len(harmonics)))
    radii = np.clip(1 + (waves[:, None] * np.cos(harmonics[:, None] * ANGLES + phases[:, None])).sum(0), 0.35, None)
    along, down = radii * np.cos(ANGLES), radii * np.sin(ANGLES)
    u = dx * (np.ptp(along) / mass.width) + (along.max() + along.min()) / 2
    v = dy * (np.ptp(down) / mass.height) + (down.max() + down.min()) / 2
    angle = np.arctan2(v, u)
    return np.hypot(u, v) / np.interp(angle, ANGLES, radii), angle


def _profile(rng: np.random.Generator, mass: Mass, relative: Array, angle: Array) -> Array:
    """Depth of the mass, 0..1: thick in the middle, with an edge as sharp as its margins.

    The outline (relative radius 1) is a reader's: the visible edge lies somewhat within or beyond it.
    """
    relative = relative / rng.uniform(*cal.READER)
    soft = {"circumscribed": 0.16, "microlobulated": 0.22, "obscured": 0.22, "spiculated": 0.38, "ill_defined": 0.6}[mass.margins]
    if mass.margins == "obscured":
        soft = soft + 0.6 * np.clip(np.cos(angle - rng.uniform(-np.pi, np.pi)) + 0.2, 0, None)
    edge = ramp((1 + soft - relative) / (2 * soft), 0, 1)
    dome = 0.35 + 0.65 * np.sqrt(np.clip(1 - np.square(relative / (1 + soft)), 0, None))
    grain = power_law(rng, (relative.shape[0], relative.shape[1]), 2.5)
    return np.asarray(edge * dome * np.clip(1 + 0.12 * grain, 0.5, 1.5))


def _pull(mass: Mass) -> float:
    """How far the surroundings are drawn towards the mass, as a share of their distance."""
    if mass.shape.endswith("architectural_distortion"):
        return 0.4
    return 0.25 if mass.margins == "spiculated" else 0.0


def _drawn_in(part: Array, dx: Floats, dy: Floats, distance: Floats, pull: float) -> Array:
    """Tissue moved towards the centre, most of all near it, not at all from SPICULE_REACH radii on."""
    shift = pull * np.square(np.clip(1 - np.square(distance / SPICULE_REACH), 0, None))
    rows, columns = np.mgrid[: part.shape[0], : part.shape[1]]
    moved = cv2.remap(
        part,
        (columns + dx * shift).astype(np.float32),
        (rows + dy * shift).astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.where(distance < SPICULE_REACH, moved, part)


def _spicules(rng: np.random.Generator, distance: Array, angle: Array, radius: float, spacing_mm: float) -> Array:
    """Thin tapering lines that leave the mass, slightly bent; 0..1 of the mass's depth."""
    total = np.zeros(distance.shape)
    for _ in range(int(rng.integers(9, 20))):
        end, direction, bend = rng.uniform(1.4, SPICULE_REACH), rng.uniform(-np.pi, np.pi), rng.normal(0, 0.22)
        strength, thick = rng.uniform(0.3, 0.8), rng.uniform(0.45, 0.9) / spacing_mm
        turn = np.angle(np.exp(1j * (angle - direction - bend * (distance - 1))))
        taper = np.clip(1 - (distance - 0.4) / (end - 0.4), 0, 1)
        width = max(thick, 0.12 * radius) * (0.35 + 0.65 * taper)
        off = np.abs(turn) * distance * radius
        line = strength * np.sqrt(taper) * np.exp(-np.square(off / width)) * ramp(distance, 0.5, 1.0) * (np.abs(turn) < np.pi / 2)
        np.maximum(total, line, out=total)
    return np.asarray(total)
