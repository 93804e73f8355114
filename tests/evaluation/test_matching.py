"""Matching by hand, and faults seen in other tools frozen as tests."""

from typing import Any

import numpy as np
import pytest

from pipeline.errors import PipelineError
from pipeline.evaluation.matching import FALSE_POSITIVE, IGNORED, match, parse_hit
from pipeline.evaluation.truth import detections, truth
from tests.evaluation.cases import dataset, image, results

LESION = [10.0, 20.0, 40.0, 10.0]


def outcome(gt: dict[str, Any], found: list[dict[str, Any]], hit: str = "iou:0.5", duplicates: Any = "fp") -> list[int]:
    known = truth(gt)
    return match(known, detections(found, known), parse_hit(hit), duplicates).outcome.tolist()


def one_lesion(**more: Any) -> dict[str, Any]:
    return dataset([image(1, "a", **more)], [(1, LESION)])


def test_a_far_away_box_is_not_a_hit() -> None:
    assert outcome(one_lesion(), results((1, [500, 500, 40, 10], 0.9)), "iou:0.1") == [FALSE_POSITIVE]
    assert outcome(one_lesion(), results((1, [500, 500, 40, 10], 0.9)), "centre") == [FALSE_POSITIVE]


def test_a_box_of_another_image_is_not_a_hit() -> None:
    gt = dataset([image(1), image(2)], [(1, LESION)])
    assert outcome(gt, results((2, LESION, 0.9))) == [FALSE_POSITIVE]


def test_x_and_y_are_not_mixed_up() -> None:
    x, y, w, h = LESION
    assert outcome(one_lesion(), results((1, [y, x, h, w], 0.9), (1, LESION, 0.1)), "iou:0.2") == [FALSE_POSITIVE, 0]
    assert outcome(one_lesion(), results((1, [x + 15, y, w, h], 0.9)), "centre") == [0]  # centre at 45, lesion ends at 50
    assert outcome(one_lesion(), results((1, [x, y + 15, w, h], 0.9)), "centre") == [FALSE_POSITIVE]  # centre at 40, lesion ends at 30


def test_iou_at_the_limit_counts() -> None:
    """[10, 30) against [10, 50) of the same rows: 200 / 400 = 0.5."""
    half = results((1, [10, 20, 20, 10], 0.9))
    assert outcome(one_lesion(), half, "iou:0.5") == [0]
    assert outcome(one_lesion(), half, "iou:0.51") == [FALSE_POSITIVE]
    assert outcome(one_lesion(), results((1, LESION, 0.9)), "iou:1") == [0]


def test_a_high_scored_box_is_not_displaced_by_a_better_overlapping_low_one() -> None:
    assert outcome(one_lesion(), results((1, LESION, 0.2), (1, [10, 20, 30, 10], 0.8))) == [FALSE_POSITIVE, 0]


def test_at_equal_scores_the_first_of_the_file_takes_the_lesion() -> None:
    assert outcome(one_lesion(), results((1, [10, 20, 30, 10], 0.5), (1, LESION, 0.5))) == [0, FALSE_POSITIVE]


def test_a_box_takes_the_best_lesion_that_is_free() -> None:
    gt = dataset([image(1)], [(1, [0, 0, 10, 10]), (1, [2, 0, 10, 10])])
    found = results((1, [2, 0, 10, 10], 0.9), (1, [2, 0, 10, 10], 0.8), (1, [2, 0, 10, 10], 0.7))
    assert outcome(gt, found) == [1, 0, FALSE_POSITIVE]  # IoU with lesion 0: 80 / 120
    assert outcome(gt, found, duplicates="ignore") == [1, 0, IGNORED]


def test_duplicates_ignored_do_not_hide_other_false_positives() -> None:
    found = results((1, LESION, 0.9), (1, LESION, 0.8), (1, [200, 20, 40, 10], 0.7))
    assert outcome(one_lesion(), found, duplicates="ignore") == [0, IGNORED, FALSE_POSITIVE]


