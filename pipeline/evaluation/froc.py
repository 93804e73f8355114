"""FROC of one COCO results file against a COCO ground truth: curve, operating points, areas, recall, 95 % intervals.

    python -m pipeline.evaluation.froc --gt annotations.json --detections results.json --hit iou:0.5 --json

A lesion counts as found at a threshold when a matched box scores at least that much; false positives per image (FPPI)
count the boxes that match nothing. The curve is a step function: its value at an FPPI is the largest sensitivity
reached with at most that many false positives, and after its end it stays at its last value (flagged as past_end).
"""

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.cli import guarded, parser
from pipeline.errors import PipelineError
from pipeline.evaluation import bootstrap, wafroc
from pipeline.evaluation.bootstrap import or_nan
from pipeline.evaluation.events import IMAGES, UNITS, Counts, Events, Images, Unit, count, counted, events
from pipeline.evaluation.matching import IGNORED, Duplicates, Hit, Matches, match, parse_hit
from pipeline.evaluation.truth import Detections, Floats, Ints, Truth, read

OPERATING_POINTS = (0.25, 0.5, 1.0, 2.0, 4.0)
AREAS = (0.25, 1.0)
HEADLINE = "sens_at_1fp"
AT_RECALL = "fp_per_image_recall"  # what the recall costs
END = "fp_per_image_end"  # where the curve ends: a property of what was stored, not a measure of a detector


@dataclass(frozen=True)
class Rules:
    """How detections are judged; see matching.match and events.events."""

    hit: Hit
    duplicates: Duplicates = "fp"
    images: Images = "all"
    unit: Unit = "image"
    recall_score: float = 0.5


def curve(data: Events) -> tuple[Floats, Floats, Floats]:
    """fp_per_image, sensitivity, threshold, each (K,): one point for every distinct score, thresholds descending.

    NaN where there are no images (fp_per_image) or no units (sensitivity) to divide by.
    """
    fp = np.searchsorted(-data.fp_score, -data.thresholds, side="right")
    found = np.searchsorted(np.sort(-data.unit_score), -data.thresholds, side="right")
    return fp / or_nan(data.images.sum()), found / or_nan(len(data.unit_score)), data.thresholds


def scalars(data: Events, weights: Ints, recall_score: float = 0.5) -> dict[str, Floats]:
    """Every number read off the curve, each (B,), under weights (B, C) of the clusters; a row of ones is the estimate itself.

    sens_at_Xfp: sensitivity at X false positives per image. mean_sens_0.25_4: mean of the five of them. auc_support: area
    under the steps up to the largest FPPI (fp_per_image_end); auc_0_X: up to X; none is normalised. recall: sensitivity
    at score >= recall_score; fp_per_image_recall: false positives per image there. NaN where there is nothing to find or no
    image that counts.
    """
    parts = [_read_off(part, recall_score) for part in count(data, weights)]
    kept = data.fp_cluster[data.fp_score >= recall_score]
    at_recall = weights @ np.bincount(kept, minlength=weights.shape[1]) / or_nan(weights @ data.images)
    return {**{name: np.concatenate([part[name] for part in parts]) for name in parts[0]}, AT_RECALL: at_recall}


def _read_off(counts: Counts, recall_score: float) -> dict[str, Floats]:
    images, units = or_nan(counts.images)[:, None], or_nan(counts.units)[:, None]
    fp = counts.fp / images
    sensitivity = np.concatenate([np.zeros((len(units), 1)), counts.found], axis=1) / units
    rise = np.diff(sensitivity, axis=1)

    def at(x: float) -> Floats:
        value = np.take_along_axis(sensitivity, (fp <= x).sum(1)[:, None], axis=1)[:, 0]
        return np.where(counts.images > 0, value, np.nan)

    def area(x: Floats | float) -> Floats:
        nothing = sensitivity[:, 0]  # 0, or NaN where there are no units
        return np.where(counts.images > 0, nothing + (rise * np.clip(x - fp, 0, None)).sum(1), np.nan)

    end = counts.all_fp / images[:, 0]
    points = {f"sens_at_{x:g}fp": at(x) for x in OPERATING_POINTS}
    areas = {f"auc_0_{x:g}": area(x) for x in AREAS}
    recall = sensitivity[:, (counts.score >= recall_score).sum()]
    mean = np.mean(list(points.values()), axis=0)
    return {**points, "mean_sens_0.25_4": mean, "auc_support": area(end[:, None]), **areas, "recall": recall, END: end}


