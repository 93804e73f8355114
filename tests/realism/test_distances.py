"""Distances between sets against closed forms and values counted by hand."""

import numpy as np
import pytest
from scipy.linalg import sqrtm

from pipeline.realism import distances


def test_frechet_equals_its_formula_and_is_zero_for_equal_sets():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(40, 6)), rng.normal(0.5, 2, size=(30, 6))
    cov = [np.cov(one.T) for one in (a, b)]
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(cov[0] + cov[1] - 2 * np.real(sqrtm(cov[0] @ cov[1])))
    assert distances.frechet(a, b) == pytest.approx(expected, rel=1e-8)
    assert distances.frechet(a, a) == pytest.approx(0, abs=1e-9)
    assert distances.frechet(a, a + 3) == pytest.approx(6 * 9)  # more dimensions than a covariance of few samples has rank for:
    few = rng.normal(size=(4, 50))
    assert distances.frechet(few, few + 1) == pytest.approx(50)


def test_kernel_distance_by_hand_and_unbiased():
    """Two sets of two one-dimensional vectors: k(x, y) = (xy + 1)^3."""
    a, b = np.array([[0.0], [1.0]]), np.array([[2.0], [3.0]])
    within_a, within_b = 1.0, (6 + 1) ** 3
    between = (1 + 1 + (2 + 1) ** 3 + (3 + 1) ** 3) / 4
    assert distances.kernel(a, b) == pytest.approx(within_a + within_b - 2 * between)
    rng = np.random.default_rng(1)
    same = [distances.kernel(rng.normal(size=(20, 5)), rng.normal(size=(20, 5))) for _ in range(300)]
    assert abs(np.mean(same)) < 3 * np.std(same) / 300**0.5  # no bias between samples of one distribution


def test_coverage_of_sets_apart_and_of_a_collapsed_one():
    rng = np.random.default_rng(2)
    real = rng.normal(size=(60, 3))
    assert distances.coverage(real, real) == {"precision": 1.0, "recall": 1.0, "density": pytest.approx(1.2, abs=0.3), "coverage": 1.0}
    assert set(distances.coverage(real, real + 100).values()) == {0.0}
    collapsed = real[:1] + rng.normal(scale=1e-3, size=(60, 3))
    found = distances.coverage(real, collapsed)
    assert found["precision"] == 1.0 and found["recall"] < 0.1 and found["coverage"] < 0.4


def test_too_few_vectors_are_an_error():
    one, six = np.zeros((1, 3)), np.random.default_rng(0).normal(size=(6, 3))
    for measure in (distances.frechet, distances.kernel):
        with pytest.raises(ValueError, match="at least 2"):
            measure(one, six)
    with pytest.raises(ValueError, match="no 5 neighbours"):
        distances.coverage(six, six[:5])
