"""The canonical raw data set (docs/architecture.md, `data/raw/`): its records, its one writer and its one reader.

Adapters yield a `Case` for each mammogram, or a `Rejected` for one that cannot be used; `write` checks and
stores them one at a time; every later step begins with `read_cases`.
"""

import csv
import dataclasses
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.coco import bounding_box
from pipeline.errors import PipelineError, raise_all
from pipeline.io import atomic_folder, write_png

LATERALITIES = ("L", "R")
VIEWS = ("CC", "MLO")
PATHOLOGIES = ("malignant", "benign", "normal", "")
OFFICIAL_SPLITS = ("train", "test", "")
CASE_COLUMNS = (
    *("image_id", "image", "patient_id", "laterality", "view", "density", "pathology", "spacing_mm", "source"),
    *("official_split", "grey_range"),
)
LESION_COLUMNS = ("image_id", "lesion", "mask", "x", "y", "w", "h", "shape", "margins", "subtlety")
SKIPPED_COLUMNS = ("image_id", "reason")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """What is known of a mammogram besides its pixels; None or "" where the source does not say.

    image_id, patient_id: letters, digits and ``_ - .``; they name files. laterality: L or R. view: CC or MLO.
    pathology: malignant, benign, normal or "". density: ACR class 1..4. spacing_mm: side of a pixel in mm.
    official_split: train, test or "", as the source divides its patients; recorded, not used. grey_range: the source's
    grey values that became black and white, as ``low..high``.
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


@dataclass(frozen=True, kw_only=True)
class Lesion:
    """One mass. mask: (H, W) bool, as large as the image, not empty. shape, margins: words of the source; subtlety: 0..5."""

    mask: NDArray[np.bool_]
    shape: str = ""
    margins: str = ""
    subtlety: int | None = None


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


@dataclass(frozen=True, kw_only=True)
class StoredLesion:
    """One mass on disk. number: k of the file name, from 1. box: xywh in px of the image."""

    number: int
    mask: Path
    box: tuple[int, int, int, int]
    shape: str = ""
    margins: str = ""
    subtlety: int | None = None


@dataclass(frozen=True, kw_only=True)
class StoredCase(Metadata):
    """A mammogram on disk; `pipeline.io.read_image` reads `image` and the lesions' `mask` (0/255)."""

    image: Path
    lesions: tuple[StoredLesion, ...] = ()


@dataclass(frozen=True)
class Written:
    """What `write` stored."""

    cases: int
    lesions: int
    skipped: int


def valid_name(name: str) -> bool:
    """Whether an id can name a file on any system: letters, digits, ``_ - .``, no ``..``, no leading sign."""
    return bool(_NAME.fullmatch(name)) and ".." not in name and not name.endswith(".")


def write(root: Path, cases: Iterable[Case | Rejected], on_error: Literal["fail", "skip"] = "fail") -> Written:
    """Write the canonical folder `root`; it is complete, or untouched where anything fails.

    cases: consumed one at a time, in the order in which they are stored, so memory holds one mammogram.
    on_error: `skip` lists unusable mammograms in skipped.csv; `fail` raises PipelineError that lists all of them.
    """
    seen: set[str] = set()
    case_rows: list[dict[str, Any]] = []
    lesion_rows: list[dict[str, Any]] = []
    skipped: list[Rejected] = []
    with atomic_folder(root) as folder:
        (folder / "images").mkdir()
        (folder / "masks").mkdir()
        for case in cases:
            reasons = [case.reason] if isinstance(case, Rejected) else [*_metadata_faults(case), *_pixel_faults(case)]
            if case.image_id in seen:
                reasons.append("the image_id is used twice")
            if isinstance(case, Rejected) or reasons:
                skipped.append(Rejected(case.image_id, "; ".join(reasons)))
                continue
            seen.add(case.image_id)
            row, its_lesions = _store(folder, case)
            case_rows.append(row)
            lesion_rows.extend(its_lesions)
        if on_error == "fail" or not case_rows:
            raise_all(
                [f"{one.image_id}: {one.reason}" for one in skipped], "images that cannot be used; mend them or set data.on_error: skip"
            )
        if not case_rows:
            raise PipelineError("the source holds no mammogram")
        _write_rows(folder / "cases.csv", CASE_COLUMNS, case_rows)
        _write_rows(folder / "lesions.csv", LESION_COLUMNS, lesion_rows)
        _write_rows(folder / "skipped.csv", SKIPPED_COLUMNS, [dataclasses.asdict(one) for one in skipped])
    return Written(len(case_rows), len(lesion_rows), len(skipped))


