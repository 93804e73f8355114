"""Variance over patients and over runs, by hand; and a small simulation of whether intervals cover."""

import numpy as np
import pytest
from scipy import stats

from benchmarks.coverage import cover
from pipeline.evaluation.bootstrap import interval, resample
from pipeline.evaluation.components import (
    Group,
    RunVariance,
    difference,
    holm,
    mean,
    minimal_detectable,
    nadeau_bengio,
    p_value,
    run_variance,
)

ALTERNATING = np.array([[1.0, -1, 1, -1], [1, 1, -1, -1]])  # uncorrelated rows, each of variance 4/3


def group(values: list[float], draws: np.ndarray | None = None) -> Group:
    return Group(np.array(values), np.zeros((len(values), 4)) if draws is None else draws)


def test_run_variance_is_pooled_over_groups() -> None:
    """Variances 2 (of 2 runs) and 3 (of 3 runs): (1 * 2 + 2 * 3) / 3."""
    assert run_variance([group([0, 2]), group([1, 1, 4]), group([9])]) == RunVariance(pytest.approx(8 / 3), pytest.approx(8 / 3), 3)


def test_what_runs_owe_to_the_patients_is_taken_off_the_run_variance() -> None:
    """Runs whose resamples are uncorrelated share nothing: all of 4/3 is chance of run and patient together."""
    assert run_variance([group([0, 2], ALTERNATING)]).runs == pytest.approx(2 - 4 / 3)
    assert run_variance([group([0, 2], ALTERNATING[[0, 0]])]).runs == pytest.approx(2)
    assert run_variance([group([0, 1], ALTERNATING)]) == RunVariance(0.0, 0.5, 1)


def test_one_run_says_nothing_of_runs() -> None:
    found = run_variance([group([0.5]), group([0.7])])
    assert found.df == 0 and np.isnan(found.runs)


def test_difference_of_single_runs_is_a_t_test_over_patients() -> None:
    """Draws differ by +-1 and +-2: variance 10/3, times 10/9 for ten patients; nine degrees of freedom."""
    a, b = group([0.8], np.array([[1.0, -1, 2, -2]])), group([0.5], np.zeros((1, 4)))
    got = difference([(1, a), (-1, b)], n_clusters=10)
    se = np.sqrt(10 / 3 * 10 / 9)
    assert (got.value, got.se, got.df, got.n_runs) == (pytest.approx(0.3), pytest.approx(se), pytest.approx(9), 2)
    assert got.ci95 == pytest.approx((0.3 - stats.t.ppf(0.975, 9) * se, 0.3 + stats.t.ppf(0.975, 9) * se))
    assert p_value(got) == pytest.approx(2 * stats.t.sf(0.3 / se, 9))
    assert minimal_detectable(got) == pytest.approx((stats.t.ppf(0.975, 9) + stats.t.ppf(0.8, 9)) * se)
    assert np.isnan(got.var_runs)


def test_difference_of_several_runs_adds_their_variance() -> None:
    """No patient variance; run variances 2 and 0 pooled to 1, over two runs each: 1/2 + 1/2 with two degrees of freedom."""
    got = difference([(1, group([4, 6])), (-1, group([1, 1]))], n_clusters=10)
    assert (got.value, got.var_patients, got.var_runs, got.df) == (4, 0, pytest.approx(1), pytest.approx(2))
    assert p_value(got) == pytest.approx(2 * stats.t.sf(4, 2))


def test_shared_patients_cancel() -> None:
    """Both arms rise and fall with the same patients: nothing is left to vary but what they do not share."""
    draws = np.random.default_rng(0).normal(0, 1, (1, 400))
    a, b = group([0.6], draws + 0.6), group([0.5], draws + 0.5)
    assert difference([(1, a), (-1, b)], 50).se == pytest.approx(0, abs=1e-12)
    other = group([0.5], np.random.default_rng(1).normal(0, 1, (1, 400)))
    assert difference([(1, a), (-1, other)], 50).se == pytest.approx(np.sqrt(2 * 50 / 49), rel=0.1)


def test_an_arm_does_not_differ_from_itself() -> None:
    same = group([0.5, 0.7], np.random.default_rng(0).normal(0.6, 0.1, (2, 50)))
    assert p_value(difference([(1, same), (-1, same)], 20)) == 1.0


