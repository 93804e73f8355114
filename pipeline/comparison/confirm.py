"""The confirmatory analysis of a study (docs/protocol.md): one endpoint, one primary contrast, a fixed sequence of fractions.

Folds are pooled as in `joint`. At the first fraction of the training patients the primary contrast is tested at 5 %; at
the next one only if that was significant, so that no correction is needed (Maurer, Hothorn and Lehmacher 1995). All other
contrasts are secondary; their p values are adjusted after Holm within a fraction. A fraction with a fold missing is described, not
tested.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.comparison import joint
from pipeline.comparison.experiments import Experiment
from pipeline.errors import PipelineError
from pipeline.evaluation import compare, components, strata
from pipeline.evaluation.bootstrap import LEVEL
from pipeline.evaluation.froc import Rules
from pipeline.markdown import interval, table

ENDPOINT = "mean_sens_0.25_4"
PRIMARY = ("gan", "real")


def analyse(experiments: Sequence[Experiment], sequence: Sequence[float], rules: Rules, n_resamples: int, seed: int) -> dict[str, Any]:
    """Everything of the analysis, with null where nothing was run.

    experiments: one a fold and fraction, alike in all else. sequence: fractions in the order of the test. Returns a block a
    fraction (`levels` of every arm, `contrasts`, and how many trainings there are) and `verdict`, in words.
    Raises PipelineError for experiments that differ in more, an arm with several points, or a fraction that is not planned.
    """
    by_fraction: dict[float, list[Experiment]] = {fraction: [] for fraction in sequence}
    for one in experiments:
        fraction = float(one.params["split"]["train_fraction"])
        if fraction not in by_fraction:
            raise PipelineError(f"{one.name}: split.train_fraction {fraction} is none of the planned {list(sequence)}")
        by_fraction[fraction].append(one)
    blocks, passed = [], True
    for fraction, group in by_fraction.items():
        found = _fraction(group, rules, n_resamples, seed) if group else None
        primary = next((one for one in found["contrasts"] if one["primary"]), None) if found else None
        tested = passed and found is not None and primary is not None and len(found["folds"]) == found["planned_folds"]
        blocks.append({"train_fraction": fraction, "tested": tested, "found": found})
        passed = tested and primary is not None and primary["p"] <= 1 - LEVEL and primary["difference"] > 0
    return {"endpoint": ENDPOINT, "primary": list(PRIMARY), "sequence": list(sequence), "fractions": blocks, "verdict": _verdict(blocks)}


def _fraction(group: Sequence[Experiment], rules: Rules, n_resamples: int, seed: int) -> dict[str, Any]:
    found = joint.join(group)
    if len(found) != 1 or len(found[0].families) != 1:
        raise PipelineError(f"{', '.join(one.name for one in group)} differ in more than the fold; compare them with stages.compare")
    one, family = found[0], found[0].families[0]
    points = {member.point.arm: member.point for member in one.members.values()}
    if len(points) < len(one.members):
        raise PipelineError(f"{family.name}: an arm has several points ({', '.join(one.members)}); the analysis wants one of each")
    runs = [
        compare.run(arm, str(number), "0", one.truth, detected, rules, n_resamples, seed)
        for arm, point in points.items()
        for number, detected in point.found.items()
    ]
    return {
        "folds": [fold.params["split"]["fold"] for fold in family.folds],
        "planned_folds": family.folds[0].params["split"]["folds"],
        "trainings": len(family.folds) * len(runs),
        "test": {"patients": one.truth.n_patients, "images": len(one.truth.images), "lesions": len(one.truth.lesions)},
        "levels": {arm: {**points[arm].sizes, **compare.arm_block(runs, arm)[ENDPOINT]} for arm in points},
        "contrasts": _contrasts(runs, list(points)),
        "strata": {arm: compare.strata_block(runs, arm, strata.table(one.truth)) for arm in points},
    }


def pairs(arms: Sequence[str]) -> list[tuple[str, str]]:
    """The contrasts: each arm against `real`, and `gan` against each other one."""
    made = [(arm, "real") for arm in arms if arm != "real" and "real" in arms]
    return made + [("gan", arm) for arm in arms if arm not in PRIMARY and "gan" in arms]


def _contrasts(runs: Sequence[compare.Run], arms: Sequence[str]) -> list[dict[str, Any]]:
    made = []
    for arm, against in pairs(arms):
        found = compare.contrast(runs, arm, against, ENDPOINT)
        low, high = found["ci95"]
        named = {"arm": arm, "against": against, "primary": (arm, against) == PRIMARY}
        made.append({**named, **found, "half_width": (high - low) / 2, "p_holm": None})
    secondary = [one for one in made if not one["primary"]]
    for one, p in zip(secondary, components.holm([one["p"] for one in secondary]), strict=True):
        one["p_holm"] = p
    return made


def _verdict(blocks: Sequence[dict[str, Any]]) -> str:
    """The sentence that the fixed sequence allows."""
    said = []
    for one in blocks:
        share = f"{100 * one['train_fraction']:g} % of the training patients"
        if one["tested"]:
            primary = next(contrast for contrast in one["found"]["contrasts"] if contrast["primary"])
            changes = "raises" if primary["difference"] > 0 else "lowers"
            said.append(f"{share}: the GAN " + (f"{changes} it" if primary["p"] <= 1 - LEVEL else "makes no significant difference"))
        else:
            found = one["found"]
            missing = found is not None and len(found["folds"]) < found["planned_folds"]
            said.append(f"{share}: not tested" + (f", {len(found['folds'])} of {found['planned_folds']} folds" if missing else ""))
    return "; ".join(said)


def markdown(result: dict[str, Any]) -> str:
    """The analysis as text with tables."""
    parts = [f"Endpoint `{result['endpoint']}`, {' - '.join(result['primary'])}. {result['verdict']}."]
    for block in result["fractions"]:
        if not (found := block["found"]):
            continue
        test = found["test"]
        parts.append(
            f"{100 * block['train_fraction']:g} % of the training patients: folds {', '.join(map(str, found['folds']))} "
            f"(of {found['planned_folds']}), {found['trainings']} trainings, {test['patients']} test patients, {test['lesions']} masses."
        )
        levels = [(arm, str(one["n_train"]), interval(one["value"], one["ci95"])) for arm, one in found["levels"].items()]
        contrasts = [
            (
                f"{one['arm']} - {one['against']}", interval(one["difference"], one["ci95"]), f"{one['half_width']:.3f}",
                _se(one["var_patients"]), _se(one["var_runs"]), f"{one['p']:.3g}", "primary" if one["primary"] else f"{one['p_holm']:.3g}",
            )
            for one in found["contrasts"]
        ]  # fmt: skip
        parts.append(table(("arm", "training images", "level"), levels))
        parts.append(table(("contrast", "difference", "half-width", "SE, patients", "SE, trainings", "p", "p, Holm"), contrasts))
    return "\n\n".join(parts) + "\n"


def _se(variance: float) -> str:
    return "" if np.isnan(variance) else f"{variance**0.5:.3f}"
