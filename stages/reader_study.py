"""A blinded reader study: can a radiologist tell synthetic masses from real ones?

  python -m stages.reader_study                          writes data/reader_study: index.html for the reader, key.csv for you
  python -m stages.reader_study --score answers.csv      what the answers are worth, as JSON

Real masses are those of val and test, synthetic ones those of the pool `gan`; both are cut and scaled alike. The page holds
pixels of real mammograms: it is for whoever may see them. It is no stage of the DVC graph.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cli import stage_main

if TYPE_CHECKING:
    from pipeline.params import Params


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--n", type=int, default=40, help="patches of each kind (default: 40)")
    parser.add_argument("--prepared", type=Path, default=Path("data/prepared"), help="prepared mammograms (default: data/prepared)")
    parser.add_argument("--pool", type=Path, default=Path("data/pools/gan"), help="synthetic masses (default: data/pools/gan)")
    parser.add_argument("--out", type=Path, default=Path("data/reader_study"), help="folder to write (default: data/reader_study)")
    parser.add_argument("--score", type=Path, metavar="ANSWERS", help="answers that a reader saved; the key is read from --out")


def run(args: argparse.Namespace, params: "Params") -> None:
    import json

    from pipeline.realism import reader, sets

    if args.score:
        print(json.dumps(reader.score(args.out / "key.csv", args.score, params.seed), indent=2))
        return
    side = params.preprocess.patch_px
    real = sets.real(args.prepared, ["val", "test"], side)
    synthetic = sets.pool(args.pool, params.pools.gan.n, side)
    reader.write(real, synthetic, args.n, params.seed, args.out)
    print((args.out / "index.html").resolve())


if __name__ == "__main__":
    stage_main(run, __doc__, arguments)
