"""Which setting is better? Detectors trained with each of several settings, compared on the validation patients alone.

An arm is a name and the keys it changes, as for `dvc exp run -S`; a point is one of `curve` in params.yaml. Every arm is
trained on every point from every seed, on the training part of split.fold, and looks for the masses of the validation part:
with split.fixed_val these are the development patients, and nobody is tested. All arms are compared with the first one, by
pipeline.evaluation.compare: patients and trainings both vary. Whatever an arm needs of the pipeline (another fraction, pools of
another generator) is made by DVC; trainings are kept in --work, shared by all comparisons that ask for the same one.
Run it in a clone of its own, since dvc.lock follows what was made last. OUT gets table.md and numbers.json:

    python -m benchmarks.tuning --profile cbis-cpu --out build/augment --seeds 0 1 2 \\
        --arm "as it is" --arm stronger detector.augment.turn=30 detector.augment.scale=0.35
    python -m benchmarks.tuning --profile cbis-cpu --out build/share --points real gan_360 \\
        --arm all --arm half detector.synthetic.share=0.5
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.cells import Cell, run_all
from pipeline import markdown
from pipeline.cli import guarded, parser
from pipeline.errors import PipelineError, raise_all
from pipeline.params import Params, check, read_yaml

RESAMPLES = 2000
LATER = ("detect", "evaluate", "quality", "report", "study", "curve")  # blocks that no training set depends on
SHOWN = {
    "sens_at_0.25fp": "0.25",
    "sens_at_0.5fp": "0.5",
    "sens_at_1fp": "1",
    "sens_at_2fp": "2",
    "sens_at_4fp": "4",
    "mean_sens_0.25_4": "mean",
}
WITH_INTERVAL = ("sens_at_1fp", "mean_sens_0.25_4")


@dataclass(frozen=True)
class Arm:
    """A name and the overlay on params.yaml, profile included, that it stands for. said: its own keys, as they were given."""

    name: str
    overlay: dict[str, Any]
    said: tuple[str, ...] = ()


def arm(words: Sequence[str], profile: dict[str, Any]) -> Arm:
    """NAME [KEY=VALUE ...]; values are YAML. Raises PipelineError for words that are no KEY=VALUE."""
    from ruamel.yaml import YAML

    from pipeline.profile import merge

    name, *changes = words
    raise_all([word for word in changes if "=" not in word], f"arm {name}: changes are written KEY=VALUE")
    overlay = profile
    for key, _, text in (word.partition("=") for word in changes):
        value: Any = YAML(typ="safe", pure=True).load(text)
        for part in reversed(key.split(".")):
            value = {part: value}
        overlay = merge(overlay, value)
    return Arm(name, overlay, tuple(changes))


def upstream(params: Params, points: Iterable[str]) -> dict[str, Any]:
    """The params of which the training sets are made, and the weights: arms that share them share these."""
    values = params.model_dump(mode="json", exclude={*LATER, "detector"})
    return {**values, "backbone": params.detector.backbone, "init": params.detector.init, "mixtures": list(map(params.mixture, points))}


def stages(params: Params, points: Iterable[str]) -> list[str]:
    """Stages that make what the points' training sets are put together from."""
    pools = dict.fromkeys(pool for point in points for pool in params.mixture(point))
    names = {"traditional": "pool_traditional", "gan": "pool_gan", "sham": "pool_sham@sham"}
    return ["preprocess", "weights", *(names.get(pool, f"pool_baseline@{pool}") for pool in pools)]


def planned(arms: Sequence[Arm], points: Sequence[str], base: dict[str, Any]) -> list[list[tuple[Arm, Params]]]:
    """Arms with their checked params, in groups that need the same from upstream. Raises PipelineError, naming all bad arms."""
    from pipeline.profile import merge

    faults: list[str] = []
    groups: dict[str, list[tuple[Arm, Params]]] = {}
    for one in arms:
        try:
            params = check(merge(merge(base, one.overlay), {"study": {"points": list(points)}}), f"params.yaml with arm {one.name}")
        except PipelineError as error:
            faults.append(str(error))
            continue
        groups.setdefault(json.dumps(upstream(params, points), sort_keys=True), []).append((one, params))
    raise_all(faults, "arms that cannot be trained")
    raise_all(sorted({one.name for one in arms if sum(one.name == other.name for other in arms) > 1}), "arms of one name")
    return list(groups.values())


Made = dict[tuple[str, str, int], Path]  # arm, point, seed -> folder of the cell


def trained(
    arms: Sequence[Arm], points: Sequence[str], seeds: Sequence[int], work: Path, jobs: int, on: Path
) -> tuple[Made, dict[str, Any]]:
    """Train what is not there yet; returns the folders of the cells and the ground truth. on: annotations.json to detect in."""
    from pipeline import coco
    from pipeline.profile import applied
    from pipeline.schedule import repro

    made: Made = {}
    truths: dict[str, dict[str, Any]] = {}
    for group in planned(arms, points, read_yaml(Path("params.yaml"))):
        first, params = group[0]
        with applied(first.overlay, Path("params.yaml")):
            if repro(jobs, *stages(params, points)):
                raise PipelineError(f"what arm {first.name} is trained on could not be made; the lines above say why")
        cells = {
            (one.name, point, seed): _cell(one, params, point, seed, work, on)
            for one, params in group
            for point in points
            for seed in seeds
        }
        folders = {key: work / "cells" / cell.fingerprint for key, cell in cells.items()}
        run_all([(cell, folders[key]) for key, cell in cells.items()], jobs)
        made |= folders
        truths[first.name] = coco.read(on)
    known = next(iter(truths.values()))
    raise_all([name for name, truth in truths.items() if truth != known], f"arms with other mammograms to look at than {arms[0].name}")
    return made, known


