"""What `evaluate` wrote, as typed values: points with estimates, contrasts, FROC curves, and the lines of the augmentation curve.

The form of the files is stated in docs/architecture.md (`reports/`).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from pipeline import version
from pipeline.errors import PipelineError
from pipeline.io import read_json

HEADLINE = "sens_at_1fp"
NO_FAMILIES: Mapping[str, str] = {}
KEY_METRICS = (HEADLINE, "recall", "fp_per_image_recall", "mean_sens_0.25_4", "wafroc", "wafroc1")


class Estimate(NamedTuple):
    """A number with its 95 % interval; None where it is not defined."""

    value: float | None = None
    low: float | None = None
    high: float | None = None


class Stratum(NamedTuple):
    """Sensitivity at 1 FP per image of a group of lesions, as (size, < 8.1 mm), or a difference of it; clusters: patients."""

    variable: str
    level: str
    n_lesions: int
    n_clusters: int
    found: Estimate


@dataclass(frozen=True)
class Point:
    """One mixture of training images. mixture: images taken of each pool; seeds: the values of each training by metric.

    family: where several experiments are compared, the one that the point belongs to; empty where it is shared.
    """

    name: str
    arm: str
    n_train: int
    n_real: int
    n_synthetic: int
    mixture: dict[str, int]
    estimates: dict[str, Estimate]
    seeds: dict[str, list[float]]
    strata: tuple[Stratum, ...]
    notes: tuple[str, ...]
    family: str = ""

    def of(self, metric: str) -> Estimate:
        return self.estimates.get(metric, Estimate())


@dataclass(frozen=True)
class Contrast:
    """Difference point - against of one metric.

    kind: `real` or `best_traditional`; detectable: the smallest difference that would be found. strata: the difference of the
    headline metric in groups of lesions; empty for the other metrics.
    """

    point: str
    against: str
    kind: str
    primary: bool
    metric: str
    difference: Estimate
    detectable: float | None
    p: float | None
    p_holm: float | None
    strata: tuple[Stratum, ...] = ()


class Recovered(NamedTuple):
    """(gan - real) / (fresh - real) of the headline metric; reason says why it or its interval is not defined."""

    point: str
    fresh: str | None
    share: Estimate
    reason: str | None


class Line(NamedTuple):
    """Points of one arm on one base, by size. base: name of the first point where it is the one that the arm was added to."""

    arm: str
    base: str | None
    points: list[Point]

    @property
    def added(self) -> list[Point]:
        """The points of the arm itself, without the base."""
        return self.points[1:] if self.base else self.points


@dataclass(frozen=True)
class Results:
    """Everything that `evaluate` measured. second: block `second_source`. froc: point, seed, threshold, fp_per_image, sensitivity."""

    settings: dict[str, Any]
    test: dict[str, Any]
    points: list[Point]
    contrasts: list[Contrast]
    recovered: list[Recovered]
    notes: list[str]
    froc: pd.DataFrame
    second: dict[str, Any] | None = None

    @property
    def metrics(self) -> list[str]:
        """Names of all metrics, the key ones first."""
        return sorted({name for point in self.points for name in point.estimates}, key=_rank)

    def point(self, name: str) -> Point:
        return next(point for point in self.points if point.name == name)


def assemble(
    metrics: Any, froc: pd.DataFrame, mixtures: dict[str, dict[str, int]], order: Iterable[str], families: Mapping[str, str] = NO_FAMILIES
) -> Results:
    """Results from metrics.json as a plain value. families: point -> its family; the rest as for `read`."""
    return Results(
        settings=metrics["settings"],
        test=metrics["test"],
        points=[_point(name, metrics["points"][name], mixtures.get(name, {}), families.get(name, "")) for name in order],
        contrasts=[contrast for one in metrics["contrasts"] for contrast in _contrasts(one)],
        recovered=[Recovered(one["point"], one["fresh"], _estimate(one), one["reason"]) for one in metrics["recovered"]],
        notes=list(metrics["notes"]),
        froc=froc,
        second=metrics.get("second_source"),
    )


def read(folder: Path, curve: dict[str, dict[str, int]], order: Iterable[str]) -> Results:
    """Read metrics.json and froc.csv of `folder`.

    curve: mixture of each point (params `curve`); order: the points in the order of the study. Raises PipelineError
    where a file is missing or a point of the study was not evaluated.
    """
    metrics, order = read_json(folder / "metrics.json"), list(order)
    with version.reading(folder / "metrics.json", metrics):
        missing = [name for name in order if name not in metrics["points"]]
        if missing:
            raise PipelineError(f"{folder / 'metrics.json'}: holds no point {', '.join(missing)}; run `dvc repro evaluate`")
        return assemble(metrics, pd.read_csv(folder / "froc.csv"), curve, order)


def _rank(metric: str) -> tuple[int, str]:
    return (KEY_METRICS.index(metric) if metric in KEY_METRICS else len(KEY_METRICS), metric)


def _estimate(block: dict[str, Any], key: str = "value") -> Estimate:
    return Estimate(block[key], *(block.get("ci95") or (None, None)))


def _point(name: str, block: dict[str, Any], mixture: dict[str, int], family: str) -> Point:
    seeds: dict[str, list[float]] = {}
    for values in block["seeds"].values():
        for metric, one in values.items():
            if one["value"] is not None:
                seeds.setdefault(metric, []).append(one["value"])
    return Point(
        name, block["arm"], block["n_train"], block["n_real"], block["n_synthetic"], dict(mixture),
        {metric: _estimate(one) for metric, one in block["mean"].items()}, seeds,
        _strata(block), tuple(block["notes"]), family,
    )  # fmt: skip


def _strata(block: dict[str, Any], key: str = "value") -> tuple[Stratum, ...]:
    groups = block["strata"]
    return tuple(Stratum(one["variable"], one["level"], one["n_lesions"], one["n_clusters"], _estimate(one, key)) for one in groups)


def _contrasts(block: dict[str, Any]) -> Iterable[Contrast]:
    for metric, one in sorted(block["metrics"].items(), key=lambda item: _rank(item[0])):
        yield Contrast(
            block["point"], block["against"], block["kind"], block["primary"], metric,
            _estimate(one, "difference"), one["minimal_detectable"], one["p"], one["p_holm"],
            _strata(block, "difference") if metric == HEADLINE else (),
        )  # fmt: skip


def lines(points: list[Point]) -> list[Line]:
    """Lines of the augmentation curve: points of equal arm and base, by size, led by the base where it is a point of the study.

    The base of a mixture is the mixture without its last pool: real images alone, or the traditional plateau on which
    generated images are added (paper, Fig. 6). Real images alone are a line of one point where nothing was added to them.
    """
    groups: dict[tuple[str, str, tuple[tuple[str, int], ...]], list[Point]] = {}
    for point in points:
        base = tuple(sorted(list(point.mixture.items())[:-1]))
        groups.setdefault((point.arm, point.family, base), []).append(point)
    made = []
    for (arm, family, base), group in groups.items():
        ordered = sorted(group, key=lambda point: point.n_train)
        feet = [point for point in points if group[0].mixture and tuple(sorted(point.mixture.items())) == base]
        foot = next((point for wanted in (family, "") for point in feet if point.family == wanted), None)
        made.append(Line(arm, foot.name if foot else None, [foot, *ordered] if foot else ordered))
    return made


def headline_contrasts(results: Results) -> dict[str, Contrast]:
    """The primary contrast of the headline metric of each kind (`real`, `best_traditional`), where there is one."""
    return {one.kind: one for one in results.contrasts if one.primary and one.metric == HEADLINE}


def headline_points(results: Results) -> list[Point]:
    """The points behind the primary contrasts and the share recovered, in the order of the study; all where there is no contrast."""
    names = _contrasted(results)
    names |= {one.fresh for one in results.recovered if one.point in names and one.fresh}
    return [point for point in results.points if point.name in names or not names]


def froc_points(results: Results) -> set[str]:
    """Names of the points whose FROC is drawn at first: the largest of each line, and those behind the primary contrasts."""
    return _contrasted(results) | {line.points[-1].name for line in lines(results.points)}


def _contrasted(results: Results) -> set[str]:
    return {name for one in headline_contrasts(results).values() for name in (one.point, one.against)}


def mean_froc(froc: pd.DataFrame, point: str) -> pd.DataFrame:
    """Mean of the seeds' FROC step functions: at each false positive rate, the mean of the sensitivities reached by then.

    Returns fp_per_image (ascending) and sensitivity where the mean rises, and the end of the curve; before it lies sensitivity 0.
    """
    curves = [
        (one["fp_per_image"].to_numpy(float), one["sensitivity"].to_numpy(float))
        for _, one in froc[froc["point"] == point].sort_values(["seed", "fp_per_image", "sensitivity"]).groupby("seed")
    ]
    if not curves:
        return pd.DataFrame({"fp_per_image": [], "sensitivity": []})
    grid = np.unique(np.concatenate([x for x, _ in curves]))
    reached = [np.append(0.0, y)[np.searchsorted(x, grid, side="right")] for x, y in curves]
    mean = np.mean(reached, axis=0)
    rises = np.diff(mean, prepend=0.0) > 0
    rises[-1] = True
    return pd.DataFrame({"fp_per_image": grid[rises], "sensitivity": mean[rises]})


def operating_points(metrics: Iterable[str]) -> list[tuple[float, str]]:
    """(false positives per image, metric) of every `sens_at_<x>fp` among `metrics`, ascending."""
    found = (re.fullmatch(r"sens_at_([\d.]+)fp", name) for name in metrics)
    return sorted((float(match[1]), match[0]) for match in found if match)
