"""Compare generated patches with real ones: LPIPS with floors and intervals, the measures of quality.measures, contact sheets.

Reads data/prepared, data/weights, models and data/pools/gan, writes data/quality: quality.json, patches.png,
mammograms.png, and copies.png where masses were flagged as copies.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cli import stage_main

if TYPE_CHECKING:
    from pipeline.params import Params


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--prepared", type=Path, default=Path("data/prepared"), help="prepared mammograms (default: data/prepared)")
    parser.add_argument("--weights", type=Path, default=Path("data/weights"), help="ImageNet weights (default: data/weights)")
    parser.add_argument("--models", type=Path, default=Path("models"), help="folder with masks/ and infill/ (default: models)")
    parser.add_argument("--pool", type=Path, default=Path("data/pools/gan"), help="pool of the GAN (default: data/pools/gan)")
    parser.add_argument("--hosts", type=Path, default=Path("data/hosts"), help="hosts with masses painted over (default: data/hosts)")
    parser.add_argument("--out", type=Path, default=Path("data/quality"), help="folder to write (default: data/quality)")


def run(args: argparse.Namespace, params: "Params") -> None:
    from pipeline.quality import measure
    from pipeline.realism.measure import Given

    given = Given(args.prepared, args.hosts, args.weights, args.models, args.pool, params.synth, params.quality.n, params.seed)
    measure(given, args.out, params.quality.measures, params.runtime.threads)


if __name__ == "__main__":
    stage_main(run, __doc__, arguments)