def _cell(one: Arm, params: Params, point: str, seed: int, work: Path, on: Path) -> Cell:
    from pipeline import coco
    from pipeline.synthesis.trainset import assemble

    folder = work / "trainsets" / point
    coco.write(folder / "annotations.json", assemble(Path("data/prepared/train"), Path("data/pools"), params.mixture(point), folder))
    return Cell(folder / "annotations.json", on, Path("data/backbone"), params, seed)


def compared(made: Made, known: dict[str, Any], params: Params, resamples: int = RESAMPLES) -> dict[str, Any]:
    """What pipeline.evaluation.compare says of them, every arm against the first one; with each training's own numbers."""
    from pipeline.evaluation import compare, froc
    from pipeline.evaluation.truth import detections, truth
    from pipeline.io import read_json
    from pipeline.report.comparison import rules

    images = truth(known, "ground truth")
    several = len({point for _, point, _ in made}) > 1
    runs = []
    for (name, point, seed), folder in made.items():
        found = detections(read_json(folder / "detections.json"), images, str(folder))
        runs.append(compare.run(f"{name}, {point}" if several else name, str(seed), "0", images, found, rules(params), resamples, 0))
    reference, *others = compare.arms(runs)
    result = compare.compare(runs, reference, others[0] if others else reference, [])
    trainings = [
        {
            "arm": one.arm,
            "seed": int(one.seed),
            "cpu_seconds": read_json(folder / "done.json")["cpu_seconds"],
            **{name: float(one.numbers[name][0]) for name in SHOWN},
        }
        for one, folder in zip(runs, made.values(), strict=True)
    ]
    return dict(froc.without_nan({**result, "trainings": trainings, "n_lesions": len(images.lesions), "n_patients": images.n_patients}))


def table(result: dict[str, Any]) -> str:
    """Markdown: each arm's sensitivities, and its differences from the first."""
    first, *_ = result["arms"]
    rows = []
    for name, block in result["arms"].items():
        own = [one for one in result["trainings"] if one["arm"] == name]
        minutes = [one["cpu_seconds"] / 60 for one in own if one["cpu_seconds"] is not None]
        mean = f"{sum(minutes) / len(minutes):.1f}" if minutes else ""
        rows.append([name, str(len(own)), mean, *(_shown(block, "value", key) for key in SHOWN)])
    own_numbers = markdown.table(["arm", "trainings", "CPU, min", *SHOWN.values()], rows)
    differences = []
    for one in result["contrasts"]:
        least = one["metrics"]["sens_at_1fp"]["minimal_detectable"]
        shown = [_shown(one["metrics"], "difference", key, "+") for key in SHOWN]
        differences.append([one["arm"], *shown, "" if least is None else f"{least:.3f}"])
    if not differences:
        return own_numbers
    return own_numbers + "\n\n" + markdown.table([f"less {first}", *SHOWN.values(), "smallest detectable at 1"], differences)


def _shown(block: dict[str, Any], key: str, name: str, sign: str = "") -> str:
    value, ci95 = block[name][key], block[name]["ci95"] if name in WITH_INTERVAL else (None, None)
    return "undefined" if value is None else markdown.interval(value, ci95, sign)


def write(out: Path, result: dict[str, Any], arms: Sequence[Arm], heading: str) -> None:
    from pipeline.io import write_json, write_text

    settings = "\n".join(f"- {one.name}: {', '.join(f'`{word}`' for word in one.said) or 'nothing changed'}" for one in arms)
    notes = "\n".join(f"Note: {note}." for note in result["notes"])
    write_text(out / "table.md", "\n\n".join(part for part in (heading, settings, table(result), notes) if part) + "\n")
    write_json(out / "numbers.json", {**result, "settings": {one.name: list(one.said) for one in arms}})


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--profile", help="overlay on params.yaml of all arms")
    made.add_argument(
        "--arm", nargs="+", action="append", required=True, metavar=("NAME", "KEY=VALUE"), help="a setting; the first is the reference"
    )
    made.add_argument("--points", nargs="+", default=["real"], help="points of the curve (default: real)")
    made.add_argument("--seeds", type=int, nargs="+", default=[0], help="trainings of each arm and point (default: 0)")
    made.add_argument("--work", type=Path, default=Path("build/tuning"), help="folder of the trainings (default: build/tuning)")
    made.add_argument("--out", type=Path, required=True, help="folder of the result")
    made.add_argument("--jobs", type=int, default=1, help="trainings at a time (default: 1)")
    args = made.parse_args()

    def work() -> None:
        from pipeline import profile
        from pipeline.schedule import git

        overlay = profile.read(args.profile) if args.profile else {}
        arms = [arm(words, overlay) for words in args.arm]
        cells, known = trained(arms, args.points, args.seeds, args.work, args.jobs, Path("data/prepared/val/annotations.json"))
        params = check(profile.merge(read_yaml(Path("params.yaml")), overlay))
        result = compared(cells, known, params)
        seeds, revision = ", ".join(map(str, args.seeds)), git("rev-parse", "--short", "HEAD") or "unknown"
        heading = (
            f"Sensitivity at so many false positives per image ({params.evaluate.hit}) on {result['n_lesions']} masses of "
            f"{result['n_patients']} validation patients, 95 % intervals; profile {args.profile or 'none'}, "
            f"points {', '.join(args.points)}, seeds {seeds}; revision {revision}."
        )
        write(args.out, result, arms, heading)
        print((args.out / "table.md").read_text())

    guarded(work, args.debug)


if __name__ == "__main__":
    main()
