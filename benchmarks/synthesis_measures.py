"""What several trainings of each generator came to: means with intervals of the measures that `quality` writes of one."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.synthesis_page import DISTANCES, LPIPS
from pipeline.errors import PipelineError


def over_trainings(reports: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """Measures of every generator over its trainings, and of the controls.

    reports: generator -> quality.json of each training.
    Raises PipelineError where a measure of LPIPS is not defined.
    """

    def block(runs: Sequence[Any], what: str, arm: str) -> dict[str, Any]:
        protocols = [one for one in LPIPS if what == "generated" or one[0] == "unpaired"]
        found = {f"lpips_{p}_{a}": over_seeds([_lpips(run, p, a, what) for run in runs]) for p, a in protocols}
        found |= {key: over_seeds([run["distances"][arm][key] for run in runs]) for key in DISTANCES}
        found["classifier_auc"] = over_seeds([run["classifier"][arm]["auc"] for run in runs])
        if what == "generated" and "seam" in runs[0]:
            found["seam_auc"] = over_seeds([run["seam"]["sham"]["auc"] for run in runs])
        if arm in runs[0]["copies"]:
            found["copy_share"] = over_seeds([run["copies"][arm]["share"] for run in runs])
        if arm in runs[0]["lesions"]:
            found |= {f"ks_{key}": over_seeds([run["lesions"][arm][key]["ks"] for run in runs]) for key in runs[0]["lesions"][arm]}
        return found

    any_runs = next(iter(reports.values()))
    results = {name: block(runs, "generated", "gan") for name, runs in reports.items()}
    controls = {what: block(any_runs, what, what) for what in ("real", "copy_paste", "poisson")}
    for what in ("paste", "untouched"):
        controls[what] = {"classifier_auc": over_seeds([run["classifier"][what]["auc"] for run in any_runs])}
        controls[what] |= {key: over_seeds([run["distances"][what][key] for run in any_runs]) for key in DISTANCES}
    return {
        "generators": results,
        "controls": controls,
        "definitions": {key: text for runs in reports.values() for key, text in runs[0]["definitions"].items()},
    }


def over_seeds(values: Sequence[float]) -> dict[str, Any]:
    """Mean of the trainings and its 95 % t interval, null bounds for one."""
    from pipeline.evaluation.bootstrap import t_quantile

    found, n = np.asarray(values, float), len(values)
    half = t_quantile(n - 1, 0.975) * found.std(ddof=1) / n**0.5 if n > 1 else None
    low, high = (None, None) if half is None else (float(found.mean() - half), float(found.mean() + half))
    return {"mean": float(found.mean()), "ci_low": low, "ci_high": high, "values": [float(value) for value in values]}


def _lpips(measured: Any, protocol: str, area: str, what: str) -> float:
    from pipeline.report.quality import by_key

    value = by_key(measured)[protocol, area, what].value
    if value is None:
        raise PipelineError(f"LPIPS ({protocol}, {area}) of {what} is not defined: too few masses; a larger --n")
    return value
