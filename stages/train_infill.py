"""Train the GAN that paints a mass into a mask, on the training patches.

Reads data/prepared/patches and data/weights, writes models/infill. An interrupted training goes on from its last
checkpoint in .resume.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cli import stage_main

if TYPE_CHECKING:
    from pipeline.params import Params


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--patches", type=Path, default=Path("data/prepared/patches"), help="patches (default: data/prepared/patches)")
    parser.add_argument("--weights", type=Path, default=Path("data/weights"), help="ImageNet weights (default: data/weights)")
    parser.add_argument("--out", type=Path, default=Path("models/infill"), help="folder to write (default: models/infill)")


def run(args: argparse.Namespace, params: "Params") -> None:
    from pipeline.gan import infill, patches

    infill.train(
        patches.read(args.patches, ["train"]), args.weights, args.out, params.gen, params.weights.perceptual, params.runtime, params.seed
    )


if __name__ == "__main__":
    stage_main(run, __doc__, arguments)
