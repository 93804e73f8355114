"""Weighted AFROC figure of merit (Chakraborty, Observer Performance Methods for Diagnostic Imaging, CRC Press 2017).

The chance that a lesion is rated above the highest-rated false positive of an image, lesions of an image weighted
equally (1 / number of lesions, so that each image with lesions counts once), ties one half, unmarked below all marks:
the area under weighted lesion localisation against false positive fraction, with the straight end to (1, 1). On the
example file Froc.xlsx of the R package RJafroc it equals the package's printed values in all digits.

- `wafroc`: false positives are those of the normal images.
- `wafroc1`: false positives are those of the images with lesions; used where there are no normal images of the same source.
"""

import numpy as np

from pipeline.evaluation.bootstrap import blocks, or_nan
from pipeline.evaluation.matching import FALSE_POSITIVE, Matches
from pipeline.evaluation.truth import Bools, Detections, Floats, Ints, Truth, missing


def cases(truth: Truth) -> tuple[str, Bools]:
    """Name of the figure, and (I,) the images whose false positives it uses.

    Normal images of another source (`source` of the image) than those with lesions are left out: a detector may tell the
    sources apart, so their false positives say nothing about this one. Images without a source count as one source.
    """
    sources = np.array(["" if missing(image.get("source")) else str(image["source"]) for image in truth.images])
    normal = truth.is_normal & np.isin(sources, sources[truth.has_lesion])
    return ("wafroc", normal) if normal.any() else ("wafroc1", truth.has_lesion)


def notes(truth: Truth) -> list[str]:
    """What a reader must know about the figure for this test set."""
    name, used = cases(truth)
    others = int((truth.is_normal & ~used).sum())
    found = ["no normal images of the same source: wafroc1 (false positives of the images with lesions) is given, not wafroc"]
    return (found if name == "wafroc1" else []) + ([f"{others} normal images of other sources are left out of {name}"] if others else [])


def figure(truth: Truth, detections: Detections, matches: Matches, weights: Ints) -> tuple[str, Floats]:
    """Name and (B,) values of the figure under weights (B, C) of the clusters; NaN where no lesion or no image is drawn."""
    name, used = cases(truth)
    highest = np.full(len(truth.images), -np.inf)
    fp = matches.outcome == FALSE_POSITIVE
    np.maximum.at(highest, detections.image[fp], detections.score[fp])
    image = np.flatnonzero(used)[np.argsort(highest[used], kind="stable")]
    below = np.searchsorted(highest[image], matches.lesion_score, side="left")
    not_above = np.searchsorted(highest[image], matches.lesion_score, side="right")
    share = 1 / np.bincount(truth.lesions.image, minlength=len(truth.images))[truth.lesions.image]
    of_lesion = truth.cluster[truth.lesions.image]
    values = []
    for part in blocks(weights, len(truth.images) + len(share)):
        cumulated = np.pad(np.cumsum(part[:, truth.cluster[image]], axis=1), ((0, 0), (1, 0)))
        drawn = part[:, of_lesion] * share
        beaten = (drawn * (cumulated[:, below] + cumulated[:, not_above]) / 2).sum(1)
        values.append(beaten / or_nan(drawn.sum(1) * cumulated[:, -1]))
    return name, np.concatenate(values)
