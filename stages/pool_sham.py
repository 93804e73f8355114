"""Make the control pool `sham`: as the pool `gan`, but a generator of healthy tissue fills the hole, and nothing is labelled.

Writes data/pools/sham. Image i has the host, centre, patch size and first mask of image i of the pool `gan`. What a detector
gains from it is due to the traces of infilling, or to more images, and not to masses.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cli import stage_main

if TYPE_CHECKING:
    from pipeline.params import Params


def run(args: argparse.Namespace, params: "Params") -> None:
    from pipeline.gan import infill
    from stages.pool_gan import make

    make("sham", infill.load(Path("models/sham")), params, labelled=False)


if __name__ == "__main__":
    stage_main(run, __doc__)
