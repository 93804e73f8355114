"""The canonical raw data set (docs/architecture.md, `data/raw/`): its one writer and its one reader.

Adapters yield a `Case` for each mammogram, or a `Rejected` for one that cannot be used; `write` checks and
stores them one at a time and goes on where it was interrupted; every later step begins with `read_cases`.
"""

import contextlib
import csv
import dataclasses
import json
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pipeline.coco import bounding_box
from pipeline.data.records import WORDS, Case, Record, Rejected, StoredCase, StoredLesion, metadata_faults, pixel_faults
from pipeline.errors import PipelineError, raise_all
from pipeline.io import atomic_folder, write_png

CASE_COLUMNS = (
    *("image_id", "image", "patient_id", "laterality", "view", "density", "pathology", "spacing_mm", "source"),
    *("official_split", "grey_range", "birads", "role"),
)
LESION_COLUMNS = ("image_id", "lesion", "mask", "x", "y", "w", "h", "shape", "margins", "subtlety", "pathology", "finding")
SKIPPED_COLUMNS = ("image_id", "reason")


@dataclass(frozen=True)
class Written:
    """What `write` stored."""

    cases: int
    lesions: int
    skipped: int


def write(
    root: Path,
    records: Iterable[Record] | Callable[[Collection[str]], Iterable[Record]],
    on_error: Literal["fail", "skip"] = "fail",
    state: str | None = None,
) -> Written:
    """Write the canonical folder `root`; it is complete, or untouched where anything fails.

    records: consumed one at a time, in the order in which they are stored, so memory holds one mammogram; or a function that
    gives them, called with the image_ids that are stored already. on_error: `skip` lists unusable mammograms in skipped.csv;
    `fail` raises PipelineError that lists all of them. state: names everything that the records depend on; a later call with
    the same state goes on where this one was interrupted.
    """
    case_rows: list[dict[str, Any]] = []
    lesion_rows: list[dict[str, Any]] = []
    skipped: list[Rejected] = []
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(atomic_folder(root, state))
        journal = stack.enter_context(contextlib.closing(Journal(folder)))
        seen: set[str] = set()
        for case in records(journal.rows.keys()) if callable(records) else records:
            reasons = ["the image_id is used twice"] if case.image_id in seen else []
            stored = None if reasons else journal.rows.get(case.image_id)
            if isinstance(case, Rejected):
                reasons.insert(0, case.reason)
            elif isinstance(case, Case) and stored is None:
                reasons[:0] = [*metadata_faults(case), *pixel_faults(case)]
            if reasons:
                skipped.append(Rejected(case.image_id, "; ".join(reasons)))
                continue
            seen.add(case.image_id)
            if stored is None and isinstance(case, Case):
                stored = journal.add(case)
            if stored is None:
                raise ValueError(f"{case.image_id} is said to be stored, but is not")
            case_rows.append(stored[0])
            lesion_rows.extend(stored[1])
        if on_error == "fail" or not case_rows:
            raise_all(
                [f"{one.image_id}: {one.reason}" for one in skipped], "images that cannot be used; mend them or set data.on_error: skip"
            )
        if not case_rows:
            raise PipelineError("the source holds no mammogram")
        journal.path.unlink()
        _write_rows(folder / "cases.csv", CASE_COLUMNS, case_rows)
        _write_rows(folder / "lesions.csv", LESION_COLUMNS, lesion_rows)
        _write_rows(folder / "skipped.csv", SKIPPED_COLUMNS, [dataclasses.asdict(one) for one in skipped])
    return Written(len(case_rows), len(lesion_rows), len(skipped))


class Journal:
    """The mammograms that lie in a folder of `write` already: a line each, written when its pixels are."""

    def __init__(self, folder: Path) -> None:
        """Reads what an earlier call has left; the last line may be torn, and belongs to a mammogram that is read again."""
        self.folder, self.path = folder, folder / ".journal"
        self.rows: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {}
        (folder / "images").mkdir(exist_ok=True)
        (folder / "masks").mkdir(exist_ok=True)
        if self.path.is_file():
            for line in self.path.read_text(encoding="utf-8").split("\n")[:-1]:
                case, lesions = json.loads(line)
                files = [folder / name for name in (case["image"], *(one["mask"] for one in lesions))]
                if all(file.is_file() and file.stat().st_size for file in files):
                    self.rows[case["image_id"]] = (case, lesions)
        self.file = self.path.open("w", encoding="utf-8")
        for row in self.rows.values():
            self._log(row)

    def add(self, case: Case) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Store a case; returns its row of cases.csv and those of lesions.csv."""
        row = _store(self.folder, case)
        self._log(row)
        return row

    def close(self) -> None:
        self.file.close()

    def _log(self, row: tuple[dict[str, Any], list[dict[str, Any]]]) -> None:
        self.file.write(json.dumps(row) + "\n")
        self.file.flush()


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
        wrong = [*metadata_faults(case), *_missing_files(case)]
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
        words = {word: getattr(lesion, word) for word in WORDS}
        rows.append({"image_id": case.image_id, "lesion": number, "mask": mask, "x": x, "y": y, "w": w, "h": h, **words})
    return row, rows


def _write_rows(path: Path, columns: tuple[str, ...], rows: list[dict[str, Any]]) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _case_of(root: Path, row: dict[str, str], lesions: list[StoredLesion]) -> StoredCase:
    words = {column: row[column] for column in ("image_id", "patient_id", "laterality", "view", "pathology", "source")}
    words |= {column: row[column] for column in ("official_split", "grey_range", "birads", "role")}
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
        subtlety=int(row["subtlety"]) if row["subtlety"] else None,
        **{word: row[word] for word in WORDS if word != "subtlety"},
    )
