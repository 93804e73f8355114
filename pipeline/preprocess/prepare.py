"""From data/raw to data/prepared: cleaned mammograms in three parts with COCO annotations, and patches (docs/architecture.md)."""

import contextlib
import csv
import itertools
import multiprocessing
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline import coco
from pipeline.data.canonical import StoredCase, StoredLesion, read_cases
from pipeline.errors import PipelineError, raise_all
from pipeline.io import atomic_folder, read_image, write_json, write_png
from pipeline.params import Preprocess, Split
from pipeline.preprocess import patches
from pipeline.preprocess.breast import chest_wall_right
from pipeline.preprocess.cleaning import Cleaned, clean
from pipeline.preprocess.geometry import Geometry
from pipeline.preprocess.split import PARTS, Part, check_parts, split_patients
from pipeline.progress import track

PATCH_COLUMNS = ("patch", "split", "image_id", "lesion", "patient_id", "x", "y", "w", "h")


@dataclass(frozen=True)
class Job:
    """One mammogram: where it comes from, its part, and the folders of its part and of the patches."""

    case: StoredCase
    part: Part
    folder: Path
    patches: Path
    params: Preprocess


@dataclass(frozen=True)
class Outcome:
    """What became of one mammogram. record: of its COCO image, None where it was left out. fault: why it cannot be used."""

    part: Part
    record: dict[str, Any] | None
    annotations: list[dict[str, Any]]
    patches: list[dict[str, Any]]
    notes: dict[str, Any]
    fault: str | None = None


def prepare(raw: Path, out: Path, params: Preprocess, split: Split, seed: int, processes: int | None = None) -> dict[str, Any]:
    """Write ``out/{train,val,test,patches}`` from the canonical folder `raw`; each is complete, or as it was before.

    processes: how many work at once (None: one a core); they do not change a byte. Returns what preprocess.json holds.
    Raises PipelineError for a split without patients or lesions where they are needed, and for all unusable images at once.
    """
    cases = sorted(read_cases(raw), key=lambda case: case.image_id)
    parts = split_patients((case.patient_id for case in cases), seed, split)
    kept = [case for case in cases if case.patient_id in parts]
    _check(((parts[case.patient_id], case.patient_id, 0 if _is_crowd(case) else len(case.lesions)) for case in kept), split)
    with contextlib.ExitStack() as stack:
        folders = {name: stack.enter_context(atomic_folder(out / name)) for name in (*PARTS, "patches")}
        jobs = [Job(case, part := parts[case.patient_id], folders[part], folders["patches"], params) for case in kept]
        outcomes = list(track(_work(jobs, processes or _cores()), "preprocess", len(jobs)))
        raise_all([one.fault for one in outcomes if one.fault], f"mammograms of {raw} that cannot be used; take them out of the source")
        used = [(one, one.record) for one in outcomes if one.record is not None]
        _check(((one.part, record["patient_id"], _targets(one)) for one, record in used), split)
        for part in PARTS:
            coco.write(folders[part] / "annotations.json", coco.assemble((r, one.annotations) for one, r in used if one.part == part))
        _write_rows(folders["patches"] / "patches.csv", [row for one in outcomes for row in one.patches])
        summary = _summary(outcomes) | {"patients_left_out": len({case.patient_id for case in cases} - set(parts))}
        write_json(folders["patches"] / "preprocess.json", summary)
    return summary


def prepare_one(job: Job) -> Outcome:
    """Clean, turn, cut, scale and write one mammogram and the patches of its lesions; the fault instead where it is unusable."""
    case = job.case
    try:
        image = read_image(case.image)
        masks = {lesion.number: _read_mask(lesion, image.shape) for lesion in case.lesions}
        cleaned = clean(image, case.view)
    except (PipelineError, ValueError) as error:
        return Outcome(job.part, None, [], [], {}, f"{case.image_id}: {error}")
    flipped = chest_wall_right(cleaned.breast)
    geometry = Geometry.of(cleaned.breast, flipped, job.params.height)
    dropped: list[dict[str, Any]] = []
    prepared = dict(_lesions(masks, geometry, job.params.min_lesion_px, dropped))
    notes = {
        "image_id": case.image_id,
        "laterality_mismatch": flipped != (case.laterality == "R"),
        "no_muscle": case.view == "MLO" and cleaned.pectoral is None,
        "outside": sum(int((mask & ~cleaned.breast).sum()) for mask in masks.values()),
        "removed": _removed(image, cleaned),
        "dropped": [{"image_id": case.image_id, **one} for one in dropped],
    }
    if case.lesions and not prepared:
        return Outcome(job.part, None, [], [], notes)
    pixels = geometry.apply(cleaned.image)
    write_png(job.folder / "images" / f"{case.image_id}.png", pixels)
    write_png(job.folder / "regions" / f"{case.image_id}.png", _regions(cleaned, geometry))
    record = _record(case, geometry, len(image), job.params)
    crowd = _is_crowd(case)
    annotations = [coco.annotation(mask, iscrowd=int(crowd), lesion=number) for number, mask in prepared.items()]
    rows = [] if crowd else [_patch(job, record, pixels, number, mask) for number, mask in prepared.items()]
    return Outcome(job.part, record, annotations, rows, notes)


