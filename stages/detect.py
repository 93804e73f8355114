"""Run the detector of one cell over the test and validation images.

Reads models/detector/POINT/SEED/ and data/prepared/{test,val}/; writes COCO results to
predictions/POINT/SEED.json (test) and predictions/POINT/SEED.val.json.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cli import stage_main

if TYPE_CHECKING:
    from pipeline.params import Params


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("point", help="point of the curve, a key of `curve` in params.yaml")
    parser.add_argument("seed", type=int, help="seed of the training, one of study.seeds")


def run(args: argparse.Namespace, params: "Params") -> None:
    from pipeline.detection.detect import write

    folder = Path("predictions") / args.point
    parts = {
        folder / f"{args.seed}.json": Path("data/prepared/test/annotations.json"),
        folder / f"{args.seed}.val.json": Path("data/prepared/val/annotations.json"),
    }
    write(Path("models/detector") / args.point / str(args.seed), parts, params.detect, params.runtime)


if __name__ == "__main__":
    stage_main(run, __doc__, arguments)