def test_p_and_interval_say_the_same() -> None:
    rng = np.random.default_rng(3)
    for _ in range(200):
        a, b = (Group(rng.normal(m, 0.1, 3), rng.normal(m, 0.1, (3, 60))) for m in (0.5, 0.65))
        got = difference([(1, a), (-1, b)], 30)
        assert (p_value(got) < 0.05) == (got.ci95[0] > 0 or got.ci95[1] < 0)


def test_mean_of_one_run_has_the_percentile_interval_over_patients() -> None:
    one = group([0.5], np.random.default_rng(0).beta(20, 20, (1, 999)))
    got = mean([(1, one)], 40, run_variance([one]))
    assert got.ci95 == pytest.approx(interval(0.5, one.draws[0], 40))
    assert np.isnan(got.var_runs)


def test_mean_joins_both_intervals_and_stays_a_share() -> None:
    """Percentiles .4 and .6 about .5; runs add t * sqrt(.09 / 2) to each side, squares added."""
    draws = np.tile(np.where(np.arange(1000) % 2, 0.4, 0.6), (2, 1))
    half = stats.t.ppf(0.975, 4) * np.sqrt(0.0009 / 2)
    got = mean([(1, group([0.5, 0.5], draws))], 40, RunVariance(0.0009, 0.001, 4))
    assert got.ci95 == pytest.approx((0.5 - np.hypot(0.1, half), 0.5 + np.hypot(0.1, half)))
    assert mean([(1, group([0.5, 0.5], draws))], 40, RunVariance(0.5, 0.5, 1)).ci95 == (0.0, 1.0)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.6]) == pytest.approx([1.0, 1.0])
    adjusted = holm([0.01, np.nan, 0.02])
    assert adjusted[0] == pytest.approx(0.02) and np.isnan(adjusted[1]) and adjusted[2] == pytest.approx(0.02)
    assert holm([]) == []


def test_nadeau_bengio_by_hand() -> None:
    """Variance .01, inflated by 1/3 + 1/2; t = .2 / se, and for two degrees of freedom p = 1 - t / sqrt(2 + t^2)."""
    se, p = nadeau_bengio(np.array([0.1, 0.2, 0.3]), test_per_train=0.5)
    t = 0.2 / np.sqrt(0.01 * 5 / 6)
    assert se == pytest.approx(np.sqrt(0.01 * 5 / 6)) and p == pytest.approx(1 - t / np.sqrt(2 + t * t))
    assert np.isnan(nadeau_bengio(np.array([0.1]), 0.5)).all()


def test_resamples_draw_as_many_patients_as_there_are() -> None:
    weights = resample(7, 500, 3, "fold")
    assert weights.shape == (501, 7) and (weights[0] == 1).all() and (weights.sum(1) == 7).all()
    assert weights[1:].mean(0) == pytest.approx(np.ones(7), abs=0.2)
    assert (weights == resample(7, 500, 3, "fold")).all() and not (weights == resample(7, 500, 4, "fold")).all()


def test_interval_of_a_mean_has_the_width_of_the_t_interval() -> None:
    """Means of 6 normal values: the expanded percentiles make up for the narrow bootstrap distribution (plain: 0.69 of it)."""
    ratios = []
    for seed in range(6):
        values = np.random.default_rng(seed).normal(0, 1, 6)
        low, high = interval(float(values.mean()), resample(6, 20_000, 0)[1:] @ values / 6, 6, proportion=False)
        ratios.append((high - low) / (2 * stats.t.ppf(0.975, 5) * values.std(ddof=1) / np.sqrt(6)))
    assert np.mean(ratios) == pytest.approx(1, abs=0.05)


def test_interval_where_the_bootstrap_is_silent() -> None:
    assert interval(1.0, np.ones(50), 20) == pytest.approx((0.025 ** (1 / 20), 1.0))
    assert interval(0.0, np.zeros(50), 20) == pytest.approx((0.0, 1 - 0.025 ** (1 / 20)))
    assert np.isnan(interval(0.5, np.full(50, np.nan), 20)).all() and np.isnan(interval(0.5, np.ones(50), 1)).all()


def test_intervals_cover_in_a_small_simulation() -> None:
    """150 studies of 40 patients with 3 runs an arm; benchmarks/coverage.md has the large one. Bounds: four standard errors."""
    got = cover(np.random.default_rng(11), 150, 40, 20, 3, 0.1)
    for name in ("one run, sens_at_1fp", "one run, auc_0_1", "mean over runs", "difference"):
        assert got[name][0] > 0.88, name
    assert got["difference"][1] < 0.35  # and not by being as wide as the scale