def read_cases(root: Path) -> list[StoredCase]:
    """All cases of a canonical folder, in the order of cases.csv, with their lesions in the order of their numbers.

    Raises PipelineError that lists every fault: bad or duplicate ids and values, missing files, lesions of no case.
    Pixels are not read here.
    """
    case_rows = read_rows(root / "cases.csv", CASE_COLUMNS)
    lesion_rows = read_rows(root / "lesions.csv", LESION_COLUMNS)
    faults: list[str] = []
    lesions: dict[str, list[StoredLesion]] = {row["image_id"]: [] for row in case_rows}
    for line, row in enumerate(lesion_rows, 2):
        try:
            lesions[row["image_id"]].append(_lesion_of(root, row))
        except KeyError:
            faults.append(f"lesions.csv line {line}: image_id {row['image_id']!r} is not in cases.csv")
        except ValueError as error:
            faults.append(f"lesions.csv line {line} ({row['image_id']}): {error}")
    cases: list[StoredCase] = []
    seen: set[str] = set()
    for line, row in enumerate(case_rows, 2):
        try:
            case = _case_of(root, row, lesions[row["image_id"]])
        except ValueError as error:
            faults.append(f"cases.csv line {line} ({row['image_id']}): {error}")
            continue
        wrong = [*_metadata_faults(case), *_missing_files(case)]
        if case.image_id in seen:
            wrong.append("the image_id is used twice")
        seen.add(case.image_id)
        faults.extend(f"cases.csv line {line} ({case.image_id}): {reason}" for reason in wrong)
        cases.append(case)
    raise_all(faults, f"{root} is not a sound data set; run ingest again")
    return cases


def read_rows(path: Path, columns: Iterable[str], delimiter: str = ",") -> list[dict[str, str]]:
    """Rows of a CSV file with a header (UTF-8), cells stripped; PipelineError where the file or one of `columns` is missing."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restkey="", restval="", delimiter=delimiter)
            missing = [name for name in columns if name not in (reader.fieldnames or ())]
            if missing:
                raise PipelineError(f"{path}: lacks the columns {', '.join(missing)}")
            return [{key: str(cell).strip() for key, cell in row.items() if key} for row in reader]
    except FileNotFoundError:
        raise PipelineError(f"{path}: no such file") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise PipelineError(f"{path}: no CSV file in UTF-8: {error}") from None


def _metadata_faults(case: Metadata) -> Iterator[str]:
    for what, name in (("image_id", case.image_id), ("patient_id", case.patient_id)):
        if not valid_name(name):
            yield f"{what} {name!r} holds more than letters, digits and _ - ."
    for what, value, allowed in (
        ("laterality", case.laterality, LATERALITIES),
        ("view", case.view, VIEWS),
        ("pathology", case.pathology, PATHOLOGIES),
        ("density", case.density, (None, 1, 2, 3, 4)),
        ("official_split", case.official_split, OFFICIAL_SPLITS),
    ):
        if value not in allowed:
            yield f"{what} is {value!r}, not one of {', '.join(map(str, filter(None, allowed)))}"
    if case.spacing_mm is not None and not (math.isfinite(case.spacing_mm) and case.spacing_mm > 0):
        yield f"spacing_mm is {case.spacing_mm}, not a positive number"


def _pixel_faults(case: Case) -> Iterator[str]:
    if case.image.ndim != 2 or case.image.dtype not in (np.uint8, np.uint16) or not case.image.size:
        yield f"the image is {case.image.shape} {case.image.dtype}, not grey of 8 or 16 bit"
    for number, lesion in enumerate(case.lesions, 1):
        if lesion.mask.shape != case.image.shape:
            yield f"mask {number} is {lesion.mask.shape}, the image {case.image.shape} (rows, columns)"
        if not lesion.mask.any():
            yield f"mask {number} is empty"
    if case.pathology == "normal" and case.lesions:
        yield f"pathology is normal, yet it has {len(case.lesions)} lesion(s)"


def _missing_files(case: StoredCase) -> Iterator[str]:
    for path in (case.image, *(lesion.mask for lesion in case.lesions)):
        if not path.is_file():
            yield f"{path} is missing"


def _store(folder: Path, case: Case) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Write the pixels; return the row of cases.csv and those of lesions.csv."""
    name = f"images/{case.image_id}.png"
    write_png(folder / name, case.image)
    row = {column: getattr(case, column) for column in CASE_COLUMNS if column != "image"} | {"image": name}
    rows = []
    for number, lesion in enumerate(case.lesions, 1):
        mask = f"masks/{case.image_id}_{number}.png"
        write_png(folder / mask, lesion.mask.astype(np.uint8) * 255)
        x, y, w, h = bounding_box(lesion.mask)
        words = {"shape": lesion.shape, "margins": lesion.margins, "subtlety": lesion.subtlety}
        rows.append({"image_id": case.image_id, "lesion": number, "mask": mask, "x": x, "y": y, "w": w, "h": h, **words})
    return row, rows


def _write_rows(path: Path, columns: tuple[str, ...], rows: list[dict[str, Any]]) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _case_of(root: Path, row: dict[str, str], lesions: list[StoredLesion]) -> StoredCase:
    words = {column: row[column] for column in ("image_id", "patient_id", "laterality", "view", "pathology", "source")}
    words |= {column: row[column] for column in ("official_split", "grey_range")}
    return StoredCase(
        **words,
        density=int(row["density"]) if row["density"] else None,
        spacing_mm=float(row["spacing_mm"]) if row["spacing_mm"] else None,
        image=root / row["image"],
        lesions=tuple(sorted(lesions, key=lambda lesion: lesion.number)),
    )


def _lesion_of(root: Path, row: dict[str, str]) -> StoredLesion:
    return StoredLesion(
        number=int(row["lesion"]),
        mask=root / row["mask"],
        box=(int(row["x"]), int(row["y"]), int(row["w"]), int(row["h"])),
        shape=row["shape"],
        margins=row["margins"],
        subtlety=int(row["subtlety"]) if row["subtlety"] else None,
    )
