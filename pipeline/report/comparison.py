"""The comparison of experiments: the paper's Fig. 6 to 9 with a line for each, Table 1 with a column for each, and a page."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.comparison.experiments import Experiment
from pipeline.comparison.joint import Family, Joint
from pipeline.evaluation import study
from pipeline.evaluation.froc import Rules
from pipeline.evaluation.matching import parse_hit
from pipeline.io import atomic_folder, write_json, write_text
from pipeline.params import Params
from pipeline.report import charts, definitions, figures, page, tables
from pipeline.report import quality as quality_tables
from pipeline.report.results import Point, Results, assemble, operating_points
from pipeline.report.tables import Cell, Table

SECTIONS = [
    ("augmentation", "Augmentation curve"), ("operating", "FROC"), ("contrasts", "Contrasts"), ("table1", "Table 1"),
    ("definitions", "Definitions"), ("made", "Experiments"),
]  # fmt: skip


def write(joint: Joint, params: Params, out: Path, plan: study.Plan | None = None) -> Results:
    """Write metrics.json, curve.csv, froc.csv, table_1.csv, figures and index.html into `out`, which is replaced.

    params: whose `evaluate` block says how all of them are judged. plan: the contrasts, those of `joint` where it is None.
    """
    points = [member.point for member in joint.members.values()]
    found = study.evaluate(joint.truth, points, rules(params), params.evaluate.bootstrap, params.seed, plan or joint.plan)
    found.metrics["notes"] += remarks(joint)
    results = joined(found, joint)
    table = tables.table_1([_trained(family, joint, results) for family in joint.families], params.evaluate)
    with atomic_folder(out) as folder:
        study.write(found, folder)
        write_json(folder / "experiments.json", {family.label or "all": [one.name for one in family.folds] for family in joint.families})
        trained = "; or ".join(
            dict.fromkeys(definitions.training(one.params["detector"]) for family in joint.families for one in family.folds)
        )
        figures.augmentation_curve(results, folder, trained)
        figures.froc(results, folder, trained)
        figures.differences(results, params.evaluate, folder)
        tables.write_csv(table, folder / "table_1.csv")
        write_text(folder / "index.html", page.render("comparison.html", SECTIONS, **content(joint, params, results, table, folder)))
    return results


def rules(params: Params) -> Rules:
    """How detections are judged, from the block `evaluate`."""
    block = params.evaluate
    return Rules(parse_hit(block.hit), block.duplicates, block.images, "image", block.recall_score)


def joined(found: study.Tables, joint: Joint) -> Results:
    """The joint study as the report's values, each point with its family."""
    froc = pd.DataFrame(found.froc, columns=list(study.FROC))
    mixtures = {name: member.mixture for name, member in joint.members.items()}
    return assemble(found.metrics, froc, mixtures, joint.members, {name: member.family for name, member in joint.members.items()})


def remarks(joint: Joint) -> list[str]:
    """What a reader must know about how the experiments were joined."""
    said = []
    for family in joint.families:
        if len(family.folds) > 1:
            folds, of = [one.params["split"]["fold"] for one in family.folds], family.folds[0].params["split"]["folds"]
            said.append(
                f"{family.label or 'all points'}: detections of folds {', '.join(map(str, folds))} of {of} pooled; every patient was "
                "tested by detectors that had not seen it, and the scores of the folds are taken as comparable"
            )
    if len(joint.families) > 1:
        said.append("one training of each generator: a difference between generators holds for these trainings, not for the architectures")
    return said


def _trained(family: Family, joint: Joint, results: Results) -> tables.Trained:
    name = joint.gan.get(family.label)
    point: Point | None = results.point(name) if name else None
    return tables.Trained(*family.generator, quality_tables.lpips_rows(mean_quality(family.folds)), point, family.label)


def mean_quality(folds: Sequence[Experiment]) -> dict[str, Any]:
    """quality.json's comparisons, the mean over folds; an interval only where there is one fold."""
    if len(folds) == 1:
        return folds[0].quality
    rows = pd.DataFrame([row for one in folds for row in one.quality["comparisons"]])
    keys = ["protocol", "what", "area"]
    means = [(key, float(group["lpips"].mean())) for key, group in rows.groupby(keys)]
    return {"comparisons": [{**dict(zip(keys, key, strict=True)), "lpips": mean, "ci_low": None, "ci_high": None} for key, mean in means]}


def content(joint: Joint, params: Params, results: Results, table: Table, folder: Path) -> dict[str, Any]:
    """Everything that page/comparison.html lays out. folder: with the figures in it."""
    first = joint.families[0].folds[0].params
    return {
        "title": "Experiments side by side",
        "subtitle": f"Data: {first['data']['source']}. {len(joint.families)} kinds of training sets, "
        f"{sum(len(one.folds) for one in joint.families)} experiments. Test set: {results.test['n_lesions']} lesions in "
        f"{results.test['n_images']} images of {results.test['n_patients']} patients.",
        "notices": [page.PHANTOM] if first["data"]["source"] == "phantom" else [],
        "points": tables.points_table(results, params),
        "operating_points": ", ".join(f"{at:g}" for at, _ in operating_points(results.metrics)),
        "contrasts": tables.contrasts_table(results, params),
        "table_1": table,
        "images": page.images(folder),
        "definitions": [*general(joint, params), *definitions.listed(results.metrics, params.evaluate)],
        "notes": list(results.notes),
        "experiments": experiments_table(joint),
        "data": charts.data(results, params),
    }  # fmt: skip


def general(joint: Joint, params: Params) -> list[tuple[str, str]]:
    """The definitions of a report, with the p values of this page, and trainings as those of its experiments."""
    experiments = [one for family in joint.families for one in family.folds]
    trained = " Or: ".join(dict.fromkeys(definitions.effort(one.params["detector"]) for one in experiments))
    pooled = any(len(family.folds) > 1 for family in joint.families)
    holds = "Where folds are pooled, each has its own training of the GANs." if pooled else definitions.ONE_SPLIT
    p = "Two-sided t test that the difference of the sensitivity at 1 false positive per image is 0, adjusted over all contrasts (Holm)."
    own = {"p": p, "Share recovered": None}
    terms = definitions.general(params.evaluate, trained, holds)
    return [(term, text) for term, said in terms if (text := own.get(term, said)) is not None]


def experiments_table(joint: Joint) -> Table:
    rows = [
        [Cell(one.name), Cell(family.label or "all"), Cell(", ".join(one.points)), Cell(", ".join(map(str, one.seeds)))]
        for family in joint.families for one in family.folds
    ]  # fmt: skip
    return Table("Experiments on this page", [Cell(name) for name in ("Experiment", "What sets it apart", "Points", "Seeds")], rows)
