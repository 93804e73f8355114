"""From data/raw to data/prepared: cleaned mammograms in three parts with COCO annotations, patches, QC (docs/architecture.md)."""

import contextlib
import csv
import multiprocessing
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline import coco
from pipeline.data.canonical import read_cases
from pipeline.data.records import StoredCase
from pipeline.errors import PipelineError, raise_all
from pipeline.io import atomic_folder, read_image, write_json, write_png
from pipeline.machine import cores
from pipeline.params import Preprocess, Split
from pipeline.preprocess import crops, duplicates, lesions, patches, sheet
from pipeline.preprocess.breast import chest_wall_right
from pipeline.preprocess.cleaning import Cleaned, clean
from pipeline.preprocess.geometry import Geometry
from pipeline.preprocess.split import PARTS, Part, check_parts, split_patients
from pipeline.preprocess.summary import Outcome, summarise
from pipeline.progress import track

# What a COCO image says of its case.
KEPT = ("image_id", "patient_id", "laterality", "view", "density", "pathology", "source", "official_split", "birads")
PATCH_COLUMNS = ("patch", "split", "image_id", "lesion", "patient_id", "x", "y", "w", "h")


@dataclass(frozen=True)
class Job:
    """One mammogram: where it comes from, its part, and the folders of its part and of the patches."""

    case: StoredCase
    part: Part
    folder: Path
    patches: Path
    params: Preprocess


def prepare(raw: Path, out: Path, params: Preprocess, split: Split, seed: int, processes: int | None = None) -> dict[str, Any]:
    """Write ``out/{train,val,test,patches,qc}`` from the canonical folder `raw`; each is complete, or as it was before.

    processes: how many work at once (None: one a core); they do not change a byte. Returns what preprocess.json holds.
    Raises PipelineError for a split without patients or lesions where they are needed, for all unusable images at once,
    and for mammograms of two parts that are the same.
    """
    cases = sorted(read_cases(raw), key=lambda case: case.image_id)
    parts = split_patients(cases, seed, split)
    kept = [case for case in cases if case.patient_id in parts]
    _check(((parts[case.patient_id], case.patient_id, lesions.n_targets(case, params.targets)) for case in kept), split, params.targets)
    with contextlib.ExitStack() as stack:
        folders = {name: stack.enter_context(atomic_folder(out / name)) for name in (*PARTS, "patches", "qc")}
        jobs = [Job(case, part := parts[case.patient_id], folders[part], folders["patches"], params) for case in kept]
        outcomes = list(track(_work(jobs, processes or cores()), "preprocess", len(jobs)))
        raise_all([one.fault for one in outcomes if one.fault], f"mammograms of {raw} that cannot be used; take them out of the source")
        used = [(one, one.record) for one in outcomes if one.record is not None]
        _check(((one.part, record["patient_id"], len(one.targets)) for one, record in used), split, params.targets)
        twins = _twins(outcomes)
        for part in PARTS:
            coco.write(folders[part] / "annotations.json", coco.assemble((r, one.annotations) for one, r in used if one.part == part))
        _write_rows(folders["patches"] / "patches.csv", [row for one in outcomes for row in one.patches])
        summary = summarise(outcomes, twins) | {"patients_left_out": len({case.patient_id for case in cases} - set(parts))}
        write_json(folders["patches"] / "preprocess.json", summary)
        write_json(folders["qc"] / "qc.json", sorted((_row(one) for one in outcomes), key=sheet.badness))
    return summary


def prepare_one(job: Job) -> Outcome:
    """Clean, turn, cut, scale and write one mammogram and the patches of its lesions; the fault instead where it is unusable."""
    case = job.case
    try:
        image = read_image(case.image)
        masks = {lesion.number: lesions.read_mask(lesion, image.shape) for lesion in case.lesions}
        cleaned = clean(image, case.view)
    except (PipelineError, ValueError) as error:
        return Outcome(job.part, fault=f"{case.image_id}: {error}")
    flipped = chest_wall_right(cleaned.breast)
    geometry = Geometry.of(cleaned.breast, flipped, job.params.height)
    dropped: list[dict[str, Any]] = []
    prepared = dict(lesions.prepared(masks, geometry, job.params.min_lesion_px, dropped))
    targets = [one.number for one in case.lesions if lesions.counts(case, one, job.params.targets)]
    qc = sheet.entry(image, cleaned, masks, masks.keys() - set(targets))
    notes = {
        "image_id": case.image_id,
        "laterality_mismatch": flipped != (case.laterality == "R"),
        "no_muscle": case.view == "MLO" and cleaned.pectoral is None,
        "outside": sum(int((mask & ~cleaned.breast).sum()) for mask in masks.values()),
        "removed": _removed(image, cleaned),
        "px": image.size,
        "dropped": [{"image_id": case.image_id, **one} for one in dropped],
    }
    if targets and not prepared.keys() & set(targets):
        return Outcome(job.part, notes=notes, sheet=qc)
    pixels = geometry.apply(cleaned.image)
    write_png(job.folder / "images" / f"{case.image_id}.png", pixels)
    write_png(job.folder / "regions" / f"{case.image_id}.png", regions(cleaned, geometry))
    record = _record(case, geometry, len(image), job.params)
    found = [(one, prepared[one.number]) for one in case.lesions if one.number in prepared]
    annotations = [lesions.annotation(case, one, mask, job.params.targets) for one, mask in found]
    rows = [_patch(job, record, pixels, one.number, mask) for one, mask in found if one.number in targets]
    return Outcome(job.part, record, annotations, rows, notes, qc, duplicates.print_of(pixels), crops.features(pixels))


