"""How large patches are and where they go: laws fitted to the real training patches (paper 4.3)."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import PipelineError
from pipeline.io import read_json, write_json

Draw = Callable[[NDArray[np.float64], np.random.Generator], NDArray[np.float64]]


@dataclass(frozen=True)
class SizeLaw:
    """Width and height of padded patches in mm.

    sizes: (N, 2) of the real training patches, width first. inner: median share of a patch's side that the mass's
    box takes, (2,). law: a key of SIZES. around: (N, 2) what lies around the masses of these patches (`surroundings`).
    """

    sizes: NDArray[np.float64]
    inner: NDArray[np.float64]
    law: str
    around: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 2)))

    def write(self, path: Path) -> None:
        """Write the law as JSON, so that it can be used without the patches: law, sizes_mm, inner, around."""
        numbers = {"sizes_mm": self.sizes.round(3), "inner": self.inner.round(5), "around": self.around.round(5)}
        write_json(path, {"law": self.law, **{key: value.tolist() for key, value in numbers.items()}})

    @classmethod
    def read(cls, path: Path) -> Self:
        found = read_json(path)
        around = np.array(found.get("around", []), float).reshape(-1, 2)
        return cls(np.array(found["sizes_mm"], float), np.array(found["inner"], float), found["law"], around)

    def draw(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """(2,) width and height in mm, within the range of the real ones."""
        for _ in range(1000):
            size = SIZES[self.law](self.sizes, rng)
            if (size >= self.sizes.min(0)).all() and (size <= self.sizes.max(0)).all():
                return size
        raise PipelineError(
            f"size law {self.law} left the range of the {len(self.sizes)} real patches 1000 times; use synth.sizes=empirical"
        )


def _gaussian(sizes: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Independent Gaussians for width and height, as the paper has it."""
    return np.asarray(rng.normal(sizes.mean(0), sizes.std(0)))


def _lognormal(sizes: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """A joint log-normal: sizes are skewed, and width and height correlate."""
    logs = np.log(sizes)
    return np.exp(rng.multivariate_normal(logs.mean(0), np.cov(logs.T), method="cholesky"))


def _empirical(sizes: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    return np.asarray(sizes[rng.integers(len(sizes))])


SIZES: dict[str, Draw] = {"paper": _gaussian, "lognormal": _lognormal, "empirical": _empirical}


def fit(
    frames: NDArray[np.float64],
    boxes: NDArray[np.float64],
    spacing_mm: NDArray[np.float64],
    law: str,
    around: NDArray[np.float64] | None = None,
) -> SizeLaw:
    """Fit a SizeLaw.

    frames: (N, 2) width and height in px of the padded patches; boxes: (N, 2) the same of the masses alone;
    spacing_mm: (N,) mm per px of each patch's image; law: a key of SIZES; around: (N, 2) from `surroundings`.
    Raises PipelineError below two patches.
    """
    if len(frames) < 2:
        raise PipelineError(f"{len(frames)} training patches: sizes need at least 2; use more data or a larger split.train_fraction")
    sizes, inner = frames * spacing_mm[:, None], np.median(boxes / frames, axis=0)
    return SizeLaw(sizes, inner, law) if around is None else SizeLaw(sizes, inner, law, around)


def surroundings(tissue: NDArray[np.float32], mass: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(2,) mean and standard deviation of the greys of a frame (h, w) outside of the mass; NaN where nothing is."""
    outside = tissue[~mass].astype(np.float64)
    return np.array([outside.mean(), outside.std()]) if outside.size else np.full(2, np.nan)


def _paper_box(allowed: NDArray[np.bool_], rng: np.random.Generator) -> tuple[float, float]:
    """x ~ U(W/10, W/2), y ~ U(H/4, 3H/4) of a mammogram with the chest wall on the left (paper 4.3; centre: our reading)."""
    height, width = allowed.shape
    return float(rng.uniform(width / 10, width / 2)), float(rng.uniform(height / 4, 3 * height / 4))


def _in_breast(allowed: NDArray[np.bool_], rng: np.random.Generator) -> tuple[float, float]:
    """Uniform over the breast without the pectoral muscle."""
    places = np.flatnonzero(allowed)
    y, x = divmod(int(places[rng.integers(len(places))]), allowed.shape[1])
    return x + 0.5, y + 0.5


# `tissue` proposes as `breast` does; the placer takes the proposal whose surroundings come nearest to a training mass's.
POSITIONS: dict[str, Callable[[NDArray[np.bool_], np.random.Generator], tuple[float, float]]] = {
    "paper": _paper_box,
    "breast": _in_breast,
    "tissue": _in_breast,
}
