"""Which detection finds which lesion: greedy by score, each lesion found once, as pycocotools does it.

Detections are taken by descending score (at equal scores in the order of the file). Each takes the lesion of its image
that it matches best among those still free (at equal matches the later one of the file, as pycocotools). The rest are
ignored in an ignored region, else false positives; boxes on a lesion already found are so too, or ignored on request.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipeline.errors import PipelineError, raise_all
from pipeline.evaluation.truth import Boxes, Detections, Floats, Ints, Truth

FALSE_POSITIVE, IGNORED = -1, -2
Duplicates = Literal["fp", "ignore"]
PAIRS_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class Hit:
    """A rule of when a box finds a lesion: `iou` >= limit; `centre` of the box in the lesion's box; `distance` of centres <= limit mm."""

    kind: Literal["iou", "centre", "distance"]
    limit: float = math.nan

    def __str__(self) -> str:
        return self.kind if self.kind == "centre" else f"{self.kind}:{self.limit:g}"


@dataclass(frozen=True)
class Matches:
    """outcome: (N,) the lesion found by each detection, or FALSE_POSITIVE or IGNORED. lesion_score: (L,) -inf where never found."""

    outcome: Ints
    lesion_score: Floats


def parse_hit(text: str) -> Hit:
    """`iou:T` with 0 < T <= 1, `centre`, or `distance:MM` with MM > 0. Raises PipelineError for anything else."""
    if text == "centre":
        return Hit("centre")
    found = re.fullmatch(r"(iou|distance):(\d*\.?\d+(?:[eE]-?\d+)?)", text)
    if found:
        limit = float(found[2])
        if found[1] == "iou" and 0 < limit <= 1:
            return Hit("iou", limit)
        if found[1] == "distance" and 0 < limit < math.inf:
            return Hit("distance", limit)
    raise PipelineError(f"hit {text!r}: use iou:T with 0 < T <= 1, centre, or distance:MM with MM > 0")


def match(truth: Truth, detections: Detections, hit: Hit, duplicates: Duplicates = "fp") -> Matches:
    """Match all detections of a test set.

    duplicates: whether further boxes on a lesion already found are false positives (`fp`) or do not count (`ignore`).
    A box that finds no free lesion and lies in an ignored region counts neither way; overlap with such a region is the
    share of the box inside it (pycocotools' crowd rule), for `centre` and `distance` the box's centre in the region.
    Raises PipelineError where `distance` is asked for and an image with lesions has no spacing_mm.
    """
    if hit.kind == "distance":
        bare = [f"image {truth.images[i]['id']!r}" for i in np.unique(truth.lesions.image) if math.isnan(truth.spacing[i])]
        raise_all(bare, f"{truth.name}: {hit} needs spacing_mm; it is missing")
    box, lesion = _candidates(truth, detections, truth.lesions, hit, ignored=False)
    outcome = _greedy(box, lesion, len(detections), len(truth.lesions))
    free = outcome == FALSE_POSITIVE
    for ignored in (_candidates(truth, detections, truth.regions, hit, ignored=True)[0], box if duplicates == "ignore" else box[:0]):
        outcome[ignored[free[ignored]]] = IGNORED
    lesion_score = np.full(len(truth.lesions), -np.inf)
    found = outcome >= 0
    lesion_score[outcome[found]] = detections.score[found]
    return Matches(outcome, lesion_score)


def _greedy(box: Ints, lesion: Ints, n_boxes: int, n_lesions: int) -> Ints:
    """(N,) lesion of each box or FALSE_POSITIVE, from candidate pairs in the order in which they are to be tried."""
    outcome = np.full(n_boxes, FALSE_POSITIVE, np.int64)
    free, placed = [True] * n_lesions, set()
    for one, target in zip(box.tolist(), lesion.tolist(), strict=True):
        if free[target] and one not in placed:
            free[target] = False
            placed.add(one)
            outcome[one] = target
    return outcome


def _candidates(truth: Truth, detections: Detections, targets: Boxes, hit: Hit, ignored: bool) -> tuple[Ints, Ints]:
    """Pairs (box, target) of one image that fulfil the rule: by score, then by quality of the match, then the later target first."""
    rank = np.empty(len(detections), np.int64)
    rank[np.argsort(-detections.score, kind="stable")] = np.arange(len(detections))
    parts = []
    for box, target in _same_image(detections.image, targets.image, len(truth.images)):
        quality = _quality(detections, box, targets, target, hit, truth.spacing, ignored)
        good = np.flatnonzero(quality > -np.inf)
        parts.append((box[good], target[good], quality[good]))
    boxes, lesions, qualities = (np.concatenate(part) for part in zip(*parts, strict=True))
    order = np.lexsort((-lesions, -qualities, rank[boxes]))
    return boxes[order], lesions[order]


def _same_image(boxes: Ints, targets: Ints, n_images: int) -> Iterator[tuple[Ints, Ints]]:
    """All pairs (box, target) that share an image, some PAIRS_AT_ONCE at a time. boxes (N,), targets (M,): their images."""
    by_image = np.argsort(boxes, kind="stable")
    count = np.bincount(boxes, minlength=n_images)
    start = np.cumsum(count) - count
    pairs = count[targets]
    chunk = np.cumsum(pairs) // PAIRS_AT_ONCE
    for part in np.split(np.arange(len(targets)), np.flatnonzero(np.diff(chunk)) + 1):
        n = pairs[part]
        within = np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n)
        yield by_image[np.repeat(start[targets[part]], n) + within], np.repeat(part, n)


def _quality(detections: Detections, box: Ints, targets: Boxes, target: Ints, hit: Hit, spacing: Floats, ignored: bool) -> Floats:
    """(K,) how well each box matches its target, -inf where the rule is not fulfilled."""
    a, b = detections.xyxy[box], targets.xyxy[target]
    if hit.kind == "iou":
        sides = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
        inside = np.where((sides > 0).all(1), sides[:, 0] * sides[:, 1], 0.0)
        whole = detections.area[box] if ignored else detections.area[box] + targets.area[target] - inside
        overlap = np.divide(inside, whole, out=np.zeros_like(inside), where=inside > 0)
        return np.where(overlap >= min(hit.limit, 1 - 1e-10), overlap, -np.inf)
    centre = (a[:, :2] + a[:, 2:]) / 2
    apart = np.hypot(*(centre - (b[:, :2] + b[:, 2:]) / 2).T)
    if hit.kind == "centre" or ignored:
        good = ((b[:, :2] <= centre) & (centre <= b[:, 2:])).all(1)
    else:
        good = apart * spacing[targets.image[target]] <= hit.limit
    return np.where(good, -apart, -np.inf)
