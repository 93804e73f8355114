"""Can a linear classifier tell two sets of patches apart? 0.5 is perfect for a generator, 1 is useless."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import PipelineError
from pipeline.rng import generator

FOLDS, PENALTY, RESAMPLES = 5, 1.0, 200


def separation(
    first: NDArray[np.floating[Any]], second: NDArray[np.floating[Any]], patients: Sequence[Sequence[str]], seed: int
) -> dict[str, Any]:
    """AUC of a ridge-penalised logistic classifier between two sets of features, with patients kept together.

    first, second: (N, D), (M, D); patients: of both sets. Cross-validated over `FOLDS` groups of patients: no patient is
    both learned from and judged. The AUC is the mean over folds, weighted by their pairs, with a 95 % interval over
    resampled patients within folds. Returns auc, ci_low, ci_high, n (of both sets), patients.
    Raises PipelineError where there are fewer patients than folds.
    """
    features = np.concatenate([first, second]).astype(np.float64)
    label = np.repeat([0, 1], [len(first), len(second)])
    names, group = np.unique([*patients[0], *patients[1]], return_inverse=True)
    if len(names) < FOLDS:
        raise PipelineError(f"{len(names)} patients; the patch classifier needs at least {FOLDS}: raise quality.n or split.test")
    fold = generator(seed, "classifier folds").permutation(len(names))[group] % FOLDS
    score = np.zeros(len(label))
    for held in range(FOLDS):
        learn, judge = fold != held, fold == held
        if len(set(label[learn])) == 2:
            score[judge] = _scores(features[learn], label[learn], features[judge])
    value = auc(score, label, fold, np.ones(len(label)))
    rng = generator(seed, "classifier interval")
    draws = [
        auc(score, label, fold, np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names))[group])
        for _ in range(RESAMPLES)
    ]
    low, high = np.nanquantile(draws, [0.025, 0.975])
    return {"auc": value, "ci_low": float(low), "ci_high": float(high), "n": [len(first), len(second)], "patients": len(names)}


def _scores(features: NDArray[np.float64], label: NDArray[np.int64], asked: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log odds of `asked` by logistic regression with an L2 penalty, in the span of the samples (D may be far above N)."""
    from scipy.optimize import minimize

    mean, spread = features.mean(0), features.std(0)
    spread = np.where(spread > 1e-9 * (1 + np.abs(mean)), spread, np.inf)  # constants carry nothing
    x, y = (features - mean) / spread, 2.0 * label - 1
    scale = np.sqrt(x.shape[1])
    gram = x @ x.T / scale**2 + 1  # the kernel with a bias

    def loss(alpha: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        odds = gram @ alpha
        wrong = np.exp(-np.logaddexp(0, y * odds))
        value = np.logaddexp(0, -y * odds).sum() + PENALTY / 2 * alpha @ odds
        return float(value), gram @ (PENALTY * alpha - y * wrong)

    alpha = minimize(loss, np.zeros(len(x)), jac=True, method="L-BFGS-B").x
    return np.asarray(((asked - mean) / spread @ x.T / scale**2 + 1) @ alpha)


def auc(score: NDArray[np.float64], label: NDArray[np.int64], fold: NDArray[np.int64], weight: NDArray[Any]) -> float:
    """Share of pairs (one of each label, of one fold) in their order, ties half; NaN where there is no pair. All arrays (N,)."""
    right = pairs = 0.0
    for held in np.unique(fold):
        low, high = (fold == held) & (label == 0), (fold == held) & (label == 1)
        weights = weight[high][:, None] * weight[low][None]
        difference = score[high][:, None] - score[low][None]
        right += float((weights * ((difference > 0) + 0.5 * (difference == 0))).sum())
        pairs += float(weights.sum())
    return right / pairs if pairs else float("nan")
