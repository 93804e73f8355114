"""Estimates from several trainings evaluated on the same patients, and their differences: two sources of chance.

A measured sensitivity varies with the patients that happen to be in the test set and with the training run (its seed).
Runs play the part that readers have in reader studies: run-to-run and patient variance are told apart as by
Obuchowski and Rockette, the patient variance from a bootstrap in which all runs share the resampled patients; degrees of
freedom as by Hillis (Statistics in Medicine 2007). Resampling the few runs themselves would make intervals too narrow
(benchmarks/coverage.md).

Letters: S runs of one group (an arm on one fold), B resamples of patients, d a difference.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.evaluation.bootstrap import LEVEL, interval, t_quantile
from pipeline.evaluation.truth import Floats

POWER = 0.8


@dataclass(frozen=True)
class Group:
    """One number of the runs of an arm on a fold. values: (S,); draws: (S, B), each run on the same resampled patients."""

    values: Floats
    draws: Floats


@dataclass(frozen=True)
class RunVariance:
    """Variance of one run about its arm. runs: from run to run alone; raw: as observed between runs, which holds the chance
    with which each run hits or misses these patients too; df: its degrees of freedom, 0 where no group has two runs."""

    runs: float
    raw: float
    df: int


@dataclass(frozen=True)
class Estimate:
    """A weighted sum of group means.

    se: of the whole, from var_patients and var_runs (NaN where each group has one run). df: degrees of freedom of a
    difference's t test; of a mean, those of its run variance.
    """

    value: float
    ci95: tuple[float, float]
    n_runs: int
    se: float
    df: float
    var_patients: float
    var_runs: float


def run_variance(groups: Sequence[Group]) -> RunVariance:
    """Run-to-run variance pooled over groups, each with its own mean; groups of one run add nothing."""
    several = [group for group in groups if len(group.values) > 1]
    df = sum(len(group.values) - 1 for group in several)
    if not df:
        return RunVariance(np.nan, np.nan, 0)
    raw = within = 0.0
    for group in several:
        share = (len(group.values) - 1) / df
        raw += share * float(np.var(group.values, ddof=1))
        # patients and runs together: what is lost of a single run's patient variance by averaging runs, times S/(S-1)
        lost = np.mean([_variance(row) for row in group.draws]) - _variance(group.draws.mean(0))
        within += share * max(0.0, float(lost) * len(group.values) / (len(group.values) - 1))
    return RunVariance(max(0.0, raw - within), raw, df)


def difference(terms: Sequence[tuple[float, Group]], n_clusters: int) -> Estimate:
    """Weighted sum of group means, as (1, a) and (-1, b), with its t interval.

    n_clusters: patients with something to find, over all folds. The run variance is pooled over the groups of the terms
    (the two arms compared), which holds for unequal variances too where the arms have as many runs.
    """
    value, _, patients = _patients(terms, n_clusters)
    variance = run_variance([group for _, group in terms])
    weight = sum(c * c / len(group.values) for c, group in terms)
    runs = weight * variance.runs
    total = patients + (runs if variance.df else 0.0)
    spread = patients**2 / (n_clusters - 1) if n_clusters > 1 else np.nan
    spread += (weight * variance.raw) ** 2 / variance.df if variance.df else 0.0
    df = total**2 / spread if spread > 0 else np.nan
    half = t_quantile(df, (1 + LEVEL) / 2) * np.sqrt(total)
    return Estimate(value, (value - half, value + half), _runs(terms), float(np.sqrt(total)), df, patients, runs)


def mean(terms: Sequence[tuple[float, Group]], n_clusters: int, variance: RunVariance, proportion: bool = True) -> Estimate:
    """Weighted mean of groups of one arm: the percentile interval over patients, and the t interval over runs, joined.

    variance: of one run, pooled over all arms of a study, as one arm has too few runs to tell. The two intervals are
    joined by adding the squares of their distances from the estimate (MOVER: Zou and Donner, Statistics in Medicine
    2008); with one run it is the percentile interval over patients. proportion: cut to [0, 1].
    """
    value, draws, patients = _patients(terms, n_clusters)
    low, high = interval(value, draws, n_clusters, proportion)
    runs = sum(c * c / len(group.values) for c, group in terms) * variance.runs
    half = t_quantile(variance.df, (1 + LEVEL) / 2) * np.sqrt(runs) if variance.df else 0.0
    low, high = value - float(np.hypot(value - low, half)), value + float(np.hypot(high - value, half))
    if proportion:
        low, high = max(low, 0.0), min(high, 1.0)
    total = patients + (runs if variance.df else 0.0)
    return Estimate(value, (low, high), _runs(terms), float(np.sqrt(total)), float(variance.df or np.nan), patients, runs)


def p_value(estimate: Estimate) -> float:
    """Two-sided p of the t test that a difference is 0. NaN where nothing varies and the difference is not 0."""
    from scipy.special import stdtr

    if estimate.value == 0:
        return 1.0
    return float(2 * stdtr(estimate.df, -abs(estimate.value) / estimate.se)) if estimate.se > 0 else np.nan


def minimal_detectable(estimate: Estimate) -> float:
    """The true difference that a study of this size would find significant (5 %, two-sided) with a power of 80 %."""
    return (t_quantile(estimate.df, (1 + LEVEL) / 2) + t_quantile(estimate.df, POWER)) * estimate.se


def holm(p: Sequence[float]) -> list[float]:
    """p values adjusted for several comparisons (Holm 1979); NaN stays NaN and does not count."""
    adjusted, highest = list(p), 0.0
    known = [i for i in np.argsort(p, kind="stable") if not np.isnan(p[i])]
    for rank, i in enumerate(known):
        highest = max(highest, min(1.0, (len(known) - rank) * p[i]))
        adjusted[i] = highest
    return adjusted


def nadeau_bengio(differences: Floats, test_per_train: float) -> tuple[float, float]:
    """Standard error and p of the mean of (J,) differences from J train/test splits (corrected resampled t test).

    test_per_train: size of the test part over that of the training part. The splits' training sets overlap, so the
    variance is inflated by 1/J + test/train (Nadeau and Bengio, Machine Learning 2003). NaN for fewer than two splits.
    """
    from scipy.special import stdtr

    splits = len(differences)
    if splits < 2:
        return np.nan, np.nan
    se = float(np.sqrt((1 / splits + test_per_train) * np.var(differences, ddof=1)))
    return se, float(2 * stdtr(splits - 1, -abs(differences.mean()) / se)) if se > 0 else np.nan


def _patients(terms: Sequence[tuple[float, Group]], n_clusters: int) -> tuple[float, Floats, float]:
    """Value, (B,) draws, and the patient variance: a bootstrap of n patients misses the factor n/(n-1)."""
    value = float(sum(c * group.values.mean() for c, group in terms))
    draws = np.sum([c * group.draws.mean(0) for c, group in terms], axis=0)
    return value, draws, _variance(draws) * n_clusters / (n_clusters - 1) if n_clusters > 1 else np.nan


def _variance(draws: Floats) -> float:
    """Variance of the (B,) draws that are defined; NaN for fewer than two."""
    known = draws[~np.isnan(draws)]
    return float(np.var(known, ddof=1)) if len(known) > 1 else np.nan


def _runs(terms: Sequence[tuple[float, Group]]) -> int:
    return sum(len(group.values) for _, group in terms)
