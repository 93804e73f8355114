"""The page of the study on real mammograms, from its packed experiments alone: every number is computed anew, without data or models.

    python -m benchmarks.study_page docs/results/cbis-cpu

FOLDER holds <percent>-<fold>.experiment.json.gz, as `make study` writes them. It gets confirm.json (the confirmatory analysis of
docs/protocol.md), comparison/ (Fig. 6 and 8, Table 1, the contrasts of the protocol at every rate, by every rule and in every group
of lesions: as stages.compare) and README.md, at whose end NOTES.md, written by hand, is put. params.yaml says how hits are judged.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.cli import guarded, parser
from pipeline.comparison import confirm, joint, packed
from pipeline.comparison.experiments import Experiment
from pipeline.errors import PipelineError
from pipeline.evaluation import study
from pipeline.evaluation.froc import OPERATING_POINTS, Rules, without_nan
from pipeline.io import write_json, write_text
from pipeline.markdown import interval, table
from pipeline.params import load
from pipeline.report import comparison
from pipeline.report.figures import MIN_LESIONS
from pipeline.report.quality import by_key
from pipeline.report.results import HEADLINE, Contrast, Estimate, Point, Results

SEQUENCE, RESAMPLES = (0.25, 1.0), 2000  # of the protocol
FIGURES = ("augmentation_curve.png", "froc.png", "differences.png")
COLUMNS = {
    "mean_sens_0.25_4": "mean",
    **{f"sens_at_{at:g}fp": f"{at:g} FP" for at in OPERATING_POINTS},
    "recall_iou0.5": "recall, score 0.5, IoU 0.5",
    "fp_per_image_recall_iou0.5": "FP there",
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


def plan(of: joint.Joint) -> study.Plan:
    """The contrasts of the protocol within each family of experiments. None is primary: that one is of confirm.json."""

    def made(points: Sequence[study.Point], blocks: Mapping[str, Any]) -> list[study.Pair]:
        pairs = []
        for label in dict.fromkeys(member.family for member in of.members.values()):
            arms = {point.arm.partition("@")[0]: point for point in points if of.members[point.name].family == label}
            pairs += [study.Pair(arms[arm], arms[against], against, False) for arm, against in confirm.pairs(list(arms))]
        return pairs

    return made


def levels(points: Sequence[Point]) -> str:
    """Each point at every rate of false positives, and by other rules."""
    rows = [[one.name, str(one.n_train), *(shown(one.of(key)) for key in COLUMNS)] for one in points]
    return table(["point", "training images", *COLUMNS.values()], rows)


def differences(contrasts: Iterable[Contrast]) -> str:
    """Each contrast, as `levels`."""
    found: dict[tuple[str, str], dict[str, Estimate]] = {}
    for one in contrasts:
        found.setdefault((one.point, one.against), {})[one.metric] = one.difference
    rows = [[f"{a} - {b}", *(shown(one[key], "+") for key in COLUMNS)] for (a, b), one in found.items()]
    return table(["contrast", *COLUMNS.values()], rows)


def strata(results: Results) -> str:
    """Points and contrasts at 1 FP in every stratum of MIN_LESIONS masses or more."""
    contrasts = [one for one in results.contrasts if one.metric == HEADLINE]
    rows = [
        [f"{group.variable} {group.level}", str(group.n_lesions)]
        + [shown(one.strata[place].found) for one in results.points]
        + [shown(one.strata[place].found, "+") for one in contrasts]
        for place, group in enumerate(results.points[0].strata)
        if group.n_lesions >= MIN_LESIONS
    ]
    return table(["stratum", "masses", *(one.name for one in results.points), *(f"{one.point} - {one.against}" for one in contrasts)], rows)


def folds(experiments: Iterable[Experiment], rules: Rules, seed: int) -> str:
    """The contrasts of the endpoint in each fold by itself: a row an experiment."""
    rows, names = [], dict[str, None]()
    for one in experiments:
        found = next(block["found"] for block in confirm.analyse([one], SEQUENCE, rules, RESAMPLES, seed)["fractions"] if block["found"])
        values = {f"{c['arm']} - {c['against']}": interval(c["difference"], c["ci95"], "+") for c in found["contrasts"]}
        names |= dict.fromkeys(values)
        rows.append((one.name, str(found["test"]["lesions"]), values))
    return table(["fold", "masses", *names], [[name, n, *(values.get(key, "") for key in names)] for name, n, values in rows])


def shown(found: Estimate, sign: str = "") -> str:
    return "" if found.value is None else interval(found.value, (found.low, found.high), sign)


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


def page(experiments: Sequence[Experiment], analysis: dict[str, Any], results: Results, by_fold: str, notes: str) -> str:
    first = experiments[0].params
    seeds = ", ".join(map(str, experiments[0].seeds))
    size = f"{first['preprocess']['height']} px; {first['detector']['iterations']} steps of {first['detector']['batch']} images"
    figures = "\n".join(f"![{name.removesuffix('.png').replace('_', ' ')}](comparison/{name})" for name in FIGURES)
    return f"""# The study on CBIS-DDSM

Protocol: [protocol.md](../../protocol.md). {size}, seeds {seeds}. All of this page but the notes is computed from the packed
detections in this folder by `python -m benchmarks.study_page docs/results/cbis-cpu`.

## Confirmatory analysis

{confirm.markdown(analysis).strip()}

Each fold by itself, to see how even they are; a fold alone decides nothing:

{by_fold}

## Levels and differences

Hits of {results.settings["hit"]} where nothing else is said; 95 % intervals over patients and trainings, each by itself. Below the
confirmatory analysis nothing is tested; the patients are drawn anew, so that ends of intervals may differ in the third digit.

{levels(results.points)}

{differences(results.contrasts)}

{figures}

Table 1 beside the paper's: [table_1.csv](comparison/table_1.csv). All contrasts: [index.html](comparison/index.html).

## Strata, at 1 false positive per image

{strata(results)}

## Painted masses

{quality(experiments)}

{notes}"""


def write(folder: Path) -> None:
    """Everything into `folder`. Raises PipelineError where it holds no packed experiment, or several test sets."""
    files = sorted(folder.glob(f"*{packed.ENDING}"))
    if not files:
        raise PipelineError(f"{folder} holds no *{packed.ENDING}; `make study` writes them")
    params, experiments = load(), [packed.unpack(path) for path in files]
    params = params.model_copy(update={"evaluate": params.evaluate.model_copy(update={"bootstrap": RESAMPLES})})
    if len(groups := joint.join(experiments)) > 1:
        raise PipelineError(f"{folder}: experiments on several test sets; keep each in a folder of its own")
    rules = comparison.rules(params)
    analysis = confirm.analyse(experiments, SEQUENCE, rules, RESAMPLES, params.seed)
    write_json(folder / "confirm.json", without_nan(analysis))
    results = comparison.write(groups[0], params, folder / "comparison", plan(groups[0]))
    notes = folder / "NOTES.md"
    text = notes.read_text(encoding="utf-8") if notes.is_file() else ""
    write_text(folder / "README.md", page(experiments, analysis, results, folds(experiments, rules, params.seed), text))


def main() -> None:
    made = parser(__doc__)
    made.add_argument("folder", type=Path, metavar="FOLDER", help="with the packed experiments of a study")
    args = made.parse_args()
    guarded(lambda: write(args.folder), args.debug)


if __name__ == "__main__":
    main()
