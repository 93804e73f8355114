"""Evaluation of a study: every point and seed on the test set, contrasts, and the share of the possible gain recovered."""

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipeline import coco, rng, version
from pipeline.errors import raise_all
from pipeline.evaluation import bootstrap, compare, components, second
from pipeline.evaluation.compare import Run
from pipeline.evaluation.events import Unit, events
from pipeline.evaluation.froc import (
    AT_RECALL,
    END,
    HEADLINE,
    OPERATING_POINTS,
    Rules,
    curve,
    is_area,
    judge,
    measure_judged,
    notes,
    scalars,
    without_nan,
)
from pipeline.evaluation.matching import match, parse_hit
from pipeline.evaluation.strata import sensitivities, table
from pipeline.evaluation.truth import Detections, Floats, Ints, Truth, detections
from pipeline.io import atomic, read_json, write_json

PAPER_HIT = "iou:0.5"
OTHER_HITS = ("iou:0.1", "iou:0.2", "iou:0.3", "iou:0.5", "centre")
CURVE = ("point", "arm", "seed", "n_train", "n_real", "n_synthetic", "metric", "value", "ci_low", "ci_high")
FROC = ("point", "seed", "threshold", "fp_per_image", "sensitivity")


@dataclass(frozen=True)
class Point:
    """One mixture of training images and what its detectors, one a seed, found in the test images.

    val: mean headline of its detectors on the validation images, None where there are none with a lesion. second: what they
    found in the images of the second source, empty where there is none.
    """

    name: str
    arm: str
    n_train: int
    n_synthetic: int
    found: dict[int, Detections]
    val: float | None = None
    second: dict[int, Detections] = field(default_factory=dict)

    @property
    def sizes(self) -> dict[str, Any]:
        sizes = {"arm": self.arm, "n_train": self.n_train, "n_real": self.n_train - self.n_synthetic, "n_synthetic": self.n_synthetic}
        return {**sizes, f"val_{HEADLINE}": self.val}


class Pair(NamedTuple):
    """Two points that are contrasted. kind: `real` or `best_traditional` (what `against` is), or another name; see `planned`."""

    point: Point
    against: Point
    kind: str
    primary: bool


Plan = Callable[[Sequence[Point], Mapping[str, Any]], list[Pair]]


@dataclass(frozen=True)
class Tables:
    """metrics: metrics.json. curve, froc: rows of curve.csv and froc.csv."""

    metrics: dict[str, Any]
    curve: list[list[Any]]
    froc: list[list[Any]]


def load(
    arms: Mapping[str, str], seeds: Sequence[int], predictions: Path, trainsets: Path, truth: Truth, val: Truth | None, rules: Rules
) -> list[Point]:
    """Points in the order of `arms` (name -> arm). val: None where no choice can be made on validation images.

    Raises PipelineError that names every file that is missing.
    """
    files = {(name, seed): predictions / name / f"{seed}.json" for name in arms for seed in seeds}
    of_val = {cell: path.with_suffix(".val.json") for cell, path in files.items()} if val else {}
    sets = {name: trainsets / name / "annotations.json" for name in arms}
    raise_all(
        [str(path) for path in (*sets.values(), *files.values(), *of_val.values()) if not path.is_file()],
        "files to evaluate are missing; `dvc repro` makes them",
    )
    points = []
    for name, arm in arms.items():
        images = coco.read(sets[name])["images"]
        synthetic = sum(bool(image.get("synthetic")) for image in images)
        said = {seed: read_json(files[name, seed]) for seed in seeds}
        found, apart = ({seed: detections(said[seed], truth, str(files[name, seed]), which) for seed in seeds} for which in (False, True))
        chosen_by = [_on_val(of_val[name, seed], val, rules) for seed in seeds] if val else []
        chosen = float(np.mean(chosen_by)) if val else None
        points.append(Point(name, arm, len(images), synthetic, found, chosen, apart if truth.apart else {}))
    return points


def _on_val(path: Path, val: Truth, rules: Rules) -> float:
    """The headline of one training on the validation images."""
    _, data = judge(val, detections(read_json(path), val, str(path)), rules)
    return float(scalars(data, np.ones((1, val.n_clusters), np.int64), rules.recall_score)[HEADLINE][0])