def measure(truth: Truth, found: Detections, rules: Rules, weights: Ints) -> dict[str, Floats]:
    """`scalars` and wAFROC of one set of detections, each (B,)."""
    return measure_judged(truth, found, *judge(truth, found, rules), rules, weights)


def judge(truth: Truth, found: Detections, rules: Rules) -> tuple[Matches, Events]:
    matches = match(truth, found, rules.hit, rules.duplicates)
    return matches, events(truth, found, matches, rules.unit, rules.images)


def measure_judged(truth: Truth, found: Detections, matches: Matches, data: Events, rules: Rules, weights: Ints) -> dict[str, Floats]:
    name, figure = wafroc.figure(truth, found, matches, weights)
    return {**scalars(data, weights, rules.recall_score), name: figure}


def evaluate(truth: Truth, found: Detections, rules: Rules, n_resamples: int = 0, seed: int = 0) -> dict[str, Any]:
    """Everything that `--json` prints. n_resamples: bootstrap resamples, 0: no intervals. What is undefined is NaN, said in `notes`."""
    matches, data = judge(truth, found, rules)
    fp_per_image, sensitivity, threshold = curve(data)
    draws = measure_judged(truth, found, matches, data, rules, bootstrap.resample(truth.n_clusters, n_resamples, seed))
    numbers = {name: float(values[0]) for name, values in draws.items()}
    result: dict[str, Any] = {
        "n_images": len(truth.images), "n_lesions": len(truth.lesions), "n_patients": truth.n_patients,
        "n_units": len(data.unit_score), "n_images_for_fp": int(data.images.sum()),
        "n_detections": len(found), "n_ignored": int((matches.outcome == IGNORED).sum()),
        "rules": {"hit": str(rules.hit), "duplicates": rules.duplicates, "images": rules.images, "unit": rules.unit},
        "curve": {"fp_per_image": fp_per_image.tolist(), "sensitivity": sensitivity.tolist(), "threshold": threshold.tolist()},
        **_nested(numbers, rules.recall_score),
        "past_end": [f"{x:g}" for x in OPERATING_POINTS if x > numbers[END]],
        "notes": notes(truth, rules),
    }  # fmt: skip
    if n_resamples:
        result["ci95"] = _nested(intervals(draws, data))
        result["bootstrap"] = {"n": n_resamples, "seed": seed, "resampled": truth.resampled, "clusters": truth.n_clusters}
    return result


def intervals(draws: dict[str, Floats], data: Events) -> dict[str, list[float]]:
    """95 % interval [low, high] of each number from its values (1 + B,): the estimate, then its resamples."""
    clusters = np.count_nonzero(data.units)
    return {name: list(bootstrap.interval(float(v[0]), v[1:], clusters, proportion=not is_area(name))) for name, v in draws.items()}


def is_area(name: str) -> bool:
    """Whether a number is none of the shares between 0 and 1."""
    return name.startswith(("auc", "fp_per_image"))


def _nested(flat: dict[str, Any], recall_score: float | None = None) -> dict[str, Any]:
    """The flat names of `scalars` in the groups of the JSON output; the same for values and for their intervals."""
    end, area = flat[END], flat["auc_0_1"]
    figure = {name: value for name, value in flat.items() if name.startswith("wafroc")}
    return {
        "sensitivity_at": {f"{x:g}": flat[f"sens_at_{x:g}fp"] for x in OPERATING_POINTS},
        "mean_sens_0.25_4": flat["mean_sens_0.25_4"],
        "auc": {
            "support": flat["auc_support"], "support_end": end, "0-0.25": flat["auc_0_0.25"], "0-1": area,
            "0-1_normalised": area,  # divided by the length 1 of its range
        },
        "recall": flat["recall"] if recall_score is None else {"value": flat["recall"], "threshold": recall_score},
        AT_RECALL: flat[AT_RECALL],
        **figure,
    }  # fmt: skip


