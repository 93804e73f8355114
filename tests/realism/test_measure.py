"""The measures put together, on made sets whose answers are known."""

from types import SimpleNamespace

import numpy as np
import pytest

from pipeline.realism import measure, sets
from pipeline.realism.sets import Set

SIDE = 16


def made(n, name, shift=0.0, seed=0, patients=None):
    """Noise patches with a disc in the middle; shift moves some features of all of them."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    mask = (rows - 7.5) ** 2 + (columns - 7.5) ** 2 < rng.uniform(9, 25, (n, 1, 1))
    images = np.clip(0.4 + 0.1 * mask + 0.05 * rng.normal(size=(n, SIDE, SIDE)), 0, 1)
    images[:, :2] += shift
    names = [f"{name}{k}" for k in range(n)]
    return Set(images.astype(np.float32), mask, np.full(n, 50.0), patients or [f"p{k // 2}" for k in range(n)], names)


def given(healthy=True):
    """In the place of `Given`: sets that are made, and pixels as features."""
    real = {"train": made(60, "t", seed=1), "held_out": made(40, "h", seed=2, patients=[f"q{k // 2}" for k in range(40)])}
    others = {"paste": made(50, "a", 0.2, 4), "copy_paste": made(50, "b", 0.1, 5), "poisson": made(50, "c", 0.0, 6)}
    pairs = {"untouched": made(50, "u", seed=7), "sham": made(50, "s", 0.3, 8)}
    return SimpleNamespace(
        n=50, seed=0, held_out=("val",), real=real, all_real=sets.joined(real.values()), gan=made(50, "g", seed=3), others=others,
        untouched=pairs["untouched"], healthy=pairs if healthy else None,
        features=lambda one: (one.images.reshape(len(one), -1)[:, :24], one.images.reshape(len(one), -1)),
    )  # fmt: skip


def test_classifier_and_seam_tell_what_differs_and_nothing_else():
    report, _ = measure.measure(given(), ["classifier"])
    auc = {name: row["auc"] for name, row in report["classifier"].items()}
    assert set(auc) == {"gan", "paste", "copy_paste", "poisson", "untouched", "real"}
    assert auc["paste"] > 0.9 and 0.3 < auc["gan"] < 0.7 and 0.4 < auc["real"] < 0.6
    assert report["seam"]["sham"]["auc"] > 0.9
    assert set(report["definitions"]) == {"patches", "classifier", "seam"}
    assert "real ones of train and val," in report["definitions"]["patches"]
    assert "seam" not in measure.measure(given(healthy=False), ["classifier"])[0]


def test_distances_are_of_equal_sizes_and_grow_with_the_difference():
    report, _ = measure.measure(given(), ["distances"])
    found = report["distances"]
    assert len({tuple(row["n"]) for row in found.values()}) == 1 and found["gan"]["n"][0] == found["gan"]["n"][1] <= 50
    for key in ("kid", "fid"):
        assert found["paste"][key] > found["copy_paste"][key] > max(found["gan"][key], found["real"][key])
    assert found["paste"]["coverage"] < found["gan"]["coverage"]


def test_lesions_stand_beside_their_floor():
    report, _ = measure.measure(given(), ["lesions"])
    rows = report["lesions"]
    assert rows["gan"]["contrast"]["n"] == [100, 50] and rows["real"]["contrast"]["n"] == [60, 40]
    assert rows["gan"]["contrast"]["real"][1] == pytest.approx(0.1, abs=0.02)
    assert {key.split(".")[1] for key in report["definitions"] if "." in key} == set(rows["gan"])


def test_no_measure_adds_nothing():
    assert measure.measure(given(), []) == ({}, {})
