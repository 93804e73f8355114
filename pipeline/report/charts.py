"""The data of the page's two interactive charts, as JSON-able values that page/page.js draws."""

from typing import Any

from pipeline.params import Params
from pipeline.report import definitions
from pipeline.report.results import HEADLINE, Line, Point, Results, froc_points, lines, mean_froc, operating_points
from pipeline.report.style import line_dash, line_label, look, point_label

DASHES = ("none", "6 3", "2 2", "8 3 2 3")


def data(results: Results, params: Params) -> dict[str, Any]:
    """`lines` and `metrics` of the augmentation curve, `froc` of every point, and the name of the headline metric."""
    drawn = lines(results.points)
    named = [(name, definitions.metric(name, params.evaluate)) for name in results.metrics]
    return {
        "headline": HEADLINE,
        "metrics": [{"name": name, "label": found.label, "share": found.share} for name, found in named],
        "lines": [_line(line, results.metrics) for line in drawn],
        "froc": [curve for line in drawn for curve in _curves(line, results)],
    }


def _line(line: Line, metrics: list[str]) -> dict[str, Any]:
    style = look(line.arm)
    return {
        "label": line_label(line), "colour": style.colour, "marker": style.marker,
        "dash": DASHES[0] if line_dash(line) == "-" else DASHES[1],
        "based": line.base is not None, "points": [_point(point, metrics) for point in line.points],
    }  # fmt: skip


def _point(point: Point, metrics: list[str]) -> dict[str, Any]:
    return {
        "label": point_label(point), "n_train": point.n_train, "n_real": point.n_real, "n_synthetic": point.n_synthetic,
        "estimates": {name: list(point.of(name)) for name in metrics}, "seeds": point.seeds,
    }  # fmt: skip


def _curves(line: Line, results: Results) -> list[dict[str, Any]]:
    """FROC of the points that the line adds: the largest solid, smaller ones dashed, rounded to five digits."""
    made = []
    first, style = froc_points(results), look(line.arm)
    for place, point in enumerate(reversed(line.added)):
        curve = mean_froc(results.froc, point.name).round(5)
        bounds = [[at, point.of(name).low, point.of(name).high] for at, name in operating_points(results.metrics)]
        made.append({
            "label": point_label(point), "colour": style.colour, "marker": style.marker, "dash": DASHES[min(place, len(DASHES) - 1)],
            "off": point.name not in first, "x": curve["fp_per_image"].tolist(), "y": curve["sensitivity"].tolist(),
            "band": [one for one in bounds if None not in one],
        })  # fmt: skip
    return made[::-1]
