import pytest

from pipeline.evaluation.froc import Rules
from pipeline.evaluation.matching import parse_hit
from pipeline.evaluation.truth import detections, truth
from pipeline.evaluation.worst import false_positives, misses
from tests.evaluation.cases import dataset, image, results

A, B, C = [0.0, 0.0, 10.0, 10.0], [20.0, 20.0, 20.0, 20.0], [50.0, 50.0, 5.0, 5.0]
FAR, ELSEWHERE = [90.0, 90.0, 5.0, 5.0], [70.0, 10.0, 5.0, 5.0]


@pytest.fixture
def study():
    """Two images; lesion 0 (A, score 0.9), 1 (B, 0.2, after four false positives), 2 (C) and 3 (larger, in image 2) never found."""
    known = truth(dataset([image(1, "a"), image(2, "b")], [(1, A), (1, B), (1, C), (2, B)]))
    found = results((1, A, 0.9), (1, FAR, 0.8), (1, ELSEWHERE, 0.7), (2, FAR, 0.6), (2, ELSEWHERE, 0.5), (1, B, 0.2))
    return known, detections(found, known), Rules(parse_hit("iou:0.5"))


def test_misses_are_never_found_ones_by_size_then_the_latest(study):
    found = misses(*study, n=5)
    assert [(one.lesion, one.fp_per_image) for one in found] == [(3, None), (2, None), (1, 2.0)]
    assert [one.lesion for one in misses(*study, n=5, above=2.0)] == [3, 2] and len(misses(*study, n=1)) == 1


def test_false_positives_are_the_surest_of_each_image(study):
    found = false_positives(*study, n=5)
    assert [one.detection for one in found] == [1, 3] and [one.fp_per_image for one in found] == [0.5, 1.5]
    assert [one.outscored for one in found] == [0.75, 0.75]  # all but the one of 0.9


def test_a_detector_without_faults_has_none(study):
    known, _, rules = study
    perfect = detections(results((1, A, 0.9), (1, B, 0.9), (1, C, 0.9), (2, B, 0.9)), known)
    assert misses(known, perfect, rules, 5) == [] and false_positives(known, perfect, rules, 5) == []
