"""Marks and ratings in the layout of RJafroc's Excel workbook (new format, FROC paradigm, crossed design).

The workbook has three sheets, TRUTH, FP and TP; they are written as three CSV files of these names to be put into one
.xlsx and read with `DfReadDataFile(file, newExcelFileFormat = TRUE)`. Modalities are arms, readers are training runs.
"""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import PipelineError
from pipeline.evaluation.matching import FALSE_POSITIVE, Matches
from pipeline.evaluation.truth import Detections, Truth
from pipeline.io import atomic


@dataclass(frozen=True)
class Reading:
    """One run (reader) of one arm (modality) on the test set."""

    arm: str
    seed: str
    truth: Truth
    detections: Detections
    matches: Matches


def write(folder: Path, readings: Sequence[Reading]) -> None:
    """Write TRUTH.csv, FP.csv and TP.csv, and cases.csv, which tells the image of each CaseID and the arm of each ModalityID.

    Raises PipelineError where the readings differ in their images (folds) or their arms in their seeds: the design is crossed.
    """
    names = [image["id"] for image in readings[0].truth.images]
    arms, seeds = list(dict.fromkeys(one.arm for one in readings)), list(dict.fromkeys(one.seed for one in readings))
    if any([image["id"] for image in one.truth.images] != names for one in readings):
        raise PipelineError("RJafroc: all runs must read the same images; export one fold at a time")
    if sorted((one.arm, one.seed) for one in readings) != sorted((arm, seed) for arm in arms for seed in seeds):
        raise PipelineError(f"RJafroc: every arm needs the same seeds ({', '.join(seeds)})")
    false: list[list[Any]] = []
    true: list[list[Any]] = []
    place = _lesion_numbers(readings[0].truth)
    for one in sorted(readings, key=lambda r: (arms.index(r.arm), seeds.index(r.seed))):
        who = [seeds.index(one.seed), arms.index(one.arm)]
        lesion_image = one.truth.lesions.image
        true += [
            [*who, int(lesion_image[n]) + 1, place[n], float(score)]
            for n, score in enumerate(one.matches.lesion_score)
            if np.isfinite(score)
        ]
        marks = np.flatnonzero(one.matches.outcome == FALSE_POSITIVE)
        false += [
            [*who, int(one.detections.image[n]) + 1, float(one.detections.score[n])]
            for n in marks[np.lexsort((marks, one.detections.image[marks]))]
        ]
    _csv(
        folder / "TRUTH.csv",
        ["CaseID", "LesionID", "Weight", "ReaderID", "ModalityID", "Paradigm"],
        _truth(readings[0].truth, len(seeds), len(arms)),
    )
    _csv(folder / "FP.csv", ["ReaderID", "ModalityID", "CaseID", "FP_Rating"], false)
    _csv(folder / "TP.csv", ["ReaderID", "ModalityID", "CaseID", "LesionID", "TP_Rating"], true)
    listed = (("case", range(1, len(names) + 1), names), ("modality", range(len(arms)), arms), ("reader", range(len(seeds)), seeds))
    _csv(
        folder / "cases.csv",
        ["what", "number", "name"],
        [[what, n, name] for what, numbers, known in listed for n, name in zip(numbers, known, strict=True)],
    )


def _lesion_numbers(truth: Truth) -> list[int]:
    """Number of each lesion within its image, from 1."""
    seen: dict[int, int] = {}
    numbers = []
    for image in truth.lesions.image.tolist():
        seen[image] = seen.get(image, 0) + 1
        numbers.append(seen[image])
    return numbers


def _truth(truth: Truth, n_readers: int, n_modalities: int) -> Iterable[list[Any]]:
    """Normal cases first, lesion 0 of weight 0; lesions of a case weighted alike. Paradigm and design stand in the first two rows."""
    count = np.bincount(truth.lesions.image, minlength=len(truth.images))
    rows: list[list[Any]] = [[int(i) + 1, 0, 0] for i in np.flatnonzero(count == 0)]
    rows += [[int(i) + 1, n, 1 / int(count[i])] for i in np.flatnonzero(count) for n in range(1, count[i] + 1)]
    who = [",".join(map(str, range(n))) for n in (n_readers, n_modalities)]
    words = ["FROC", "FCTRL"] + [""] * len(rows)
    return [[*row, *who, word] for row, word in zip(rows, words, strict=False)]


def _csv(path: Path, header: list[str], rows: Iterable[list[Any]]) -> None:
    with atomic(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