def test_boxes_in_an_ignored_region_count_neither_way() -> None:
    gt = dataset([image(1)], [(1, [0, 0, 10, 10])], [(1, [100, 100, 200, 200])])
    found = results(
        (1, [120, 120, 10, 10], 0.9),
        (1, [150, 150, 10, 10], 0.8),
        (1, [0, 0, 10, 10], 0.7),
        (1, [96, 120, 10, 10], 0.6),
        (1, [94, 120, 10, 10], 0.5),
    )
    # of the last two 60 % and 40 % lie in the region
    assert outcome(gt, found) == [IGNORED, IGNORED, 0, IGNORED, FALSE_POSITIVE]
    assert outcome(gt, found, "centre") == [IGNORED, IGNORED, 0, IGNORED, FALSE_POSITIVE]


def test_a_lesion_in_an_ignored_region_can_be_found() -> None:
    gt = dataset([image(1)], [(1, [0, 0, 10, 10])], [(1, [0, 0, 50, 50])])
    assert outcome(gt, results((1, [0, 0, 10, 10], 0.9), (1, [0, 0, 10, 10], 0.8))) == [0, IGNORED]


def test_distance_is_in_millimetres_between_centres() -> None:
    """Centres (30, 25) and (33, 29) lie 5 px apart: 0.5 mm at 0.1 mm a pixel."""
    found = results((1, [13, 24, 40, 10], 0.9))
    assert outcome(one_lesion(spacing_mm=0.1), found, "distance:0.5") == [0]
    assert outcome(one_lesion(spacing_mm=0.1), found, "distance:0.49") == [FALSE_POSITIVE]
    assert outcome(one_lesion(spacing_mm=0.2), found, "distance:0.5") == [FALSE_POSITIVE]


@pytest.mark.parametrize("spacing", [None, float("nan")])
def test_distance_without_spacing_is_an_error(spacing: Any) -> None:
    with pytest.raises(PipelineError, match=r"distance:5 needs spacing_mm(.|\n)*image 1"):
        outcome(one_lesion(spacing_mm=spacing), results((1, LESION, 0.9)), "distance:5")


@pytest.mark.parametrize("spacing", [0, -0.1, float("inf"), "wide"])
def test_impossible_spacing_is_an_error(spacing: Any) -> None:
    with pytest.raises(PipelineError, match="spacing_mm must be a positive number or null"):
        truth(one_lesion(spacing_mm=spacing))


@pytest.mark.parametrize("rule", ["iou:0", "iou:0.0", "iou:1.1", "iou:", "iou:-0.5", "distance:0", "distance:", "center", "dice:0.5", ""])
def test_unknown_rules_are_errors(rule: str) -> None:
    with pytest.raises(PipelineError, match="use iou:T"):
        parse_hit(rule)


def test_rules_are_read() -> None:
    assert [str(parse_hit(rule)) for rule in ("iou:.5", "iou:1", "centre", "distance:7.50")] == [
        "iou:0.5",
        "iou:1",
        "centre",
        "distance:7.5",
    ]


def test_many_pairs_are_matched_in_parts_as_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    gt = dataset([image(i) for i in range(6)], [(int(rng.integers(6)), [*rng.uniform(0, 50, 2), 20, 20]) for _ in range(30)])
    found = results(*((int(rng.integers(6)), [*rng.uniform(0, 50, 2), 20, 20], float(rng.random())) for _ in range(200)))
    whole = outcome(gt, found, "iou:0.3")
    monkeypatch.setattr("pipeline.evaluation.matching.PAIRS_AT_ONCE", 7)
    assert outcome(gt, found, "iou:0.3") == whole
    assert sum(one >= 0 for one in whole) > 20


def test_a_box_without_area_hits_nothing() -> None:
    assert outcome(one_lesion(), results((1, [30, 25, 0, 0], 0.9)), "iou:0.01") == [FALSE_POSITIVE]
