"""From matches to the events that a FROC curve counts: units found at some score, and false positives.

Letters in shapes: C clusters (patients), U units, F false positives, B resamples, T scores at which sensitivity rises.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipeline.errors import PipelineError, raise_all
from pipeline.evaluation.bootstrap import blocks
from pipeline.evaluation.matching import FALSE_POSITIVE, Matches
from pipeline.evaluation.truth import Bools, Detections, Floats, Ints, Truth, missing

Unit = Literal["image", "breast", "patient"]
Images = Literal["all", "lesion", "normal"]
UNITS: dict[str, tuple[str, ...]] = {"image": (), "breast": ("patient_id", "laterality"), "patient": ("patient_id",)}
IMAGES = ("all", "lesion", "normal")


@dataclass(frozen=True)
class Events:
    """What is counted, by cluster.

    unit_score: (U,) highest score at which a unit is found, -inf: never. unit_cluster: (U,). fp_score, fp_cluster: (F,),
    by descending score. images: (C,) images that count for the false positives. thresholds: (K,) every distinct score of
    the detections, descending.
    """

    unit_score: Floats
    unit_cluster: Ints
    fp_score: Floats
    fp_cluster: Ints
    images: Ints
    thresholds: Floats

    @property
    def units(self) -> Ints:
        """(C,) units to be found."""
        return np.bincount(self.unit_cluster, minlength=len(self.images))


@dataclass(frozen=True)
class Counts:
    """Weighted counts of B resamples. score: (T,) descending; found, fp: (B, T) units found and false positives at
    score >= score[t]; all_fp, units, images: (B,) totals."""

    score: Floats
    found: Ints
    fp: Ints
    all_fp: Ints
    units: Ints
    images: Ints


def units(truth: Truth, unit: Unit) -> tuple[Ints, Ints]:
    """The unit of each lesion (L,) and the cluster of each unit (U,).

    `image`: every annotated lesion is a unit; `breast` and `patient`: all lesions of a breast or patient are one, found
    when any of them is found in any view. Raises PipelineError where an image with lesions lacks patient_id or laterality.
    """
    if unit not in UNITS:
        raise PipelineError(f"unit {unit!r}: use one of {', '.join(UNITS)}")
    if unit == "image":
        return np.arange(len(truth.lesions)), truth.cluster[truth.lesions.image]
    bare = [
        f"image {truth.images[i]['id']!r}: {key}"
        for i in np.unique(truth.lesions.image)
        for key in UNITS[unit]
        if missing(truth.images[i].get(key))
    ]
    raise_all(bare, f"{truth.name}: unit {unit} needs metadata that is missing")
    keys = [tuple(truth.images[i][key] for key in UNITS[unit]) for i in truth.lesions.image]
    number = {key: n for n, key in enumerate(dict.fromkeys(keys))}
    unit_of = np.array([number[key] for key in keys], np.int64)
    cluster = np.zeros(len(number), np.int64)
    cluster[unit_of] = truth.cluster[truth.lesions.image]
    return unit_of, cluster


def counted(truth: Truth, images: Images) -> Bools:
    """(I,) the images that count for false positives: `all`, those with a `lesion`, or the `normal` ones (nothing outlined)."""
    if images not in IMAGES:
        raise PipelineError(f"images {images!r}: use one of {', '.join(IMAGES)}")
    return {"all": np.ones(len(truth.images), bool), "lesion": truth.has_lesion, "normal": truth.is_normal}[images]


def events(truth: Truth, detections: Detections, matches: Matches, unit: Unit = "image", images: Images = "all") -> Events:
    """Events of one set of detections."""
    unit_of, unit_cluster = units(truth, unit)
    unit_score = np.full(len(unit_cluster), -np.inf)
    np.maximum.at(unit_score, unit_of, matches.lesion_score)
    counts = counted(truth, images)
    fp = np.flatnonzero((matches.outcome == FALSE_POSITIVE) & counts[detections.image])
    fp = fp[np.argsort(-detections.score[fp], kind="stable")]
    return Events(
        unit_score, unit_cluster, detections.score[fp], truth.cluster[detections.image[fp]],
        np.bincount(truth.cluster[counts], minlength=truth.n_clusters), np.unique(detections.score)[::-1],
    )  # fmt: skip


def count(data: Events, weights: Ints) -> Iterator[Counts]:
    """Counts under resamples of the clusters, some resamples at a time.

    weights: (B, C) how often each cluster is drawn. Everything is sorted once; a resample only re-weights the sorted
    events, so ties stay together and each resample has its own thresholds. Between two scores at which sensitivity can
    rise the false positives are one sum: nothing else can be read off the step curve.
    """
    rising = np.flatnonzero(data.unit_score > -np.inf)
    rising = rising[np.argsort(-data.unit_score[rising], kind="stable")]
    score, first = np.unique(-data.unit_score[rising], return_index=True)
    # false positives of bin t have a score in [score[t], score[t - 1]); the last bin lies below all of them
    edges = np.concatenate([[0], np.searchsorted(-data.fp_score, score, side="right"), [len(data.fp_score)]])
    filled = np.flatnonzero(np.diff(edges))
    for part in blocks(weights, len(data.fp_score) + len(data.unit_score)):
        fp = np.zeros((len(part), len(score) + 1), np.int64)
        if len(filled):
            fp[:, filled] = np.add.reduceat(part.take(data.fp_cluster, axis=1), edges[filled], axis=1)
        found = np.zeros((len(part), len(score)), np.int64)
        if len(score):
            found[:] = np.add.reduceat(part.take(data.unit_cluster[rising], axis=1), first, axis=1)
        yield Counts(-score, found.cumsum(1), fp[:, :-1].cumsum(1), fp.sum(1), part @ data.units, part @ data.images)
