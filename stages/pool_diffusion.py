"""Make the pool `diffusion`: as the pool `gan`, but a diffusion model paints the masses (optional: `pip install diffusers`).

Writes data/pools/diffusion. Image i has the host, centre, patch size and first mask of image i of the pool `gan`. All masses are
kept and as strong as painted: synth.keep and synth.contrast are of the pool gan alone.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cli import stage_main

if TYPE_CHECKING:
    from pipeline.params import Params


def run(args: argparse.Namespace, params: "Params") -> None:
    from pipeline.diffusion import inpaint
    from stages.pool_gan import make

    make("diffusion", inpaint.load(Path("models/diffusion")), params)


if __name__ == "__main__":
    stage_main(run, __doc__)
