"""False positives on the healthy mammograms of the second source (`data.normals`): a row of their own, pooled with nothing."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from pipeline.evaluation import bootstrap
from pipeline.evaluation.events import Events
from pipeline.evaluation.froc import curve
from pipeline.evaluation.truth import Detections, Ints, Truth, clusters, missing

AT = 1.0  # false positives per image of the first source at which a detector is run


def about(truth: Truth) -> dict[str, Any]:
    """What the second source holds."""
    sources = sorted({str(image["source"]) for image in truth.apart if not missing(image.get("source"))})
    return {"n_images": len(truth.apart), "n_patients": int(clusters(truth.apart).max()) + 1, "sources": sources, "at_fp_per_image": AT}


def row(truth: Truth, found: Mapping[int, tuple[Events, Detections]], n_resamples: int, seed: int) -> dict[str, Any]:
    """False positives per image of each training of a point, and their mean: {value, ci95}; NaN where the threshold is not defined.

    found: seed -> events on the first source, which set the threshold (the lowest score with at most AT false positives per
    image), and the detections in the images of the second one (`truth.apart`). Intervals: bootstrap over the patients of the
    second source, at that threshold.
    """
    cluster = clusters(truth.apart)
    weights = bootstrap.resample(int(cluster.max()) + 1, n_resamples, seed, "second source")
    drawn = {str(number): _false(cluster, weights, detections, threshold(events)) for number, (events, detections) in found.items()}
    numbers = {number: _number(values, weights.shape[1]) for number, values in drawn.items()}
    return {"seeds": numbers, "mean": _number(np.mean(list(drawn.values()), axis=0), weights.shape[1])}


def threshold(data: Events) -> float:
    """The lowest score with at most AT false positives per image; NaN without images, infinite where every score has more."""
    fp_per_image, _, scores = curve(data)
    if np.isnan(fp_per_image).any():
        return float("nan")
    return float(np.append(np.inf, scores)[int((fp_per_image <= AT).sum())])


def _false(cluster: Ints, weights: Ints, found: Detections, score: float) -> Any:
    """(B,) false positives per image under weights (B, C)."""
    if np.isnan(score):
        return np.full(len(weights), np.nan)
    counts = np.bincount(cluster[found.image[found.score >= score]], minlength=weights.shape[1])
    return weights @ counts / (weights @ np.bincount(cluster))


def _number(values: Any, n_clusters: int) -> dict[str, Any]:
    return {"value": float(values[0]), "ci95": list(bootstrap.interval(float(values[0]), values[1:], n_clusters, proportion=False))}
