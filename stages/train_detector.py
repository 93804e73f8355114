"""Train the Light-Head R-CNN of one cell: the trainset of POINT, from SEED.

Reads data/trainsets/POINT/annotations.json and the images it names; writes models/detector/POINT/SEED/ with
config.py and model.pth (what mmdet.apis.init_detector loads) and losses.csv. An interrupted training goes on.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cli import stage_main

if TYPE_CHECKING:
    from pipeline.params import Params


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("point", help="point of the curve, a key of `curve` in params.yaml")
    parser.add_argument("seed", type=int, help="seed of this training, one of study.seeds")


def run(args: argparse.Namespace, params: "Params") -> None:
    from pipeline.detection.train import train
    from pipeline.resume import ROOT
    from pipeline.rng import integer

    annotations = Path("data/trainsets") / args.point / "annotations.json"
    target = Path("models/detector") / args.point / str(args.seed)
    train(annotations, target, params.detector, params.runtime, integer(params.seed, "detector", args.seed), ROOT)


if __name__ == "__main__":
    stage_main(run, __doc__, arguments)