def notes(truth: Truth, rules: Rules) -> list[str]:
    """What a reader must know about the numbers of this test set."""
    said = []
    if not len(truth.lesions):
        said.append("no lesions: sensitivity, areas, recall and wAFROC are not defined")
    else:
        said.extend(wafroc.notes(truth))
    if not counted(truth, rules.images).any():
        said.append(f"no {rules.images} images: false positives per image are not defined")
    if truth.resampled != "patients":
        said.append(f"patients are not known for all images: a bootstrap resamples {truth.resampled}")
    assumed = sum(bool(image.get("spacing_assumed")) for image in truth.images)
    if rules.hit.kind == "distance" and assumed:
        said.append(f"the pixel spacing of {assumed} images is assumed, not measured")
    return said


def without_nan(value: Any) -> Any:
    """JSON has no NaN: it becomes None."""
    if isinstance(value, dict):
        return {key: without_nan(one) for key, one in value.items()}
    if isinstance(value, list):
        return [without_nan(one) for one in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def table(result: dict[str, Any]) -> str:
    """The result for reading: one line a number."""
    spans = result.get("ci95", {})

    def line(name: str, value: Any, span: Any, mark: str = "") -> str:
        shown = "undefined" if value is None else f"{value:.4f}"
        return f"{name:<34}{shown:>10}" + (f"   [{span[0]:.4f}, {span[1]:.4f}]" if span and None not in span else "") + mark

    head = f"{result['n_images']} images, {result['n_lesions']} lesions, {result['n_detections']} detections; " + ", ".join(
        f"{key} {value}" for key, value in result["rules"].items()
    )
    lines = [head]
    for x, value in result["sensitivity_at"].items():
        past = "   (the curve ends before)" if x in result["past_end"] else ""
        lines.append(line(f"sensitivity at {x} FP/image", value, spans.get("sensitivity_at", {}).get(x), past))
    lines.append(line("mean of these", result["mean_sens_0.25_4"], spans.get("mean_sens_0.25_4")))
    for name, value in result["auc"].items():
        lines.append(line(f"area {name}".replace("_", " "), value, spans.get("auc", {}).get(name)))
    lines.append(line(f"recall at score >= {result['recall']['threshold']:g}", result["recall"]["value"], spans.get("recall")))
    lines.append(line("FP/image at that score", result[AT_RECALL], spans.get(AT_RECALL)))
    lines += [line(name, result[name], spans.get(name)) for name in ("wafroc", "wafroc1") if name in result]
    return "\n".join(lines + [f"note: {note}" for note in result["notes"]])


def add_rules(made: argparse.ArgumentParser, resamples: int = 0) -> None:
    """The options that say how detections are judged."""
    made.add_argument(
        "--hit",
        default="iou:0.5",
        metavar="RULE",
        help="iou:T (IoU >= T), centre (box centre in the lesion's box) or distance:MM (between centres); default iou:0.5",
    )
    made.add_argument("--duplicates", choices=("fp", "ignore"), default="fp", help="further boxes on a lesion already found")
    made.add_argument("--images", choices=IMAGES, default="all", help="images that count for the false positives")
    made.add_argument(
        "--unit",
        choices=tuple(UNITS),
        default="image",
        help="what is to be found: each lesion of each image, or any lesion of a breast or patient in any view",
    )
    made.add_argument("--recall-score", type=float, default=0.5, metavar="S", help="score threshold of recall (default 0.5)")
    made.add_argument("--bootstrap", type=int, default=resamples, metavar="N", help="resamples of patients for 95 %% intervals; 0: none")
    made.add_argument("--seed", type=int, default=0, metavar="S", help="seed of the bootstrap")


def rules_of(args: argparse.Namespace) -> Rules:
    if args.bootstrap < 0 or args.seed < 0:
        raise PipelineError(f"--bootstrap {args.bootstrap} and --seed {args.seed} must not be negative")
    return Rules(parse_hit(args.hit), args.duplicates, args.images, args.unit, args.recall_score)


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--gt", type=Path, required=True, help="COCO annotations; images may carry patient_id, laterality, view, spacing_mm")
    made.add_argument("--detections", type=Path, required=True, help="COCO results: a list of {image_id, category_id, bbox, score}")
    add_rules(made)
    made.add_argument("--json", action="store_true", help="print JSON instead of a table")
    args = made.parse_args()

    def work() -> None:
        rules = rules_of(args)
        truth, found = read(args.gt, args.detections)
        result = without_nan(evaluate(truth, found, rules, args.bootstrap, args.seed))
        sys.stdout.write((json.dumps(result, allow_nan=False) if args.json else table(result)) + "\n")

    guarded(work, args.debug)


if __name__ == "__main__":
    main()
