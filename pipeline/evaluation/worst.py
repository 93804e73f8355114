"""The lesions a detector is worst at, and the false positives it is surest of."""

from typing import NamedTuple

import numpy as np

from pipeline.evaluation.froc import Rules, judge
from pipeline.evaluation.matching import FALSE_POSITIVE
from pipeline.evaluation.truth import Detections, Truth


class Miss(NamedTuple):
    """lesion: its number in the truth. fp_per_image: false positives per image at the score that finds it; None: no detection does."""

    lesion: int
    fp_per_image: float | None


class FalsePositive(NamedTuple):
    """detection: its number. fp_per_image: rank among the false positives, per image. outscored: share of lesions with a lower score."""

    detection: int
    fp_per_image: float
    outscored: float


def misses(truth: Truth, found: Detections, rules: Rules, n: int, above: float = 1.0) -> list[Miss]:
    """Up to n lesions that are not found at `above` false positives per image: never found first, then the latest; larger ones first."""
    matches, data = judge(truth, found, rules)
    rate = np.searchsorted(-data.fp_score, -matches.lesion_score, side="right") / max(1, data.images.sum())
    rate[np.isneginf(matches.lesion_score)] = np.inf
    order = np.lexsort((-truth.lesions.area, -rate))
    return [Miss(int(one), None if np.isinf(rate[one]) else float(rate[one])) for one in order if rate[one] > above][:n]


def false_positives(truth: Truth, found: Detections, rules: Rules, n: int) -> list[FalsePositive]:
    """Up to n detections that match nothing, by falling score; one an image, so that one structure does not fill the list."""
    matches, data = judge(truth, found, rules)
    wrong = np.flatnonzero(matches.outcome == FALSE_POSITIVE)
    wrong = wrong[np.argsort(-found.score[wrong], kind="stable")]
    wrong = wrong[np.sort(np.unique(found.image[wrong], return_index=True)[1])][:n]
    rate = np.searchsorted(-data.fp_score, -found.score[wrong], side="right") / max(1, data.images.sum())
    outscored = (matches.lesion_score[:, None] < found.score[wrong][None]).mean(0) if len(truth.lesions) else np.zeros(len(wrong))
    return [FalsePositive(int(one), float(at), float(share)) for one, at, share in zip(wrong, rate, outscored, strict=True)]
