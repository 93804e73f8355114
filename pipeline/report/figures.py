"""Figures for print: the augmentation curve, FROC and the losses, each as PNG and SVG beside a CSV of what is drawn."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.params import Evaluate
from pipeline.report import definitions
from pipeline.report.results import HEADLINE, Contrast, Estimate, Line, Point, Results, froc_points, lines, mean_froc, operating_points
from pipeline.report.style import figure, line_dash, line_label, look, point_label, save

NOTE = "#555555"
FROC_RANGE = (1 / 16, 16.0)
DIFFERENCES = ("point", "against", "metric", "label", "n_lesions", "difference", "ci_low", "ci_high")
MIN_LESIONS = 10
FROC_TICKS = {1 / 16: "1/16", 1 / 8: "1/8", 1 / 4: "1/4", 1 / 2: "1/2", 1: "1", 2: "2", 4: "4", 8: "8", 16: "16"}


def augmentation_curve(results: Results, folder: Path, trained: str = "") -> None:
    """Headline sensitivity against the number of training images: a line an arm, bars of 95 % intervals, a dash for each seed.

    Arms are set apart sideways by 1.8 % of the axis so that bars at equal numbers of images can be told apart.
    trained: how the detectors were trained, said above the axes.
    """
    drawn = lines(results.points)
    rows = [{"line": line_label(line), **_row(point)} for line in drawn for point in line.points]
    _write(pd.DataFrame(rows), folder / "augmentation_curve.csv")
    sizes = [point.n_train for point in results.points]
    span = max(sizes) - min(sizes) or max(sizes) or 1
    with figure(7.0, 4.0) as (made, axes):
        added = [line for line in drawn if line.base]
        for line in drawn:
            _curve_line(axes, line, (added.index(line) - (len(added) - 1) / 2) * 0.018 * span if line.base else 0.0)
        axes.set_title(trained, loc="left", fontsize="small", color=NOTE)
        axes.set_xlabel("Training images (real and synthetic)")
        axes.set_ylabel("Sensitivity at 1 false positive per image")
        axes.set_ylim(*_limits(rows))
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), title="Training set", alignment="left")
        save(made, folder, "augmentation_curve")


def _curve_line(axes: Any, line: Line, shift: float) -> None:
    style = look(line.arm)
    known = [(i, point, point.of(HEADLINE)) for i, point in enumerate(line.points) if point.of(HEADLINE).value is not None]
    places = [point.n_train + (0 if line.base and i == 0 else shift) for i, point, _ in known]
    axes.plot(places, [found.value for _, _, found in known], color=style.colour, linestyle=line_dash(line), zorder=2)
    for x, (i, point, found) in zip(places, known, strict=True):
        if line.base and i == 0:
            continue
        if found.low is not None:
            axes.vlines(x, found.low, found.high, color=style.colour, linewidth=1.3, zorder=3)
        seeds = point.seeds.get(HEADLINE, [])
        if len(seeds) > 1:
            axes.plot([x] * len(seeds), seeds, "_", color=style.colour, markersize=12, zorder=3)
        axes.plot(x, found.value, style.marker, color=style.colour, markersize=7, markeredgecolor="white", zorder=4)
    key = {"color": style.colour, "linestyle": line_dash(line), "marker": style.marker, "markersize": 7, "markeredgecolor": "white"}
    axes.plot([], [], label=line_label(line), **key)


def froc(results: Results, folder: Path, trained: str = "") -> None:
    """Mean FROC of the largest point of each arm and of the points that are contrasted; bands join the 95 % intervals.

    Smaller points of an arm are dashed. The axis of false positives is logarithmic; the CSV holds every point.
    trained: as of `augmentation_curve`.
    """
    curves = {point.name: mean_froc(results.froc, point.name) for point in results.points}
    table = pd.concat([curve.assign(point=name) for name, curve in curves.items()], ignore_index=True)
    _write(table[["point", "fp_per_image", "sensitivity"]], folder / "froc.csv")
    shown, operating = froc_points(results), operating_points(results.metrics)
    with figure(6.0, 4.8) as (made, axes):
        for line in lines(results.points):
            for point in line.added:
                if point.name in shown:
                    _froc_point(axes, point, curves[point.name], operating, "-" if point is line.added[-1] else "--")
        axes.set_xscale("log", base=2)
        axes.set_xlim(*FROC_RANGE)
        axes.set_ylim(0, 1)
        axes.set_xticks(list(FROC_TICKS), list(FROC_TICKS.values()))
        axes.axvline(1, color="#888888", linewidth=0.9, linestyle=":", zorder=1)
        axes.set_title(trained, loc="left", fontsize="small", color=NOTE)
        axes.set_xlabel("False positives per image (logarithmic)")
        axes.set_ylabel("Sensitivity (share of lesions found)")
        made.legend(loc="outside lower left", ncols=2)
        save(made, folder, "froc")


def _froc_point(axes: Any, point: Point, curve: pd.DataFrame, operating: list[tuple[float, str]], dash: str) -> None:
    x, y = curve["fp_per_image"].to_numpy(), curve["sensitivity"].to_numpy()
    start, keep, colour = float(y[x <= FROC_RANGE[0]].max(initial=0.0)), x > FROC_RANGE[0], look(point.arm).colour
    corners = np.append(FROC_RANGE[0], x[keep]), np.append(start, y[keep])
    axes.step(*corners, where="post", color=colour, linestyle=dash, label=point_label(point), zorder=3)
    known = [(at, point.of(name)) for at, name in operating if point.of(name).low is not None]
    for (left, one), (right, other) in pairwise(known):
        axes.fill_between([left, right], [one.low, other.low], [one.high, other.high], color=colour, alpha=0.1, linewidth=0)


def differences(results: Results, evaluate: Evaluate, folder: Path) -> None:
    """Forest plot of the primary contrasts (all, where none is): at every rate of false positives, by other rules, in groups of lesions.

    Groups of fewer than MIN_LESIONS lesions are in the CSV alone. Bars are 95 % intervals, of each row by itself; the axis holds
    nineteen of twenty ends, so the longest run off it. Nothing is drawn where there is no contrast.
    """
    primary = [one for one in results.contrasts if one.primary]
    table = pd.DataFrame(_differences(primary or results.contrasts, evaluate), columns=list(DIFFERENCES))
    table = table.astype(dict.fromkeys(DIFFERENCES[-4:], float))  # what is not defined is None
    _write(table, folder / "differences.csv")
    shown = table[table["n_lesions"].isna() | (table["n_lesions"] >= MIN_LESIONS)]
    labels, names = list(dict.fromkeys(shown["label"])), list(dict.fromkeys(zip(shown["point"], shown["against"], strict=True)))
    if not labels:
        return
    place = {label: i for i, label in enumerate(labels)}
    with figure(7.2, 0.9 + (0.11 + 0.06 * len(names)) * len(labels)) as (made, axes):
        axes.axvline(0, color="#888888", linewidth=0.9, linestyle=":", zorder=1)
        for number, (point, against) in enumerate(names):
            rows = shown[(shown["point"] == point) & (shown["against"] == against)]
            y = rows["label"].map(place) + (number - (len(names) - 1) / 2) * 0.7 / len(names)
            style, real = look(results.point(point).arm), results.point(against).arm == "real"
            axes.hlines(y, rows["ci_low"], rows["ci_high"], color=style.colour, linewidth=1.1, zorder=2)
            axes.plot(
                rows["difference"], y, style.marker, color=style.colour, markersize=4.5, zorder=3,
                markerfacecolor=style.colour if real else "white", label=f"{point} \N{MINUS SIGN} {against}",
            )  # fmt: skip
        axes.set_yticks(range(len(labels)), labels)
        axes.set_ylim(len(labels) - 0.4, -0.6)
        ends = shown[["ci_low", "ci_high"]].abs().stack().dropna()
        if ends.any():
            axes.set_xlim(-1.1 * ends.quantile(0.95), 1.1 * ends.quantile(0.95))
        axes.set_xlabel("Difference in sensitivity, with 95 % interval")
        made.legend(loc="outside upper left", ncols=len(names))
        save(made, folder, "differences")


def _differences(contrasts: Sequence[Contrast], evaluate: Evaluate) -> list[dict[str, Any]]:
    """Rows of `differences`: the mean over the rates, each rate, other rules of what a hit is, groups of lesions."""
    rates = ["mean_sens_0.25_4", *(name for _, name in operating_points({one.metric for one in contrasts}))]
    shown = {one.metric for one in contrasts if "sens" in one.metric and not one.metric.endswith(("_patient", "_breast"))}
    order = [*(name for name in rates if name in shown), *sorted(shown - set(rates))]
    rows: list[tuple[Contrast, str, Estimate, int | None]] = [
        (one, definitions.metric(name, evaluate).label, one.difference, None) for name in order for one in contrasts if one.metric == name
    ]
    rows += [
        (one, f"{group.variable} {group.level} ({group.n_lesions})", group.found, group.n_lesions)
        for one in contrasts
        for group in one.strata
    ]
    return [dict(zip(DIFFERENCES, (one.point, one.against, one.metric, label, n, *found), strict=True)) for one, label, found, n in rows]


def losses(tables: dict[str, pd.DataFrame], folder: Path) -> None:
    """Losses of each GAN against the iteration: values faint, their running mean over a twentieth of the training on top.

    tables: title of the panel to a table of `iteration` and a column for each loss (no unit).
    """
    long = [table.melt("iteration", var_name="loss").assign(model=name) for name, table in tables.items()]
    _write(pd.concat(long)[["model", "iteration", "loss", "value"]], folder / "losses.csv")
    colours = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00"]
    with figure(7.6, 3.4, len(tables)) as (made, panels):
        for axes, (name, table) in zip(np.atleast_1d(panels), tables.items(), strict=True):
            window = max(1, len(table) // 20)
            for i, column in enumerate(table.columns.drop("iteration")):
                colour = colours[i % len(colours)]
                axes.plot(table["iteration"], table[column], color=colour, linewidth=0.7, alpha=0.3)
                smooth = table[column].rolling(window, center=True, min_periods=1).mean()
                axes.plot(table["iteration"], smooth, color=colour, label=column.replace("_", " "))
            values = table.drop(columns="iteration").to_numpy()
            if values.min() > 0:
                axes.set_yscale("log")
                axes.yaxis.set_major_formatter("{x:g}")
                axes.yaxis.set_minor_formatter("{x:g}" if values.max() < 10 * values.min() else "")
            axes.set_title(name)
            axes.set_xlabel("Iteration")
            axes.legend(loc="best")
        np.atleast_1d(panels)[0].set_ylabel("Loss (no unit)")
        save(made, folder, "losses")


def _row(point: Point) -> dict[str, Any]:
    value, low, high = point.of(HEADLINE)
    return {
        "point": point.name,
        "arm": point.arm,
        "n_train": point.n_train,
        "metric": HEADLINE,
        "value": value,
        "ci_low": low,
        "ci_high": high,
    }


def _write(table: pd.DataFrame, path: Path) -> None:
    table.to_csv(path, index=False, lineterminator="\n")


def _limits(rows: list[dict[str, Any]]) -> tuple[float, float]:
    """The range of values and intervals, widened to whole tenths within 0..1."""
    known = [row[key] for row in rows for key in ("value", "ci_low", "ci_high") if row[key] is not None]
    if not known:
        return 0.0, 1.0
    return max(0.0, float(np.floor(min(known) * 10 - 0.2)) / 10), min(1.0, float(np.ceil(max(known) * 10 + 0.2)) / 10)
