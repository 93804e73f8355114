"""Make the pool `traditional`: real training mammograms rotated, flipped, scaled, in data/pools/traditional.

Image i depends on (seed, i) alone: a larger pool starts with the smaller one.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cli import stage_main

if TYPE_CHECKING:
    from pipeline.params import Params


def run(args: argparse.Namespace, params: "Params") -> None:
    from pipeline.synthesis.pool import write
    from pipeline.synthesis.traditional import traditional

    method = traditional(Path("data/prepared/train"), params.seed)
    write("traditional", method, params.pools.traditional.n, params.seed, Path("data/pools/traditional"))


if __name__ == "__main__":
    stage_main(run, __doc__)
