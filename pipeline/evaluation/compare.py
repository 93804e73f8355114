"""Compare detectors that were evaluated on the same patients: arms, each trained several times, on one or more folds.

    python -m pipeline.evaluation.compare runs.csv --reference real --hit iou:0.5 --bootstrap 1000 --json

runs.csv has one row a training: arm, seed, gt, detections and, for cross-validation, fold; paths relative to the table.
All runs of a fold share the ground truth. In every resample of the patients every run finds its own threshold for a
given number of false positives again; run-to-run variance is added to the variance over patients (components.py).
The contrast of --primary against --reference is the primary one; p values of the others are adjusted after Holm.
"""

import argparse
import csv
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.cli import guarded, parser
from pipeline.errors import PipelineError, raise_all
from pipeline.evaluation import bootstrap, components, rjafroc
from pipeline.evaluation.components import Estimate, Group
from pipeline.evaluation.froc import END, HEADLINE, Rules, add_rules, is_area, judge, measure_judged, notes, rules_of, without_nan
from pipeline.evaluation.strata import Stratum, sensitivities, table
from pipeline.evaluation.truth import Detections, Floats, Truth, read

COLUMNS = ("arm", "seed", "gt", "detections")


@dataclass(frozen=True)
class Run:
    """One training, evaluated. numbers, strata: (1 + B,) arrays, the value and its resamples. clusters: patients with lesions."""

    arm: str
    seed: str
    fold: str
    numbers: dict[str, Floats]
    strata: dict[Stratum, Floats]
    clusters: int


def run(arm: str, seed: str, fold: str, truth: Truth, found: Detections, rules: Rules, n_resamples: int, bootstrap_seed: int) -> Run:
    """Evaluate one training. Runs of equal fold and bootstrap_seed are resampled with the same patients, so they pair."""
    weights = bootstrap.resample(truth.n_clusters, n_resamples, bootstrap_seed, fold)
    matches, data = judge(truth, found, rules)
    numbers = measure_judged(truth, found, matches, data, rules, weights)
    return Run(arm, seed, fold, numbers, sensitivities(truth, matches, data, weights), int(np.count_nonzero(data.units)))


def terms(runs: Sequence[Run], arm: str, name: str, sign: float = 1.0) -> list[tuple[float, Group]]:
    """The groups of an arm, one a fold, each weighted alike."""
    folds = sorted({one.fold for one in runs if one.arm == arm})
    table = {fold: np.array([one.numbers[name] for one in runs if (one.arm, one.fold) == (arm, fold)]) for fold in folds}
    return [(sign / len(folds), Group(rows[:, 0], rows[:, 1:])) for rows in table.values()]


def arms(runs: Sequence[Run]) -> list[str]:
    return list(dict.fromkeys(one.arm for one in runs))


def clusters(runs: Sequence[Run]) -> int:
    """Patients with something to find, over all folds."""
    return sum({one.fold: one.clusters for one in runs}.values())


def arm_block(runs: Sequence[Run], arm: str) -> dict[str, Any]:
    """The mean over the runs of an arm of every number: {value, ci95, n_runs, se, df, var_patients, var_runs}."""
    block = {}
    for name in names(runs):
        pooled = components.run_variance([group for other in arms(runs) for _, group in terms(runs, other, name)])
        block[name] = as_dict(components.mean(terms(runs, arm, name), clusters(runs), pooled, proportion=not is_area(name)))
    return block


def contrast(runs: Sequence[Run], arm: str, against: str, name: str) -> dict[str, Any]:
    """The difference arm - against of one number: {difference, ci95, n_runs, se, df, var_patients, var_runs, minimal_detectable, p}."""
    estimate = components.difference([*terms(runs, arm, name), *terms(runs, against, name, -1.0)], clusters(runs))
    least = components.minimal_detectable(estimate)
    return {**as_dict(estimate, "difference"), "minimal_detectable": least, "p": components.p_value(estimate)}


def contrast_block(runs: Sequence[Run], arm: str, against: str) -> dict[str, Any]:
    """`contrast` of every number; p of the headline alone, so that nobody picks among many."""
    block = {name: {**contrast(runs, arm, against, name), "p_holm": None} for name in names(runs)}
    for name, one in block.items():
        one["p"] = one["p"] if name == HEADLINE else None
    return block


def adjust(contrasts: Sequence[dict[str, Any]]) -> None:
    """Fill in p_holm of the headline: adjusted over the contrasts that are not primary; a primary one keeps its p."""
    headlines = [(one["primary"], one["metrics"][HEADLINE]) for one in contrasts]
    secondary = [one for primary, one in headlines if not primary]
    for one, p in zip(secondary, components.holm([one["p"] for one in secondary]), strict=True):
        one["p_holm"] = p
    for primary, one in headlines:
        if primary:
            one["p_holm"] = one["p"]


