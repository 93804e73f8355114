"""List, or with --remove delete, what dropped points, seeds and pools left in data/, models/ and predictions/ (`make clean-stale`).

DVC forgets the outputs of a stage that is no longer in the graph and leaves its files. They cost a cheap rerun of evaluate
and disk space, nothing else. Files in .dvc/cache stay: `dvc gc --workspace` empties it.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cli import stage_main

if TYPE_CHECKING:
    from pipeline.params import Params


def arguments(made: argparse.ArgumentParser) -> None:
    made.add_argument("--remove", action="store_true", help="delete them (default: only list them)")


def stale(params: "Params", root: Path = Path()) -> list[Path]:
    """Files and folders that no stage of this params.yaml writes."""
    points, seeds = set(params.study.points), {str(seed) for seed in params.study.seeds}
    known = [
        (root / "data/trainsets", points, None),
        (root / "data/pools", params.built_pools, None),
        (root / "models/detector", points, seeds),
        (root / "predictions", points, {f"{seed}{end}" for seed in seeds for end in (".json", ".val.json")}),
    ]
    found = []
    for folder, names, inner in known:
        for path in sorted(folder.glob("[!.]*")):
            if path.name not in names:
                found.append(path)
            elif inner is not None:
                found += [one for one in sorted(path.glob("[!.]*")) if one.name not in inner]
    return found


def run(args: argparse.Namespace, params: "Params") -> None:
    import logging
    import shutil

    for path in stale(params):
        logging.info("%s%s", "removed " if args.remove else "", path)
        if args.remove and path.is_dir():
            shutil.rmtree(path)
        elif args.remove:
            path.unlink()


if __name__ == "__main__":
    stage_main(run, __doc__, arguments)
