"""Distances between two sets of feature vectors: how far generated images lie from real ones."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.floating[Any]]
NEIGHBOURS = 5  # k of Naeem et al. 2020


def frechet(first: Vectors, second: Vectors) -> float:
    """Frechet distance of the Gaussians that fit two sets (N, D), (M, D) (Heusel et al. 2017): 0 for equal means and covariances.

    Biased upwards for small sets: compare values of equal N and M alone. Raises ValueError below two vectors.
    """
    if min(len(first), len(second)) < 2:
        raise ValueError(f"sets of {len(first)} and {len(second)} vectors have no covariance; at least 2 are needed")
    a, b = (one.astype(np.float64) - one.mean(0, dtype=np.float64) for one in (first, second))
    a, b = a / np.sqrt(len(a) - 1), b / np.sqrt(len(b) - 1)
    shift = first.mean(0, dtype=np.float64) - second.mean(0, dtype=np.float64)
    # The trace of sqrt(A'A B'B) is the sum of the singular values of A B', which needs no D x D root.
    return float(shift @ shift + (a**2).sum() + (b**2).sum() - 2 * np.linalg.svd(a @ b.T, compute_uv=False).sum())


def kernel(first: Vectors, second: Vectors) -> float:
    """Kernel distance: unbiased squared MMD with the kernel (x y / D + 1)^3 (Binkowski et al. 2018); may be negative near 0."""

    def k(x: Vectors, y: Vectors) -> NDArray[np.float64]:
        return np.asarray((x.astype(np.float64) @ y.T.astype(np.float64) / x.shape[1] + 1) ** 3)

    n, m = len(first), len(second)
    if min(n, m) < 2:
        raise ValueError(f"sets of {n} and {m} vectors; at least 2 are needed")
    xx, yy = k(first, first), k(second, second)
    within = (xx.sum() - np.trace(xx)) / (n * (n - 1)) + (yy.sum() - np.trace(yy)) / (m * (m - 1))
    return float(within - 2 * k(first, second).mean())


def coverage(real: Vectors, generated: Vectors, k: int = NEIGHBOURS) -> dict[str, float]:
    """precision, recall (Kynkaanniemi et al. 2019), density and coverage (Naeem et al. 2020) by balls to the k-th neighbour.

    Raises ValueError where a set has no k neighbours.
    """
    if min(len(real), len(generated)) <= k:
        raise ValueError(f"sets of {len(real)} and {len(generated)} vectors have no {k} neighbours each")
    between = _distances(real, generated)
    real_radius, generated_radius = (np.partition(_distances(one, one), k, 1)[:, k] for one in (real, generated))  # the 0-th is itself
    in_real = between < real_radius[:, None]
    return {
        "precision": float(in_real.any(0).mean()),
        "recall": float((between < generated_radius[None]).any(1).mean()),
        "density": float(in_real.sum(0).mean() / k),
        "coverage": float((between.min(1) < real_radius).mean()),
    }


def _distances(first: Vectors, second: Vectors) -> NDArray[np.float64]:
    first, second = first.astype(np.float64), second.astype(np.float64)
    squares = (first**2).sum(1)[:, None] + (second**2).sum(1)[None] - 2 * first @ second.T
    return np.asarray(np.sqrt(squares.clip(0)))
