"""The records of the canonical data set: a mammogram with what is known of it, and its masses; in memory and on disk."""

import dataclasses
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

LATERALITIES = ("L", "R")
VIEWS = ("CC", "MLO")
PATHOLOGIES = ("malignant", "benign", "normal", "")
OF_LESIONS = ("malignant", "benign", "unproven", "")
ROLES = ("", "normals")
OFFICIAL_SPLITS = ("train", "test", "")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """What is known of a mammogram besides its pixels; None or "" where the source does not say.

    image_id, patient_id: letters, digits and ``_ - .``; they name files. laterality: L or R. view: CC or MLO.
    pathology: malignant, benign, normal or "", of the gravest mass. density: ACR class 1..4. spacing_mm: side of a pixel in mm.
    official_split: train, test or "", as the source divides its patients. grey_range: the source's grey values that became
    black and white, as ``low..high``. birads: the edition of BI-RADS that density, shape and margins are words of.
    role: `normals` for a mammogram of the second source (`data.normals`), which is a host and never counted with the others.
    """

    image_id: str
    patient_id: str
    laterality: str
    view: str
    pathology: str = ""
    density: int | None = None
    spacing_mm: float | None = None
    source: str = ""
    official_split: str = ""
    grey_range: str = ""
    birads: str = ""
    role: str = ""


@dataclass(frozen=True, kw_only=True)
class Described:
    """What is said of a mass or another finding.

    shape, margins: words of the source. subtlety: 0..5. pathology: malignant, benign, unproven, or "" for that of the image.
    finding: `mass`, or the source's word for what else is outlined in an image with masses (calcification, asymmetry).
    """

    shape: str = ""
    margins: str = ""
    subtlety: int | None = None
    pathology: str = ""
    finding: str = "mass"


WORDS = tuple(field.name for field in dataclasses.fields(Described))


@dataclass(frozen=True, kw_only=True)
class Lesion(Described):
    """One mass or other finding. mask: (H, W) bool, as large as the image, not empty."""

    mask: NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Case(Metadata):
    """A mammogram with its pixels. image: (H, W) uint8 or uint16 over the type's full range."""

    image: NDArray[Any]
    lesions: tuple[Lesion, ...] = ()


@dataclass(frozen=True)
class Rejected:
    """A mammogram that an adapter found but cannot use, and why."""

    image_id: str
    reason: str


@dataclass(frozen=True)
class Stored:
    """A mammogram that an interrupted `write` has stored, so that an adapter need not read it again."""

    image_id: str


Record = Case | Rejected | Stored


@dataclass(frozen=True, kw_only=True)
class StoredLesion(Described):
    """One mass or other finding on disk. number: k of the file name, from 1. box: xywh in px of the image."""

    number: int
    mask: Path
    box: tuple[int, int, int, int]


@dataclass(frozen=True, kw_only=True)
class StoredCase(Metadata):
    """A mammogram on disk; `pipeline.io.read_image` reads `image` and the lesions' `mask` (0/255)."""

    image: Path
    lesions: tuple[StoredLesion, ...] = ()


def valid_name(name: str) -> bool:
    """Whether an id can name a file on any system: letters, digits, ``_ - .``, no ``..``, no leading sign."""
    return bool(_NAME.fullmatch(name)) and ".." not in name and not name.endswith(".")


def metadata_faults(case: Metadata) -> Iterator[str]:
    """What is wrong with the words and numbers of a case."""
    for what, name in (("image_id", case.image_id), ("patient_id", case.patient_id)):
        if not valid_name(name):
            yield f"{what} {name!r} holds more than letters, digits and _ - ."
    for what, value, allowed in (
        ("laterality", case.laterality, LATERALITIES),
        ("view", case.view, VIEWS),
        ("pathology", case.pathology, PATHOLOGIES),
        ("density", case.density, (None, 1, 2, 3, 4)),
        ("official_split", case.official_split, OFFICIAL_SPLITS),
        ("role", case.role, ROLES),
    ):
        if value not in allowed:
            yield f"{what} is {value!r}, not one of {', '.join(map(str, filter(None, allowed)))}"
    if case.spacing_mm is not None and not (math.isfinite(case.spacing_mm) and case.spacing_mm > 0):
        yield f"spacing_mm is {case.spacing_mm}, not a positive number"


def pixel_faults(case: Case) -> Iterator[str]:
    """What is wrong with its image and masks."""
    if case.image.ndim != 2 or case.image.dtype not in (np.uint8, np.uint16) or not case.image.size:
        yield f"the image is {case.image.shape} {case.image.dtype}, not grey of 8 or 16 bit"
    for number, lesion in enumerate(case.lesions, 1):
        if lesion.mask.shape != case.image.shape:
            yield f"mask {number} is {lesion.mask.shape}, the image {case.image.shape} (rows, columns)"
        if not lesion.mask.any():
            yield f"mask {number} is empty"
        if lesion.pathology not in OF_LESIONS:
            yield f"pathology of mask {number} is {lesion.pathology!r}, not one of {', '.join(filter(None, OF_LESIONS))}"
    if case.pathology == "normal" and case.lesions:
        yield f"pathology is normal, yet it has {len(case.lesions)} lesion(s)"
