"""Train the mask GAN (DCGAN) on the masks of the training patches.

Reads data/prepared/patches, writes models/masks. An interrupted training goes on from its last checkpoint in .resume.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cli import stage_main

if TYPE_CHECKING:
    from pipeline.params import Params


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--patches", type=Path, default=Path("data/prepared/patches"), help="patches (default: data/prepared/patches)")
    parser.add_argument("--out", type=Path, default=Path("models/masks"), help="folder to write (default: models/masks)")


def run(args: argparse.Namespace, params: "Params") -> None:
    from pipeline.gan.masks import train

    train(args.patches, args.out, params.masks, params.runtime, params.seed)


if __name__ == "__main__":
    stage_main(run, __doc__, arguments)
