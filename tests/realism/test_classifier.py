"""The patch classifier: 1/2 for one distribution, 1 for two, and no patient on both sides."""

import numpy as np
import pytest

from pipeline.errors import PipelineError
from pipeline.realism.classifier import separation


def patients(n, each=4, start=0):
    return [f"p{start + item // each}" for item in range(n)]


def test_equal_sets_are_not_told_apart_and_different_ones_are():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 100, 300))
    same = separation(a, b, (patients(100), patients(100)), 0)
    assert 0.35 < same["auc"] < 0.65 and same["ci_low"] < 0.5 < same["ci_high"]
    b[:, :5] += 2
    apart = separation(a, b, (patients(100), patients(100)), 0)
    assert apart["auc"] > 0.95 and apart["n"] == [100, 100] and apart["patients"] == 25
    assert separation(a, b, (patients(100), patients(100)), 0) == apart


def test_what_is_learned_of_a_patient_does_not_help_with_the_same_patient():
    """Each patient has a look of his own and is always of one set: grouped by patient, nothing general can be learned."""
    rng = np.random.default_rng(1)
    names = patients(200, each=10)
    looks = {name: 5 * rng.normal(size=40) for name in sorted(set(names))}
    features = np.stack([looks[name] for name in names]) + 0.1 * rng.normal(size=(200, 40))
    found = separation(features[:100], features[100:], (names[:100], names[100:]), 0)
    assert 0.1 < found["auc"] < 0.85 and found["ci_low"] < 0.5  # not grouped it would be 1


def test_constant_features_carry_nothing():
    flat = np.ones((40, 6))
    assert separation(flat, flat, (patients(40), patients(40)), 0)["auc"] == pytest.approx(0.5)


def test_fewer_patients_than_folds_are_an_error():
    with pytest.raises(PipelineError, match="4 patients"):
        separation(np.zeros((8, 2)), np.zeros((8, 2)), (patients(8, 2), patients(8, 2)), 0)
