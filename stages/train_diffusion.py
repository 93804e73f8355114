"""Train the diffusion model that paints a mass into a mask, on the training patches (optional: `pip install diffusers`).

Reads data/prepared/patches, writes models/diffusion. An interrupted training goes on from its last checkpoint in .resume.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cli import stage_main

if TYPE_CHECKING:
    from pipeline.params import Params


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--patches", type=Path, default=Path("data/prepared/patches"), help="patches (default: data/prepared/patches)")
    parser.add_argument("--out", type=Path, default=Path("models/diffusion"), help="folder to write (default: models/diffusion)")


def run(args: argparse.Namespace, params: "Params") -> None:
    from pipeline.diffusion import inpaint
    from pipeline.gan import patches

    inpaint.train(patches.read(args.patches, ["train"]), args.out, params.gen, params.diffusion, params.runtime, params.seed)


if __name__ == "__main__":
    stage_main(run, __doc__, arguments)
