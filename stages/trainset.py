"""Write the training set of one point: data/trainsets/POINT/annotations.json (COCO with sha256 of every image, no copies).

It holds all real training images with a lesion plus the first n of each pool that the point names.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cli import stage_main

if TYPE_CHECKING:
    from pipeline.params import Params


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("point", help="a point of study.points")


def run(args: argparse.Namespace, params: "Params") -> None:
    from pipeline import coco
    from pipeline.synthesis.trainset import assemble

    out = Path("data/trainsets") / args.point
    coco.write(out / "annotations.json", assemble(Path("data/prepared/train"), Path("data/pools"), params.mixture(args.point), out))


if __name__ == "__main__":
    stage_main(run, __doc__, arguments)