def strata_block(runs: Sequence[Run], arm: str, levels: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mean over the runs of an arm, on one fold, of the sensitivity at 1 FP/image of each stratum, with its interval."""
    block = []
    for level in levels:
        groups = {other: _stratum(runs, other, level) for other in arms(runs)}
        estimate = components.mean([(1.0, groups[arm])], level["n_clusters"], components.run_variance(list(groups.values())))
        block.append({**level, "value": estimate.value, "ci95": list(estimate.ci95)})
    return block


def strata_contrast(runs: Sequence[Run], arm: str, against: str, levels: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The difference arm - against, on one fold, of the sensitivity at 1 FP/image of each stratum; no p, as it is to describe."""
    block = []
    for level in levels:
        pair = [(1.0, _stratum(runs, arm, level)), (-1.0, _stratum(runs, against, level))]
        estimate = components.difference(pair, level["n_clusters"])
        block.append({**level, "difference": estimate.value, "ci95": list(estimate.ci95)})
    return block


def _stratum(runs: Sequence[Run], arm: str, level: dict[str, Any]) -> Group:
    rows = np.array([one.strata[level["variable"], level["level"]] for one in runs if one.arm == arm])
    return Group(rows[:, 0], rows[:, 1:])


def nadeau_bengio(runs: Sequence[Run], arm: str, against: str) -> dict[str, Any]:
    """A second opinion on the headline where there are folds: corrected resampled t over the folds' differences."""
    a, b = terms(runs, arm, HEADLINE), terms(runs, against, HEADLINE)
    differences = np.array([one.values.mean() - other.values.mean() for (_, one), (_, other) in zip(a, b, strict=True)])
    if len(differences) < 2:
        return {"se": None, "p": None, "reason": "needs several folds; there is one"}
    se, p = components.nadeau_bengio(differences, test_per_train=1 / (len(differences) - 1))
    return {"se": se, "p": p, "reason": None}


def as_dict(estimate: Estimate, name: str = "value") -> dict[str, Any]:
    return {
        name: estimate.value, "ci95": list(estimate.ci95), "n_runs": estimate.n_runs, "se": estimate.se, "df": estimate.df,
        "var_patients": estimate.var_patients, "var_runs": estimate.var_runs,
    }  # fmt: skip


def run_notes(runs: Sequence[Run]) -> list[str]:
    """What a reader must know about the intervals of these runs."""
    per_arm = {
        arm: {fold: sum((one.arm, one.fold) == (arm, fold) for one in runs) for fold in {one.fold for one in runs}} for arm in arms(runs)
    }
    most = max(n for folds in per_arm.values() for n in folds.values())
    if most > 1:
        return []
    return ["one training of each: intervals and p values cover the choice of patients, not the chance of the training; give several seeds"]


def compare(runs: Sequence[Run], reference: str, primary: str, levels: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Everything that `--json` prints. levels: strata of the ground truth (strata.table), empty where there are several folds."""
    others = [arm for arm in arms(runs) if arm != reference]
    contrasts = [
        {
            "arm": arm, "against": reference, "primary": arm == primary, "metrics": contrast_block(runs, arm, reference),
            "strata": strata_contrast(runs, arm, reference, levels), "nadeau_bengio": nadeau_bengio(runs, arm, reference),
        }
        for arm in others
    ]  # fmt: skip
    adjust(contrasts)
    return {
        "arms": {arm: arm_block(runs, arm) for arm in arms(runs)}, "contrasts": contrasts,
        "strata": {arm: strata_block(runs, arm, levels) for arm in arms(runs)} if levels else {},
        "n_patients_with_lesions": clusters(runs), "notes": run_notes(runs),
    }  # fmt: skip


def names(runs: Sequence[Run]) -> list[str]:
    """Numbers that are compared: those of every run, in the order of the first."""
    return [name for name in runs[0].numbers if name != END and all(name in one.numbers for one in runs)]


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        raise PipelineError(
            f"{path}: no such file; it lists the runs, with the columns {', '.join(COLUMNS)} and, where there are folds, fold"
        )
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    missing = [name for name in COLUMNS if not rows or name not in rows[0]]
    if missing:
        raise PipelineError(f"{path}: lacks rows or the columns {', '.join(missing)}")
    keys = [(row["arm"], row["seed"], row.get("fold") or "0") for row in rows]
    raise_all(
        [f"arm {arm}, seed {seed}, fold {fold}" for arm, seed, fold in sorted({key for key in keys if keys.count(key) > 1})],
        f"{path}: runs listed twice",
    )
    folds = sorted({fold for _, _, fold in keys})
    truths = {fold: {row["gt"] for row, key in zip(rows, keys, strict=True) if key[2] == fold} for fold in folds}
    raise_all(
        [f"fold {fold}: {', '.join(sorted(gts))}" for fold, gts in truths.items() if len(gts) > 1],
        f"{path}: the runs of a fold need one ground truth",
    )
    lacking = [
        f"arm {arm}: fold {fold}"
        for arm in sorted({key[0] for key in keys})
        for fold in folds
        if not any(key[::2] == (arm, fold) for key in keys)
    ]
    raise_all(lacking, f"{path}: arms without a run on some fold")
    return rows


def _text(result: dict[str, Any]) -> str:
    def line(name: str, one: dict[str, Any], key: str) -> str:
        shown = [one[key], *one["ci95"]]
        return f"{name:<40}" + ("undefined" if None in shown else "{:8.4f}   [{:.4f}, {:.4f}]".format(*shown))

    lines = [f"{HEADLINE}, {result['n_patients_with_lesions']} patients with lesions"]
    lines += [line(f"{arm} ({block[HEADLINE]['n_runs']} runs)", block[HEADLINE], "value") for arm, block in result["arms"].items()]
    for one in result["contrasts"]:
        found = one["metrics"][HEADLINE]
        tail = "" if found["p"] is None else f"   p {found['p']:.4f}" + ("" if one["primary"] else f" (Holm {found['p_holm']:.4f})")
        lines.append(line(f"{one['arm']} - {one['against']}{' (primary)' if one['primary'] else ''}", found, "difference") + tail)
        lines.append(f"    {_details(found, one['nadeau_bengio'])}")
    return "\n".join(lines + [f"note: {note}" for note in result["notes"]])


def _details(found: dict[str, Any], check: dict[str, Any]) -> str:
    """Both sources of chance of a difference, what it could have shown, and the second opinion where there are folds."""
    names = (("minimal_detectable", "smallest detectable"), ("var_patients", "variance over patients"), ("var_runs", "between runs"))
    said = [f"{words} {'unknown' if found[key] is None else f'{found[key]:.2g}'}" for key, words in names]
    return ", ".join([*said, *([] if check["p"] is None else [f"Nadeau-Bengio p {check['p']:.4f}"])])


def main() -> None:
    made = parser(__doc__)
    made.add_argument("runs", type=Path, help="table of the runs (CSV)")
    made.add_argument("--reference", help="arm that the others are compared with (default: the first of the table)")
    made.add_argument("--primary", help="arm of the primary contrast (default: the first that is not the reference)")
    add_rules(made, resamples=1000)
    made.add_argument(
        "--rjafroc",
        type=Path,
        metavar="FOLDER",
        help="also write the marks and ratings for RJafroc there (three CSV files, the sheets of its workbook)",
    )
    made.add_argument("--json", action="store_true", help="print JSON instead of a table")
    args = made.parse_args()
    guarded(lambda: _command(args), args.debug)


def _command(args: argparse.Namespace) -> None:
    rules, rows = rules_of(args), _rows(args.runs)
    runs, marks, levels, remarks = [], [], [], []
    for row in rows:
        truth, found = read(args.runs.parent / row["gt"], args.runs.parent / row["detections"])
        fold = row.get("fold") or "0"
        runs.append(run(row["arm"], row["seed"], fold, truth, found, rules, args.bootstrap, args.seed))
        marks.append(rjafroc.Reading(row["arm"], row["seed"], truth, found, judge(truth, found, rules)[0]))
        remarks += notes(truth, rules)
        levels = table(truth)
    known = arms(runs)
    reference = args.reference or known[0]
    primary = args.primary or next((arm for arm in known if arm != reference), reference)
    for name, arm in (("--reference", reference), ("--primary", primary)):
        if arm not in known:
            raise PipelineError(f"{name} {arm}: {args.runs} has the arms {', '.join(known)}")
    if args.rjafroc:
        rjafroc.write(args.rjafroc, marks)
    several = len({one.fold for one in runs}) > 1
    result = compare(runs, reference, primary, [] if several else levels)
    result["notes"] += list(dict.fromkeys(remarks))
    result = without_nan(result)
    sys.stdout.write((json.dumps(result, allow_nan=False) if args.json else _text(result)) + "\n")


if __name__ == "__main__":
    main()
