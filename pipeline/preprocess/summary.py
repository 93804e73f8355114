"""What became of the mammograms: counts, balance of the parts, and everything that was changed, dropped or is doubtful."""

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipeline.coco import has_target
from pipeline.preprocess.crops import Features
from pipeline.preprocess.duplicates import Pair, Print
from pipeline.preprocess.split import PARTS, Part


@dataclass(frozen=True)
class Outcome:
    """What became of one mammogram.

    record: of its COCO image, None where it was left out. patches: rows of patches.csv. notes: what was changed or is
    doubtful. sheet: what the QC sheet shows of it. fault: why it cannot be used.
    """

    part: Part
    record: dict[str, Any] | None = None
    annotations: list[dict[str, Any]] = field(default_factory=list)
    patches: list[dict[str, Any]] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)
    sheet: dict[str, Any] = field(default_factory=dict)
    print: Print | None = None
    features: Features | None = None
    fault: str | None = None

    @property
    def targets(self) -> list[dict[str, Any]]:
        """The annotations of lesions to find."""
        return [one for one in self.annotations if not one["iscrowd"]]


def summarise(outcomes: Sequence[Outcome], twins: Iterable[Pair]) -> dict[str, Any]:
    """preprocess.json: px are of the source. twins: pairs of outcomes that show the same mammogram, within a part."""
    notes = [one.notes for one in outcomes]
    return {
        "parts": {part: _part([one for one in outcomes if one.part == part]) for part in PARTS},
        "balance": {part: _balance([one for one in outcomes if one.part == part]) for part in PARTS},
        "laterality_mismatch": [note["image_id"] for note in notes if note["laterality_mismatch"]],
        "no_muscle_in_mlo": [note["image_id"] for note in notes if note["no_muscle"]],
        "spacing_assumed": sum(bool(one.record and one.record["spacing_assumed"]) for one in outcomes),
        "dropped_components": list(itertools.chain.from_iterable(note["dropped"] for note in notes)),
        "images_left_out": [note["image_id"] for one, note in zip(outcomes, notes, strict=True) if one.record is None],
        "lesion_px_outside_breast": {note["image_id"]: note["outside"] for note in notes if note["outside"]},
        "removed_px": {note["image_id"]: note["removed"] for note in notes if note["removed"]},
        "same_mammogram": [[notes[first]["image_id"], notes[second]["image_id"]] for first, second, _ in twins],
    }


def _part(mine: Sequence[Outcome]) -> dict[str, int]:
    records = [one.record for one in mine if one.record is not None]
    return {
        "patients": len({record["patient_id"] for record in records}),
        "images": len(records),
        "lesions": sum(len(one.targets) for one in mine),
        "ignored": sum(len(one.annotations) - len(one.targets) for one in mine),
        "patches": sum(len(one.patches) for one in mine),
    }


def _balance(mine: Sequence[Outcome]) -> dict[str, Any]:
    """Images with a lesion by density and view, quartiles of the lesions' sizes: reported, never forced, so that the split stays a hash."""
    pairs = [(one.record, one.targets) for one in mine if one.record is not None and has_target(one.annotations)]
    sizes = [np.sqrt(one["bbox"][2] * one["bbox"][3]) * record["spacing_mm"] for record, targets in pairs for one in targets]
    quartiles = [round(float(q), 2) for q in np.quantile(sizes, [0.25, 0.5, 0.75])] if sizes else None
    counted = {name: Counter(str(record[name] or "unknown") for record, _ in pairs) for name in ("density", "view")}
    return {**{name: dict(sorted(levels.items())) for name, levels in counted.items()}, "size_mm_quartiles": quartiles}
