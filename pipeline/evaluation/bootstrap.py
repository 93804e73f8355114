"""Resampling of patients, and intervals from the resamples."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import rng
from pipeline.evaluation.truth import Floats, Ints

LEVEL = 0.95
ELEMENTS_AT_ONCE = 1 << 20


def or_nan(n: Any) -> Any:
    """Numbers to divide by: 0 becomes NaN, so that what is undefined stays so."""
    return np.where(np.asarray(n) > 0, n, np.nan)


def blocks(weights: NDArray[Any], width: int) -> Iterator[NDArray[Any]]:
    """The rows of weights in blocks, so that an array of (rows, width) stays small."""
    rows = max(1, ELEMENTS_AT_ONCE // max(width, 1))
    for start in range(0, len(weights), rows):
        yield weights[start : start + rows]


def resample(n_clusters: int, n: int, seed: int, *keys: int | str) -> Ints:
    """(1 + n, C) how often each of C clusters is drawn: once each in row 0, the data; then n bootstrap resamples.

    Rows sum to C. Pure in (seed, keys).
    """
    drawn = rng.generator(seed, "bootstrap", *keys).integers(0, n_clusters, (n, n_clusters))
    drawn += np.arange(n)[:, None] * n_clusters
    counts = np.bincount(drawn.ravel(), minlength=n * n_clusters).reshape(n, n_clusters)
    return np.concatenate([np.ones((1, n_clusters), np.int64), counts])


def t_quantile(df: float, p: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(df, p))


def interval(value: float, draws: Floats, n_clusters: int, proportion: bool = True) -> tuple[float, float]:
    """95 % percentile interval of a statistic from its (B,) bootstrap draws, widened for few clusters.

    The percentile interval of a mean is too narrow by sqrt((n-1)/n) z/t; the percentiles are moved out to make up for it
    (Hesterberg, The American Statistician 2015, "expanded percentile interval"). Where a proportion and all its
    resamples are 0 or 1 the bootstrap is silent, and the exact binomial bound over clusters is given. NaN draws (nothing
    to be found in a resample) are left out. Returns (NaN, NaN) for fewer than two clusters or no defined draw.
    """
    from scipy.special import ndtr

    draws = draws[~np.isnan(draws)]
    if n_clusters < 2 or not len(draws) or np.isnan(value):
        return np.nan, np.nan
    if proportion and value in (0.0, 1.0) and (draws == value).all():
        bound = ((1 - LEVEL) / 2) ** (1 / n_clusters)
        return (0.0, 1 - bound) if value == 0 else (bound, 1.0)
    tail = float(ndtr(-np.sqrt(n_clusters / (n_clusters - 1)) * t_quantile(n_clusters - 1, (1 + LEVEL) / 2)))
    low, high = np.quantile(draws, [tail, 1 - tail])
    return float(low), float(high)
