"""Sensitivity of groups of lesions at one operating point of the whole test set.

The threshold is the one at which the detector makes `at` false positives per image on all images that count; each
group then tells the share of its own lesions found there. Groups: size (thirds by sqrt(width x height) of the box),
breast density, view, shape and margins of the mass, as far as the metadata says.
"""

from typing import Any

import numpy as np

from pipeline.evaluation.bootstrap import blocks, or_nan
from pipeline.evaluation.events import Events, count
from pipeline.evaluation.matching import Matches
from pipeline.evaluation.truth import Bools, Floats, Ints, Truth, missing

Stratum = tuple[str, str]
OF_IMAGE, OF_LESION = ("density", "view"), ("shape", "margins")


def strata(truth: Truth) -> dict[Stratum, Bools]:
    """(variable, level) and the lesions (L,) in it; variables that no lesion names are left out."""
    found = _sizes(truth)
    records = {
        **{name: [truth.images[i] for i in truth.lesions.image] for name in OF_IMAGE},
        **dict.fromkeys(OF_LESION, truth.annotations),
    }
    for name, of_lesion in records.items():
        levels = ["unknown" if missing(record.get(name)) else str(record[name]) for record in of_lesion]
        if set(levels) - {"unknown"}:
            found |= {(name, level): np.array([one == level for one in levels]) for level in sorted(set(levels))}
    return found


def _sizes(truth: Truth) -> dict[Stratum, Bools]:
    """Thirds of the lesions by size, in mm where every image with a lesion has a spacing, else in px."""
    if not len(truth.lesions):
        return {}
    size, unit = np.sqrt(truth.lesions.area), "px"
    spacing = truth.spacing[truth.lesions.image]
    if not np.isnan(spacing).any():
        size, unit = size * spacing, "mm"
    low, high = np.quantile(size, [1 / 3, 2 / 3])
    thirds = {
        f"< {low:.1f} {unit}": size < low,
        f"{low:.1f} to {high:.1f} {unit}": (low <= size) & (size <= high),
        f"> {high:.1f} {unit}": size > high,
    }
    return {("size", level): inside for level, inside in thirds.items() if inside.any()}


def sensitivities(truth: Truth, matches: Matches, data: Events, weights: Ints, at: float = 1.0) -> dict[Stratum, Floats]:
    """Sensitivity (B,) of each stratum under weights (B, C); the threshold is found again in each resample. NaN where it is empty."""
    groups = strata(truth)
    if not groups:
        return {}
    inside = np.array(list(groups.values())).T.astype(float)
    cluster = truth.cluster[truth.lesions.image]
    threshold, rows = _threshold(data, weights, at), []
    for part, limits in zip(blocks(weights, len(cluster)), blocks(threshold[:, None], len(cluster)), strict=True):
        drawn = part[:, cluster].astype(float)
        found = np.where(np.isnan(limits), np.nan, matches.lesion_score >= limits)
        rows.append((drawn * found) @ inside / or_nan(drawn @ inside))
    return dict(zip(groups, np.concatenate(rows).T, strict=True))


def _threshold(data: Events, weights: Ints, at: float) -> Floats:
    """(B,) lowest score at which something is found with at most `at` false positives per image; inf: none is, NaN: no images."""
    parts = []
    for one in count(data, weights):
        reached = (one.fp <= at * one.images[:, None]).sum(1)
        parts.append(np.where(one.images > 0, np.append(np.inf, one.score)[reached], np.nan))
    return np.concatenate(parts)


def table(truth: Truth) -> list[dict[str, Any]]:
    """Variable, level, lesions and clusters (patients) of each stratum."""
    cluster = truth.cluster[truth.lesions.image]
    return [
        {"variable": name, "level": level, "n_lesions": int(inside.sum()), "n_clusters": len(np.unique(cluster[inside]))}
        for (name, level), inside in strata(truth).items()
    ]
