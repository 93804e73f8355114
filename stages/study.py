"""Run the study of params.yaml on every fold, at each fraction of the training patients, and compare (`make study`).

For each it sets split.fold and split.train_fraction, brings everything up to date with several trainings at once, and packs
what the numbers are computed from as OUT/<percent>-<fold>.experiment.json.gz; params.yaml is then as it was. What is packed
already, with equal params, is left out, so that a second start goes on where the first one stopped; an interrupted training
goes on from its last checkpoint. Ends with stages.compare on all packed files of OUT, which needs neither data nor models and writes
OUT/comparison.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.cli import stage_main

if TYPE_CHECKING:
    from pipeline.params import Params


def arguments(made: argparse.ArgumentParser) -> None:
    made.add_argument("--fractions", type=float, nargs="+", help="of the training patients, 0..1 (default: split.train_fraction)")
    made.add_argument("--folds", type=int, nargs="+", help="folds to run (default: all of split.folds)")
    made.add_argument("--out", type=Path, default=Path("reports/study"), help="folder of the packed results (default: reports/study)")
    made.add_argument("--jobs", type=int, help="trainings at once (default: cores / runtime.threads; 1 with a GPU)")
    made.add_argument("--dry", action="store_true", help="only list what would run")


def plan(params: "Params", fractions: list[float] | None, folds: list[int] | None) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and overlay of params.yaml of each experiment. Raises PipelineError for what the params cannot mean."""
    from pipeline.errors import PipelineError

    if params.split.scheme != "kfold":
        raise PipelineError(f"a study runs over folds; split.scheme is {params.split.scheme}: set it to kfold")
    for fraction in fractions or [params.split.train_fraction]:
        for fold in range(params.split.folds) if folds is None else folds:
            yield f"{100 * fraction:g}-{fold}", {"split": {"fold": fold, "train_fraction": float(fraction)}}


def run(args: argparse.Namespace, params: "Params") -> None:
    import logging
    import sys

    from pipeline.comparison import packed
    from pipeline.comparison.experiments import holds
    from pipeline.params import check, read_yaml
    from pipeline.profile import applied, merge
    from pipeline.schedule import at_once, module

    base = read_yaml(args.params)
    experiments = list(plan(params, args.fractions, args.folds))
    for _, overlay in experiments:
        check(merge(base, overlay))
    for number, (name, overlay) in enumerate(experiments, 1):
        path = args.out / f"{name}{packed.ENDING}"
        done = path.is_file() and holds(merge(base, overlay), packed.unpack(path).params)
        logging.info("%d of %d: %s %s", number, len(experiments), path, "is there" if done else "runs")
        if done or args.dry:
            continue
        with applied(overlay, args.params):
            _one(name, args.out, args.jobs or at_once(params.runtime.threads))
    if not args.dry:
        sys.exit(module("stages.compare", *map(str, sorted(args.out.glob(f"*{packed.ENDING}"))), "--out", str(args.out / "comparison")))


def _one(name: str, out: Path, jobs: int) -> None:
    """Run params.yaml as it is and pack the result."""
    import sys
    from dataclasses import replace

    from pipeline.comparison import packed
    from pipeline.comparison.experiments import WORKSPACE, read
    from pipeline.schedule import repro

    if code := repro(jobs):
        sys.exit(code)
    packed.pack(replace(read(WORKSPACE), name=name), out)


if __name__ == "__main__":
    stage_main(run, __doc__, arguments)
