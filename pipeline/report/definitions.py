"""Name and definition of every number of the report. A metric without a definition is an error, not a bare number."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from pipeline.params import Evaluate


class Definition(NamedTuple):
    """label: for axes and tables. term, text: heading and text of the definition, shared by metrics that differ in a number only.

    share: whether the number lies in 0..1.
    """

    label: str
    term: str
    text: str
    share: bool = True


Make = Callable[[re.Match[str], Evaluate], Definition]
COUNTED = {"all": "all test images", "lesion": "test images with a lesion", "normal": "test images in which nothing is outlined"}
FURTHER = {"fp": "count as false positives", "ignore": "count neither way"}
ONE_SPLIT = "All numbers hold for this one split and this one training of the GANs."


def hit_rule(hit: str) -> str:
    """A hit rule of params `evaluate.hit` in words."""
    kind, _, limit = hit.partition(":")
    return {
        "iou": f"intersection over union of the two boxes is at least {limit}",
        "centre": "the centre of the detected box lies in the lesion's box",
        "distance": f"the centres of the two boxes lie at most {limit} mm apart",
    }[kind]


def general(evaluate: Evaluate, trained: str, holds: str = ONE_SPLIT) -> list[tuple[str, str]]:
    """(term, definition) of what the numbers have in common. trained: `effort` of the detectors; holds: what the intervals leave out."""
    return [
        (
            "Hit",
            f"A detection finds a lesion when {hit_rule(evaluate.hit)}. Detections are taken by falling score, each finds at most one "
            f"lesion and each lesion is found once; further detections on a lesion already found {FURTHER[evaluate.duplicates]}.",
        ),
        (
            "Sensitivity",
            "Lesions found divided by all annotated lesions; a lesion counts in each image (view) in which it is annotated.",
        ),
        (
            "False positives per image",
            f"Detections that find nothing, divided by the number of images; counted on {COUNTED[evaluate.images]}.",
        ),
        (
            "FROC",
            "Sensitivity against false positives per image over all score thresholds. It is a step function: its value at a rate is the "
            "largest sensitivity reached with at most that many false positives. The mean over trainings is taken at equal rates.",
        ),
        (
            "95 % interval",
            f"Of a point: percentile interval of a bootstrap over test patients ({evaluate.bootstrap} resamples, the same for every "
            "training), joined with a t interval over trainings where there are several seeds. Of a difference: t interval from the "
            f"variance over patients and between trainings. With one seed an interval says nothing of the chance of training. {holds}",
        ),
        (
            "p",
            "Two-sided t test that the difference of the sensitivity at 1 false positive per image is 0. Primary are the contrasts of "
            "the largest GAN point, fixed before any result; the p values of the others are adjusted for their number (Holm).",
        ),
        (
            "Smallest detectable",
            "The true difference that a study of this size would find significant (5 %, two-sided) with a power of 80 %.",
        ),
        (
            "Best traditional",
            "The point of traditional augmentation with the highest sensitivity at 1 false positive per image on these test images, so "
            "that a contrast against it favours traditional augmentation.",
        ),
        (
            "Share recovered",
            "(GAN - real) / (fresh - real) of the sensitivity at 1 false positive per image, where fresh has as many newly simulated "
            "images as GAN has generated ones; 1 would mean that generated images are worth as much as new patients.",
        ),
        ("Training images", f"Real training images with a lesion plus the synthetic images of the point. {trained}"),
    ]


def effort(detector: Mapping[str, Any]) -> str:
    """What a larger training set means for the training. detector: the block of params.yaml."""
    if detector["schedule"] == "iterations":
        said = f"{detector['iterations']} iterations: a larger training set is not a longer training."
    else:
        said = f"{detector['epochs']} epochs, as in the paper: a larger training set is also a longer training."
    return f"Every detector is trained for {said} Images of pools are {_mixing(detector)}."


def training(detector: Mapping[str, Any]) -> str:
    """How the detectors were trained, for the figures. detector: the block of params.yaml."""
    return f"{detector[detector['schedule']]} {detector['schedule']} a training; images of pools {_mixing(detector)}"


def _mixing(detector: Mapping[str, Any]) -> str:
    how = detector.get("synthetic") or {"mode": "add", "share": None}  # experiments of before this param
    if how["mode"] == "replace":
        return "put in the place of real ones"
    if how["mode"] == "pretrain":
        return f"seen alone in the first {100 * how['pretrain']:g} % of the iterations, real ones alone after"
    return "added to the real ones" + (f", {100 * how['share']:g} % of each batch" if how["share"] else "")


def metric(name: str, evaluate: Evaluate) -> Definition:
    """The definition of a metric of metrics.json. Raises KeyError for a name that has none."""
    for pattern, make in _PATTERNS.items():
        if found := re.fullmatch(pattern, name):
            return make(found, evaluate)
    raise KeyError(f"metric {name} has no definition; add one to pipeline/report/definitions.py")


def listed(metrics: Iterable[str], evaluate: Evaluate) -> list[tuple[str, str]]:
    """(term, text) of the metrics, each kind once."""
    return list({found.term: found.text for found in (metric(name, evaluate) for name in metrics)}.items())


def _sensitivity(found: re.Match[str], evaluate: Evaluate) -> Definition:
    label = f"Sensitivity at {found[1]} false positive{'' if found[1] == '1' else 's'} per image"
    return Definition(label, "Sensitivity at X false positives per image", "Sensitivity reached with at most X false positives per image.")


def _variant(found: re.Match[str], evaluate: Evaluate) -> Definition:
    return Definition(
        f"Sensitivity at {found[1]} FP per image, {found[2].replace('iou', 'IoU ')}, by {found[3]}",
        "Sensitivity at 1 FP per image by other rules",
        "IoU T: a hit means intersection over union of at least T; centre: the centre of the detected box lies in the lesion's box. "
        "By image: each lesion of each image is to be found; by breast or patient: any lesion of it in any view.",
    )


def _area(found: re.Match[str], evaluate: Evaluate) -> Definition:
    span = "whole curve" if found[1] == "support" else f"0 to {found[1].removeprefix('0_')} FP per image"
    text = (
        "Area under the steps over the range that is named, not normalised: over 0 to X its largest possible value is X. Whole curve: up "
        "to the last false positive rate that the detector reached, so that it grows with the number of stored detections. The paper "
        "does not define its AUC."
    )
    return Definition(f"Area under FROC, {span}", "Area under FROC", text, share=False)


def _recall(found: re.Match[str], evaluate: Evaluate) -> Definition:
    label = f"Recall {_at_score(found, evaluate)}"
    text = "TP / (TP + FN) of the boxes with at least this score, whatever their false positives. The paper names no score for its recall."
    return Definition(label, label, text)


def _at_recall(found: re.Match[str], evaluate: Evaluate) -> Definition:
    label = f"False positives per image {_at_score(found, evaluate)}"
    text = "What the recall at this score costs: a detector that rates everything higher has more of both and finds no more at equal cost."
    return Definition(label, label, text, share=False)


def _at_score(found: re.Match[str], evaluate: Evaluate) -> str:
    rule = f", {found[1].replace('_iou', 'IoU ')}" if found[1] else ""
    return f"at score \N{GREATER-THAN OR EQUAL TO} {evaluate.recall_score:g}{rule}"


def _fixed(term: str, text: str, share: bool = True) -> Make:
    return lambda found, evaluate: Definition(term, term, text, share)


_PATTERNS: dict[str, Make] = {
    r"sens_at_([\d.]+)fp": _sensitivity,
    r"sens_at_([\d.]+)fp_(iou[\d.]+|centre)_(image|breast|patient)": _variant,
    r"auc_(support|0_[\d.]+)": _area,
    r"recall(_iou[\d.]+)?": _recall,
    r"mean_sens_0\.25_4": _fixed(
        "Mean sensitivity, 0.25 to 4 FP per image", "Mean of the sensitivities at 0.25, 0.5, 1, 2 and 4 false positives per image."
    ),
    r"wafroc": _fixed(
        "wAFROC figure of merit",
        "Chance that a lesion is rated above the highest false positive of a normal image; the lesions of an image share one weight "
        "(Chakraborty, Observer Performance Methods for Diagnostic Imaging, 2017).",
    ),
    r"wafroc1": _fixed(
        "wAFROC1 figure of merit",
        "As wAFROC, against the highest false positive of any image; given where there are no normal images of the same source.",
    ),
    r"fp_per_image_recall(_iou[\d.]+)?": _at_recall,
    r"fp_per_image_end": _fixed(
        "False positives per image at the curve's end", "All stored detections that find nothing, per image.", share=False
    ),
}
