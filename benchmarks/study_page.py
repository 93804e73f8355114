"""The page of the study on real mammograms, from its packed experiments alone: every number is computed anew, without data or models.

    python -m benchmarks.study_page docs/results/cbis-cpu

FOLDER holds <percent>-<fold>.experiment.json.gz, as `make study` writes them. It gets confirm.json (the confirmatory analysis of
docs/protocol.md), comparison/ (Fig. 6 and 8, Table 1, all contrasts: stages.compare) and README.md, at whose end NOTES.md, written
by hand, is put. params.yaml says how hits are judged.
"""

import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from pipeline.cli import guarded, parser
from pipeline.comparison import confirm, joint, packed
from pipeline.comparison.experiments import Experiment
from pipeline.errors import PipelineError
from pipeline.evaluation.froc import OPERATING_POINTS, without_nan
from pipeline.io import read_json, write_json, write_text
from pipeline.markdown import interval, table
from pipeline.params import load
from pipeline.report.comparison import rules
from pipeline.report.quality import by_key
from pipeline.schedule import module

SEQUENCE, RESAMPLES = (0.25, 1.0), 2000  # of the protocol
FIGURES = ("augmentation_curve.png", "froc.png")
HITS = {
    "recall_iou0.5": "recall, score 0.5, IoU 0.5",
    "sens_at_1fp_iou0.5_image": "1 FP, IoU 0.5",
    "sens_at_1fp_centre_image": "1 FP, centre",
}
QUALITY: dict[str, Callable[[dict[str, Any]], float | None]] = {
    "classifier AUC, GAN": lambda q: q["classifier"]["gan"]["auc"],
    "copy-paste": lambda q: q["classifier"]["copy_paste"]["auc"],
    "real": lambda q: q["classifier"]["real"]["auc"],
    "host style AUC": lambda q: q["host_style"]["auc"],
    "share of copies, GAN": lambda q: q["copies"]["gan"]["share"],
    "KID, GAN": lambda q: q["distances"]["gan"]["kid"],
    "FID, GAN": lambda q: q["distances"]["gan"]["fid"],
    "LPIPS, reconstruction": lambda q: by_key(q)["reconstruction", "patch", "generated"].value,
    "LPIPS, pairs": lambda q: by_key(q)["unpaired", "patch", "generated"].value,
    "LPIPS, pairs of real": lambda q: by_key(q)["unpaired", "patch", "real"].value,
}


def levels(points: dict[str, Any]) -> str:
    """Each point at every rate of false positives, and by other rules."""
    rates = [(f"sens_at_{at:g}fp", f"{at:g} FP") for at in OPERATING_POINTS]
    columns = [*rates, *HITS.items()]
    rows = [
        [name, str(one["n_train"]), *(interval(one["mean"][key]["value"], one["mean"][key]["ci95"]) for key, _ in columns)]
        for name, one in points.items()
    ]
    return table(["point", "training images", *(title for _, title in columns)], rows)


def strata(points: dict[str, Any]) -> str:
    """Sensitivity at 1 FP of each point in every stratum with ten masses or more."""
    names, first = list(points), next(iter(points.values()))["strata"]
    cells = [[interval(points[name]["strata"][k]["value"], points[name]["strata"][k]["ci95"]) for name in names] for k in range(len(first))]
    rows = [
        [f"{one['variable']} {one['level']}", str(one["n_lesions"]), *row]
        for one, row in zip(first, cells, strict=True)
        if one["n_lesions"] >= 10
    ]
    return table(["stratum", "masses", *names], rows)


def quality(experiments: Iterable[Experiment]) -> str:
    """Measures of painted masses, a row an experiment; empty where one was not measured."""
    rows = []
    for one in experiments:
        found = [measured(one.quality, read) for read in QUALITY.values()]
        rows.append([one.name, *("" if value is None else f"{value:.3f}" for value in found)])
    return table(["experiment", *QUALITY], rows)


def measured(found: dict[str, Any], read: Callable[[dict[str, Any]], float | None]) -> float | None:
    try:
        return read(found)
    except KeyError:
        return None


def page(experiments: Sequence[Experiment], analysis: dict[str, Any], points: dict[str, Any], notes: str) -> str:
    first = experiments[0].params
    seeds = ", ".join(map(str, experiments[0].seeds))
    size = f"{first['preprocess']['height']} px; {first['detector']['iterations']} steps of {first['detector']['batch']} images"
    figures = "\n".join(f"![{name.removesuffix('.png').replace('_', ' ')}](comparison/{name})" for name in FIGURES)
    return f"""# The study on CBIS-DDSM

Protocol: [protocol.md](../../protocol.md). {size}, seeds {seeds}. All of this page but the notes is computed from the packed
detections in this folder by `python -m benchmarks.study_page docs/results/cbis-cpu`.

## Confirmatory analysis

{confirm.markdown(analysis).strip()}

## Levels

Hits of {first["evaluate"]["hit"]} where nothing else is said; 95 % intervals over patients and trainings.

{levels(points)}

{figures}

Table 1 beside the paper's: [table_1.csv](comparison/table_1.csv). All contrasts: [index.html](comparison/index.html).

## Strata, at 1 false positive per image

{strata(points)}

## Painted masses

{quality(experiments)}

{notes}"""


def write(folder: Path) -> None:
    """Everything into `folder`. Raises PipelineError where it holds no packed experiment, or several test sets."""
    files = sorted(folder.glob(f"*{packed.ENDING}"))
    if not files:
        raise PipelineError(f"{folder} holds no *{packed.ENDING}; `make study` writes them")
    params, experiments = load(), [packed.unpack(path) for path in files]
    if len(joint.join(experiments)) > 1:
        raise PipelineError(f"{folder}: experiments on several test sets; keep each in a folder of its own")
    analysis = confirm.analyse(experiments, SEQUENCE, rules(params), RESAMPLES, params.seed)
    write_json(folder / "confirm.json", without_nan(analysis))
    if code := module("stages.compare", *map(str, files), "--out", str(folder / "comparison")):
        sys.exit(code)
    notes = folder / "NOTES.md"
    text = notes.read_text(encoding="utf-8") if notes.is_file() else ""
    points = read_json(folder / "comparison/metrics.json")["points"]
    write_text(folder / "README.md", page(experiments, analysis, points, text))


def main() -> None:
    made = parser(__doc__)
    made.add_argument("folder", type=Path, metavar="FOLDER", help="with the packed experiments of a study")
    args = made.parse_args()
    guarded(lambda: write(args.folder), args.debug)


if __name__ == "__main__":
    main()