def evaluate(truth: Truth, points: Sequence[Point], rules: Rules, n_resamples: int, seed: int, plan: Plan | None = None) -> Tables:
    """Everything that the stage writes (docs/architecture.md, `reports/`). All points and seeds share the resampled patients.

    plan: the contrasts, from the points and their blocks of metrics.json; `planned` where it is None.
    """
    weights = bootstrap.resample(truth.n_clusters, n_resamples, seed)
    runs, corners = [], []
    for point in points:
        for number, found in point.found.items():
            one, rows = _run(truth, point.name, number, found, rules, weights)
            runs.append(one)
            corners += [[point.name, number, *row] for row in rows]
    levels = table(truth)
    blocks = {point.name: _point(point, runs, levels) for point in points}
    contrasts = _contrasts((plan or planned)(points, blocks), runs, levels)
    metrics = {
        version.KEY: version.VERSION,
        "settings": {
            "hit": str(rules.hit), "duplicates": rules.duplicates, "images": rules.images, "unit": rules.unit,
            "recall_score": rules.recall_score, "bootstrap": n_resamples, "seed": seed,
        },
        "test": {
            "n_images": len(truth.images), "n_normal_images": int(truth.is_normal.sum()), "n_lesions": len(truth.lesions),
            "n_patients": truth.n_patients, "n_patients_with_lesions": compare.clusters(runs), "resampled": truth.resampled,
        },
        "points": blocks, "contrasts": contrasts, "recovered": _recovered(points, runs, seed),
        "second_source": _second(truth, points, rules, n_resamples, seed),
        "notes": notes(truth, rules) + compare.run_notes(runs) + _contrast_notes(contrasts, points),
    }  # fmt: skip
    return Tables(without_nan(metrics), _curve_rows(points, blocks), corners)


def _second(truth: Truth, points: Sequence[Point], rules: Rules, n_resamples: int, seed: int) -> dict[str, Any] | None:
    """What the detectors find on the healthy mammograms of the second source; None where there is none."""
    made = {}
    for point in points:
        found = {number: (judge(truth, point.found[number], rules)[1], apart) for number, apart in point.second.items()}
        if found:
            made[point.name] = second.row(truth, found, n_resamples, seed)
    return {**second.about(truth), "points": made} if made else None


def write(tables: Tables, folder: Path) -> None:
    """metrics.json, curve.csv and froc.csv in `folder`."""
    write_json(folder / "metrics.json", tables.metrics)
    _csv(folder / "curve.csv", CURVE, tables.curve)
    _csv(folder / "froc.csv", FROC, tables.froc)


def _run(truth: Truth, point: str, seed: int, found: Detections, rules: Rules, weights: Ints) -> tuple[Run, list[list[float]]]:
    """One training, and the corners of its step curve (threshold, fp_per_image, sensitivity): the rises and the end."""
    matches, data = judge(truth, found, rules)
    numbers = {**measure_judged(truth, found, matches, data, rules, weights), **_other_rules(truth, found, rules, weights)}
    fp_per_image, sensitivity, threshold = curve(data)
    keep = np.diff(sensitivity, prepend=0) > 0
    keep[-1:] = True
    rows = np.stack([threshold, fp_per_image, sensitivity], axis=1)[keep].tolist()
    clusters = int(np.count_nonzero(data.units))
    return Run(point, str(seed), "0", numbers, sensitivities(truth, matches, data, weights), clusters), rows


def _other_rules(truth: Truth, found: Detections, rules: Rules, weights: Ints) -> dict[str, Floats]:
    """Sensitivity at 1 FP/image under other hit rules and for patients, so that no conclusion hangs on one choice; the paper's recall."""
    units: tuple[Unit, ...] = ("image", "patient") if truth.n_patients is not None else ("image",)
    numbers = {}
    for hit in OTHER_HITS:
        matches = match(truth, found, parse_hit(hit), rules.duplicates)
        for unit in units:
            data = events(truth, found, matches, unit, rules.images)
            values = scalars(data, weights, rules.recall_score)
            numbers[f"{HEADLINE}_{hit.replace(':', '')}_{unit}"] = values[HEADLINE]
            if (hit, unit) == (PAPER_HIT, "image"):
                numbers |= {f"{key}_{hit.replace(':', '')}": values[key] for key in ("recall", AT_RECALL)}
    return numbers


def _point(point: Point, runs: Sequence[Run], levels: Sequence[dict[str, Any]]) -> dict[str, Any]:
    own = [one for one in runs if one.arm == point.name]
    seeds, said = {}, []
    for one in own:
        seeds[one.seed] = {name: _number(name, one) for name in compare.names(runs)}
        end = float(one.numbers[END][0])
        if end < max(OPERATING_POINTS):
            said.append(f"seed {one.seed}: the curve ends at {end:.3g} false positives per image; beyond it stays at its last value")
    return {
        **point.sizes, "seeds": seeds, "mean": compare.arm_block(runs, point.name),
        "strata": compare.strata_block(runs, point.name, levels), "notes": said,
    }  # fmt: skip


def _number(name: str, one: Run) -> dict[str, Any]:
    value, draws = float(one.numbers[name][0]), one.numbers[name][1:]
    return {"value": value, "ci95": list(bootstrap.interval(value, draws, one.clusters, not is_area(name)))}


def planned(points: Sequence[Point], blocks: Mapping[str, Any]) -> list[Pair]:
    """Each point against `real`, and each of another arm against the best traditional one.

    Primary are those of the largest point of arm gan: fixed by the design, not by the results.
    """
    real = next((point for point in points if point.arm == "real"), None)
    best = best_traditional(points, blocks)
    gan = [point for point in points if point.arm == "gan"]
    primary = max(gan, key=lambda point: point.n_train) if gan else None
    pairs = [Pair(point, real, "real", point is primary) for point in points if real and point is not real]
    others = [point for point in points if best and point.arm not in ("real", "traditional")]
    return pairs + [Pair(point, best, "best_traditional", point is primary) for point in others if best]