def _twins(outcomes: Sequence[Outcome]) -> list[duplicates.Pair]:
    """Pairs of outcomes of different patients that show the same mammogram.

    Raises PipelineError where they are of two parts, also where one is but a piece of the other.
    """
    seen = [(index, one.print) for index, one in enumerate(outcomes) if one.print is not None]
    pairs = [duplicates.Pair(seen[a][0], seen[b][0], r) for a, b, r in duplicates.pairs([image for _, image in seen])]
    pairs = [pair for pair in pairs if _patient(outcomes[pair.first]) != _patient(outcomes[pair.second])]
    where = [f"{one.notes.get('image_id')} in {one.part}" for one in outcomes]
    whole = [f"{where[a]} and {where[b]}: correlation {r:.3f}" for a, b, r in pairs if outcomes[a].part != outcomes[b].part]
    drawn = [(index, one.features) for index, one in enumerate(outcomes) if one.features is not None]
    pieces = crops.shared([one for _, one in drawn], [outcomes[index].part for index, _ in drawn])
    known = {(a, b) for a, b, _ in pairs}
    indices = [(drawn[first][0], drawn[second][0], points) for first, second, points in pieces]
    raise_all(
        [*whole, *(f"{where[a]} and {where[b]}: {n} details in the same arrangement" for a, b, n in indices if (a, b) not in known)],
        "mammograms of different patients that are the same one; give them one patient_id, or take one out of the source",
    )
    return pairs


def _patient(outcome: Outcome) -> str | None:
    return outcome.record["patient_id"] if outcome.record else None


def _row(one: Outcome) -> dict[str, Any]:
    """What qc.json says of a mammogram. removed: share of the film that was bright and lies outside of the breast."""
    doubts = sheet.flags(one.notes, one.record is None)
    numbers = {"outside": one.notes["outside"], "removed": round(one.notes["removed"] / one.notes["px"], 6)}
    return {"image_id": one.notes["image_id"], "part": one.part, "flags": doubts, **numbers, **one.sheet}


def _work(jobs: list[Job], processes: int) -> Iterator[Outcome]:
    """Outcomes in the order of the jobs."""
    if processes == 1:
        yield from map(prepare_one, jobs)
        return
    # Spawned, because OpenCV's threads do not survive a fork; one thread each, because there is a process a core.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, cv2.setNumThreads, (1,)) as pool:
        yield from pool.map(prepare_one, jobs, chunksize=4)


def _removed(image: NDArray[Any], cleaned: Cleaned) -> int:
    """Source px outside of the breast that are brighter than its median: labels, tape, borders."""
    return int((image[~cleaned.breast] > np.median(image[cleaned.breast])).sum())


def regions(cleaned: Cleaned, geometry: Geometry) -> NDArray[np.uint8]:
    """(H, W) of the prepared image: 0 background, 1 breast, 2 pectoral muscle."""
    found = geometry.apply_mask(cleaned.breast).astype(np.uint8)
    if cleaned.pectoral is not None:
        found[geometry.apply_mask(cleaned.pectoral)] = 2
    return found


def _record(case: StoredCase, geometry: Geometry, source_height: int, params: Preprocess) -> dict[str, Any]:
    spacing = params.film_height_mm / source_height if case.spacing_mm is None else case.spacing_mm
    return {
        "file_name": f"images/{case.image_id}.png",
        "height": geometry.height,
        "width": geometry.width,
        **{key: getattr(case, key) for key in KEPT},
        **({"role": case.role} if case.role else {}),
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


def _check(images: Iterable[tuple[Part, str, int]], split: Split, targets: str) -> None:
    """check_parts of (part, patient, lesions that count) of every mammogram; no val part is wanted where its share is 0."""
    rows = list(images)
    found: Counter[Part] = Counter()
    for part, _, count in rows:
        found[part] += count
    members = {part: {patient for p, patient, _ in rows if p == part} for part in PARTS}
    check_parts(members, found, targets, [p for p in PARTS if p != "val" or split.val])


def _write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, PATCH_COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
