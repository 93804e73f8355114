"""The tables and headline numbers of the report as plain values; the page only lays them out."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.params import Evaluate, Params
from pipeline.report import definitions, paper
from pipeline.report.results import HEADLINE, KEY_METRICS, Estimate, Point, Results, headline_contrasts, headline_points
from pipeline.report.style import look, point_label

UNDEFINED = "undefined"


class Cell(NamedTuple):
    """kind: `number` (set right), `own` (measured here, beside the paper's), `none` (there is no number), or nothing."""

    text: str
    kind: str = ""


@dataclass(frozen=True)
class Table:
    caption: str
    columns: list[Cell]
    rows: list[list[Cell]]


class Card(NamedTuple):
    """A headline number."""

    what: str
    value: str
    interval: str
    colour: str


def number(value: float | None, signed: bool = False, digits: int = 3) -> str:
    if value is None:
        return UNDEFINED
    return f"{value:{'+' if signed else ''}.{digits}f}".replace("-", "\N{MINUS SIGN}")


def interval(found: Estimate, signed: bool = False) -> str:
    if found.low is None or found.high is None:
        return "no interval"
    return f"{number(found.low, signed)} to {number(found.high, signed)}"


def whole(found: Estimate, signed: bool = False) -> str:
    """`0.560 (0.460 to 0.660)`"""
    if found.value is None:
        return UNDEFINED
    return number(found.value, signed) + (f" ({interval(found, signed)})" if found.low is not None else "")


def stacked(found: Estimate, signed: bool = False) -> str:
    """The value, and its interval on a second line: for tables with many columns."""
    return number(found.value, signed) + (f"\n{interval(found, signed)}" if found.low is not None else "")


def cards(results: Results) -> list[tuple[str, list[Card]]]:
    """Headline numbers under their headings: sensitivities, then what follows from them."""
    minus, contrasts = "\N{MINUS SIGN}", headline_contrasts(results)
    levels = [
        Card(point_label(point), number(point.of(HEADLINE).value), interval(point.of(HEADLINE)), look(point.arm).colour)
        for point in headline_points(results)
    ]
    gains = [
        Card(f"{one.point} {minus} {one.against}", number(one.difference.value, True), interval(one.difference, True), look("gan").colour)
        for one in contrasts.values()
    ]
    gains += [
        Card(f"Share recovered: ({one.point} {minus} real) / ({one.fresh} {minus} real)", number(one.share.value, digits=2),
             one.reason or interval(one.share), look("fresh").colour)
        for one in results.recovered if one.point in {other.point for other in contrasts.values()}
    ]  # fmt: skip
    made = [("Sensitivity at 1 false positive per image", levels), ("What the generated images add to it", gains)]
    return [(heading, group) for heading, group in made if group]


def points_table(results: Results, params: Params) -> Table:
    """One row a point: the key metrics with intervals, then sizes."""
    shown = [name for name in KEY_METRICS if name in results.metrics]
    labels = [definitions.metric(name, params.evaluate).label for name in shown]
    rows = []
    for point in results.points:
        sizes = (point.n_train, len(point.seeds.get(HEADLINE, [])))
        numbers = [stacked(point.of(name)) for name in shown] + [str(size) for size in sizes]
        rows.append([Cell(f"{point.name}\n{point_label(point)}"), *(Cell(text, "number") for text in numbers)])
    columns = [Cell("Point"), *(Cell(label, "number") for label in (*labels, "Training images", "Trainings"))]
    return Table("Mean over trainings with 95 % interval", columns, rows)


def strata_table(results: Results) -> Table:
    """Sensitivity at 1 FP per image of groups of lesions: a row a group, a column a headline point and a primary contrast."""
    points, contrasts = headline_points(results), list(headline_contrasts(results).values())
    rows = [
        [Cell(f"{group.variable}: {group.level}\n{group.n_lesions} lesions, {group.n_clusters} patients")]
        + [Cell(stacked(point.strata[place].found), "number") for point in points]
        + [Cell(stacked(one.strata[place].found, True), "number") for one in contrasts]
        for place, group in enumerate(points[0].strata)
    ]
    names = [*(point.name for point in points), *(f"{one.point} \N{MINUS SIGN} {one.against}" for one in contrasts)]
    columns = [Cell("Lesions"), *(Cell(name, "number") for name in names)]
    return Table("Sensitivity at 1 false positive per image of groups of lesions, with 95 % interval", columns, rows)


def contrasts_table(results: Results, params: Params) -> Table:
    """The headline difference of every contrast, the primary ones first, and further metrics of the primary ones."""
    names = ("Contrast", "Difference", "Smallest detectable", "p", "p, adjusted")
    rows = []
    for one in sorted(results.contrasts, key=lambda one: not one.primary):
        if one.metric == HEADLINE or (one.primary and one.metric in KEY_METRICS):
            title = f"{one.point} \N{MINUS SIGN} {one.against}" + (" (primary)" if one.primary else "")
            label = definitions.metric(one.metric, params.evaluate).label
            values = (stacked(one.difference, True), number(one.detectable), _p(one.p), _p(one.p_holm))
            rows.append([Cell(f"{title}\n{label}"), *(Cell(text, "number") for text in values)])
    return Table(
        "Paired differences of points with 95 % interval", [Cell(name, "number" if i else "") for i, name in enumerate(names)], rows
    )


def recovered_table(results: Results) -> Table:
    rows = [[Cell(one.point), Cell(one.fresh or ""), Cell(whole(one.share), "number"), Cell(one.reason or "")] for one in results.recovered]
    return Table(
        "Share of the gain of fresh real images that the generated images recover: "
        "(GAN \N{MINUS SIGN} real) / (fresh \N{MINUS SIGN} real) of the sensitivity at 1 FP per image",
        [Cell("Point"), Cell("Fresh point"), Cell("Share (95 % interval)", "number"), Cell("Remark")], rows,
    )  # fmt: skip


def second_table(results: Results) -> Table:
    """False positives on healthy mammograms of the second source; no rows where there is none."""
    second = results.second or {"points": {}, "sources": [], "n_images": 0, "n_patients": 0, "at_fp_per_image": 1.0}
    rows = []
    for name, one in second["points"].items():
        mean = one["mean"]
        rows.append([Cell(name), Cell(whole(Estimate(mean["value"], *mean["ci95"])), "number"), Cell(str(len(one["seeds"])), "number")])
    return Table(
        f"False positives per image on {second['n_images']} healthy mammograms of {second['n_patients']} patients of the second source "
        f"({', '.join(second['sources']) or 'not named'}), at the score that leaves {second['at_fp_per_image']:g} on the test set; "
        "pooled with nothing else",
        [Cell("Point"), Cell("False positives per image (95 % interval)", "number"), Cell("Trainings", "number")], rows,
    )  # fmt: skip


def gan_point(results: Results) -> Point | None:
    """The point whose numbers stand for the generator: that of the primary contrasts, else the largest of arm gan."""
    primary = [one.point for one in headline_contrasts(results).values()]
    points = [point for point in results.points if point.name in primary] or [point for point in results.points if point.arm == "gan"]
    return max(points, key=lambda point: point.n_train, default=None)


class Trained(NamedTuple):
    """A generator that was trained here. lpips: (name of the row, value); point: its point, None where the study holds none.

    label: tells trainings of one generator apart.
    """

    arch: str
    labels: str
    lpips: list[tuple[str, str]]
    point: Point | None
    label: str = ""


def table_1(trained: list[Trained], evaluate: Evaluate) -> Table:
    """Table 1 of the paper with the numbers of the generators trained here below its own.

    An experiment trains one generator; columns of others say so. Generators that the paper has not, and those trained in
    several ways, have columns of their own.
    """
    made = [paper.generator_title(one.arch, one.labels) for one in trained]
    theirs = [one.title for one in paper.GENERATORS]
    ours = [title if made.count(title) == 1 else one.label for title, one in zip(made, trained, strict=True)]
    keys = list(dict.fromkeys([*theirs, *ours]))

    def paper_row(name: str, values: list[str]) -> list[Cell]:
        known = dict(zip(theirs, values, strict=True))
        return [Cell(name), *(Cell(known[key], "number") if key in known else Cell("not in the paper", "none") for key in keys)]

    def own_row(name: str, values: list[str]) -> list[Cell]:
        known = dict(zip(ours, values, strict=True))
        return [Cell(name), *(Cell(known[key], "own") if key in known else Cell("not trained here", "none") for key in keys)]

    rows = [paper_row(f"LPIPS, paper, {name}", [f"{one.lpips[i]:.5f}" for one in paper.GENERATORS]) for i, name in enumerate(paper.SETS)]
    rows += [own_row(f"LPIPS, here, {name}", [one.lpips[i][1] for one in trained]) for i, (name, _) in enumerate(trained[0].lpips)]
    rows += [paper_row(f"Recall, paper, {name}", [f"{one.recall[i]:.4f}" for one in paper.GENERATORS]) for i, name in enumerate(paper.SETS)]
    points = ", ".join(dict.fromkeys(one.point.name.split(" [")[0] for one in trained if one.point))
    for name in ("recall_iou0.5", "fp_per_image_recall_iou0.5", HEADLINE):
        label = f"{definitions.metric(name, evaluate).label}, here" + (f" ({points})" if points else "")
        rows.append(own_row(label, [whole(one.point.of(name)) if one.point else "no point with GAN images" for one in trained]))
    return Table(
        f"Table 1 of the paper (lower LPIPS is better) and {'these experiments' if len(trained) > 1 else 'this experiment'}",
        [Cell(""), *(Cell(key, "number") for key in keys)],
        rows,
    )


def write_csv(table: Table, path: Path) -> None:
    """The table as CSV, its columns under their names."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([cell.text for cell in row] for row in (table.columns, *table.rows))


def summary(results: Results) -> dict[str, float | None]:
    """The scalars of reports/summary.json; null where a number is not defined or its point is not in the study."""
    contrasts = headline_contrasts(results)
    values = {point.name: point.of(HEADLINE).value for point in results.points}
    real = next((point.name for point in results.points if point.arm == "real"), None)
    gan, best = gan_point(results), contrasts.get("best_traditional")
    shares = [one.share.value for one in results.recovered if gan and one.point == gan.name]
    return {
        "sens_at_1fp_real": values.get(real or ""),
        "sens_at_1fp_trad": values[best.against] if best else None,
        "sens_at_1fp_gan": values[gan.name] if gan else None,
        "gan_minus_real": contrasts["real"].difference.value if "real" in contrasts else None,
        "gan_minus_trad": best.difference.value if best else None,
        "share_recovered": shares[0] if shares else None,
    }


def _p(value: Any) -> str:
    if value is None:
        return ""
    return "<0.001" if value < 0.001 else f"{value:.3f}"