def _work(jobs: list[Job], processes: int) -> Iterator[Outcome]:
    """Outcomes in the order of the jobs."""
    if processes == 1:
        yield from map(prepare_one, jobs)
        return
    # Spawned, because OpenCV's threads do not survive a fork; one thread each, because there is a process a core.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, cv2.setNumThreads, (1,)) as pool:
        yield from pool.map(prepare_one, jobs, chunksize=4)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _read_mask(lesion: StoredLesion, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    mask = read_image(lesion.mask) > 0
    if mask.shape != shape:
        raise PipelineError(f"mask {lesion.number} is {mask.shape}, the image {shape} (rows, columns)")
    return np.asarray(mask)


def _lesions(
    masks: dict[int, NDArray[np.bool_]], geometry: Geometry, min_px: int, dropped: list[dict[str, Any]]
) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    """(number, prepared mask) of the lesions that remain; what does not is added to `dropped`."""
    for number, mask in masks.items():
        _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
        areas = stats[:, cv2.CC_STAT_AREA]
        for area in areas[1:][areas[1:] < min_px]:
            dropped.append({"lesion": number, "px": int(area), "reason": "smaller than min_lesion_px"})
        keep = areas >= min_px
        keep[0] = False
        if not keep.any():
            continue
        small = geometry.apply_mask(keep[labels])
        if small.any():
            yield number, small
        else:
            dropped.append({"lesion": number, "px": int(mask.sum()), "reason": "nothing of it is left in the prepared image"})


def _is_crowd(case: StoredCase) -> bool:
    """Benign masses are neither targets nor false positives in a study of malignant ones: COCO's iscrowd."""
    return case.pathology == "benign"


def _removed(image: NDArray[Any], cleaned: Cleaned) -> int:
    """Source px outside of the breast that are brighter than its median: labels, tape, borders."""
    return int((image[~cleaned.breast] > np.median(image[cleaned.breast])).sum())


def _regions(cleaned: Cleaned, geometry: Geometry) -> NDArray[np.uint8]:
    regions = geometry.apply_mask(cleaned.breast).astype(np.uint8)
    if cleaned.pectoral is not None:
        regions[geometry.apply_mask(cleaned.pectoral)] = 2
    return regions


def _record(case: StoredCase, geometry: Geometry, source_height: int, params: Preprocess) -> dict[str, Any]:
    spacing = params.film_height_mm / source_height if case.spacing_mm is None else case.spacing_mm
    return {
        "file_name": f"images/{case.image_id}.png",
        "height": geometry.height,
        "width": geometry.width,
        **{key: getattr(case, key) for key in ("image_id", "patient_id", "laterality", "view", "density", "pathology")},
        "spacing_mm": spacing / geometry.scale,
        "spacing_assumed": case.spacing_mm is None,
        "flipped": geometry.flipped,
        "crop_x": geometry.crop_x,
        "scale": geometry.scale,
    }


def _patch(job: Job, record: dict[str, Any], pixels: NDArray[Any], number: int, mask: NDArray[np.bool_]) -> dict[str, Any]:
    """Write one patch and return its row."""
    size, name = job.params.patch_px, f"{job.case.image_id}_{number}"
    where = patches.frame(mask, patches.padding(job.params, record["spacing_mm"], record["scale"]))
    tissue, inside = patches.cut(pixels, mask, where, size)
    write_png(job.patches / "images" / f"{name}.png", tissue)
    write_png(job.patches / "masks" / f"{name}.png", inside.astype(np.uint8) * 255)
    values = (name, job.part, job.case.image_id, number, job.case.patient_id, *where)
    return dict(zip(PATCH_COLUMNS, values, strict=True))


def _targets(outcome: Outcome) -> int:
    return sum(not one["iscrowd"] for one in outcome.annotations)


def _check(images: Iterable[tuple[Part, str, int]], split: Split) -> None:
    """check_parts of (part, patient, lesions that count) of every mammogram; no val part is wanted where its share is 0."""
    rows = list(images)
    lesions: Counter[Part] = Counter()
    for part, _, count in rows:
        lesions[part] += count
    check_parts(
        {part: {patient for p, patient, _ in rows if p == part} for part in PARTS}, lesions, [p for p in PARTS if p != "val" or split.val]
    )


def _write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, PATCH_COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _summary(outcomes: list[Outcome]) -> dict[str, Any]:
    """Counts of the parts and everything that was changed, dropped or doubtful; px are of the source."""
    notes = [one.notes for one in outcomes]
    parts = {}
    for part in PARTS:
        mine = [one for one in outcomes if one.part == part]
        records = [one.record for one in mine if one.record is not None]
        parts[part] = {
            "patients": len({record["patient_id"] for record in records}),
            "images": len(records),
            "lesions": sum(map(_targets, mine)),
            "patches": sum(len(one.patches) for one in mine),
        }
    return {
        "parts": parts,
        "laterality_mismatch": [note["image_id"] for note in notes if note["laterality_mismatch"]],
        "no_muscle_in_mlo": [note["image_id"] for note in notes if note["no_muscle"]],
        "spacing_assumed": sum(bool(one.record and one.record["spacing_assumed"]) for one in outcomes),
        "dropped_components": list(itertools.chain.from_iterable(note["dropped"] for note in notes)),
        "images_left_out": [note["image_id"] for one, note in zip(outcomes, notes, strict=True) if one.record is None],
        "lesion_px_outside_breast": {note["image_id"]: note["outside"] for note in notes if note["outside"]},
        "removed_px": {note["image_id"]: note["removed"] for note in notes if note["removed"]},
    }