def best_traditional(points: Sequence[Point], blocks: Mapping[str, Any]) -> Point | None:
    """The point of arm traditional with the highest headline on the validation images, the first of equals; None without that arm.

    Where there is nothing to find in the validation images the test images decide, which favours the traditional arm.
    """
    own = [point for point in points if point.arm.partition("@")[0] == "traditional"]

    def headline(point: Point) -> float:
        value = blocks[point.name]["mean"][HEADLINE]["value"] if any(one.val is None for one in own) else point.val
        return -np.inf if value is None or np.isnan(value) else float(value)

    return max(own, key=headline, default=None)


def _contrasts(pairs: Sequence[Pair], runs: Sequence[Run], levels: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    made = [
        {
            "point": one.point.name, "against": one.against.name, "kind": one.kind, "primary": one.primary,
            "metrics": compare.contrast_block(runs, one.point.name, one.against.name),
            "strata": compare.strata_contrast(runs, one.point.name, one.against.name, levels),
        }
        for one in pairs
    ]  # fmt: skip
    compare.adjust(made)
    return made


def _contrast_notes(contrasts: Iterable[dict[str, Any]], points: Sequence[Point]) -> list[str]:
    best = {one["against"] for one in contrasts if one["kind"] == "best_traditional"}
    return [
        f"best traditional point: {point.name}, "
        + (
            "the best on these test images, as none of validation are there, so contrasts against it favour the traditional arm"
            if point.val is None
            else f"chosen on the validation images ({HEADLINE} {point.val:.3f} there)"
        )
        for point in points
        if point.name in best
    ]


def _recovered(points: Sequence[Point], runs: Sequence[Run], seed: int) -> list[dict[str, Any]]:
    """Share of the gain of as many freshly drawn images that generated images bring: (gan - real) / (fresh - real)."""
    real = next((point for point in points if point.arm == "real"), None)
    fresh = {point.n_synthetic: point for point in points if point.arm == "fresh"}
    if real is None or not fresh:
        return []
    made = []
    for point in (point for point in points if point.arm == "gan"):
        one: dict[str, Any] = {"point": point.name, "fresh": None, "value": None, "ci95": [None, None]}
        if point.n_synthetic in fresh:
            one |= _share(point, fresh[point.n_synthetic], real, runs, seed)
        else:
            one["reason"] = f"no point of arm fresh has {point.n_synthetic} synthetic images"
        made.append(one)
    return made


def _share(point: Point, fresh: Point, real: Point, runs: Sequence[Run], seed: int) -> dict[str, Any]:
    """The share with its percentile interval over patients; with several seeds the runs' variance is added to the resamples."""
    groups = {name: compare.terms(runs, name, HEADLINE)[0][1] for name in (point.name, fresh.name, real.name)}
    variance = components.run_variance(list(groups.values()))
    drawn = []
    for name, group in groups.items():
        draws = np.concatenate([[group.values.mean()], group.draws.mean(0)])
        if variance.df:
            noise = rng.generator(seed, "recovered", name).standard_t(variance.df, group.draws.shape[1])
            draws[1:] += noise * np.sqrt(variance.runs / len(group.values))
        drawn.append(draws)
    gained, possible = drawn[0] - drawn[2], drawn[1] - drawn[2]
    value = gained[0] / possible[0] if possible[0] > 0 else np.nan
    low, high, reason = np.nan, np.nan, None
    not_above = float(np.mean(~(possible[1:] > 0))) if len(possible) > 1 else np.nan
    if np.isnan(value):
        reason = f"{fresh.name} is not above {real.name}: there is no gain to share"
    elif not_above <= (1 - bootstrap.LEVEL) / 2:
        shares = gained[1:] / np.where(possible[1:] > 0, possible[1:], np.nan)
        low, high = bootstrap.interval(float(value), shares, compare.clusters(runs), proportion=False)
    else:
        reason = f"no interval: {fresh.name} is not above {real.name} in {100 * not_above:.1f} % of the resamples"
    return {"fresh": fresh.name, "value": float(value), "ci95": [low, high], "reason": reason}


def _curve_rows(points: Sequence[Point], blocks: Mapping[str, Any]) -> list[list[Any]]:
    return [
        [
            point.name,
            point.arm,
            seed,
            point.n_train,
            point.n_train - point.n_synthetic,
            point.n_synthetic,
            metric,
            one["value"],
            *one["ci95"],
        ]
        for point in points
        for seed, numbers in [*blocks[point.name]["seeds"].items(), ("mean", blocks[point.name]["mean"])]
        for metric, one in numbers.items()
    ]


def _csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Undefined numbers are empty cells."""
    with atomic(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows([without_nan(one) for one in row] for row in rows)
