"""What adapters share: paths that stay in the data folder, faults gathered per image, greys over the full range, the choice of images."""

import contextlib
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import PipelineError
from pipeline.io import read_image, synthetic_mark

Select = Literal["malignant", "benign", "all", "normal"]
LONGEST = 255  # bytes of a file name
SEVERITY = ("malignant", "benign", "unproven", "")
# Density in classes 1 to 4, lobulated and microlobulated, distortion among the shapes: words of the editions before the fifth (2013).
BEFORE_5TH = "before 5th edition"


@dataclass(frozen=True)
class Mammogram:
    """Pixels of a file. image: (H, W) uint8 or uint16 over the type's full range, bright where the breast is dense.

    spacing_mm: side of a pixel, None where the file does not say. grey_range: see `canonical.Metadata`.
    """

    image: NDArray[Any]
    spacing_mm: float | None = None
    grey_range: str = ""


def below(root: Path, name: str | PurePath) -> Path:
    """``root/name``; PipelineError where that is not below root: empty, absolute, with ``..``, or a link that leads out;
    and where no file can have that name."""
    pure = PurePosixPath(name)
    try:
        inside = (root / pure).resolve().is_relative_to(root.resolve()) and all(len(os.fsencode(part)) <= LONGEST for part in pure.parts)
    except (OSError, RuntimeError, ValueError):
        inside = False
    if not pure.parts or pure.is_absolute() or ".." in pure.parts or not inside:
        raise PipelineError(f"{str(name)!r} does not lie in {root}")
    return root / pure


@contextlib.contextmanager
def gather(faults: list[str], where: str = "") -> Iterator[None]:
    """Turn a PipelineError of the block into an entry of `faults`, so that one image reports all of its faults."""
    try:
        yield
    except PipelineError as error:
        faults.append(f"{where}: {error}" if where else str(error))


def read_real(path: Path) -> NDArray[Any]:
    """`pipeline.io.read_image`, and PipelineError for an image that this project has made: it is no evidence of anything real."""
    image = read_image(path)
    mark = synthetic_mark(path)
    if mark is not None:
        raise PipelineError(f"{path}: is synthetic ({mark}) and cannot serve as real data; take it out")
    return image


def full_range(values: NDArray[Any], low: float, high: float) -> NDArray[np.uint16]:
    """Map low..high (either may be the larger) linearly to 0..65535, rounded; values outside of it are clipped.

    Raises PipelineError where they are equal or not finite.
    """
    if not math.isfinite(high - low) or low == high:
        raise PipelineError(f"its grey values go from {low:g} to {high:g}, which is no range")
    if values.dtype in (np.uint8, np.uint16):  # a table of all values is much faster than arithmetic on all pixels
        table = np.arange(np.iinfo(values.dtype).max + 1, dtype=np.float64)
        return _spread(table, low, high)[values]
    return _spread(values.astype(np.float64), low, high)


def _spread(values: NDArray[np.float64], low: float, high: float) -> NDArray[np.uint16]:
    scaled = (values - low) * (65535 / (high - low))
    return np.rint(np.clip(scaled, 0, 65535)).astype(np.uint16)


def in_both(rows: Iterable[tuple[str, str]]) -> set[str]:
    """The patients of (patient, official split) that are in train and in test."""
    splits: dict[str, set[str]] = {}
    for patient, split in rows:
        splits.setdefault(patient, set()).add(split)
    return {patient for patient, its in splits.items() if {"train", "test"} <= its}


def positive(value: float, what: str) -> float:
    """`value`, or PipelineError where it is NaN, infinite or not above 0."""
    if not 0 < value < math.inf:  # also right for integers that no float can hold
        raise PipelineError(f"{what} is {value}, not a positive number")
    try:
        return float(value)
    except OverflowError:
        raise PipelineError(f"{what} has {len(str(value))} digits") from None


def number(text: str, what: str, kind: type[int] | type[float] = int) -> Any:
    """The number in a cell, None where it is empty; PipelineError where it holds something else."""
    try:
        return kind(text) if text.strip() else None
    except ValueError:
        raise PipelineError(f"{what} is {text!r}, not a number") from None


def choose(pathologies: Sequence[str], select: Select) -> str | None:
    """The pathology of an image with masses: the gravest; None where `select` leaves the image out (`normal`: every one).

    pathologies: of each mass: malignant, benign, unproven or "" (not known); an image of unproven masses alone is of unknown pathology.
    """
    gravest = min(pathologies, key=SEVERITY.index)
    if select not in ("all", gravest):
        return None
    return "" if gravest == "unproven" else gravest
