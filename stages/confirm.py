"""The confirmatory analysis of docs/protocol.md, from packed experiments alone (`stages.study` and `stages.compare --pack` write them).

Prints levels and contrasts of the primary endpoint as Markdown and writes them as JSON. Which points are compared, how folds are
pooled and what may be claimed is fixed in the protocol; params.yaml says how hits are judged (`evaluate`).
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cli import stage_main

if TYPE_CHECKING:
    from pipeline.params import Params


def arguments(made: argparse.ArgumentParser) -> None:
    made.add_argument("packed", nargs="+", type=Path, metavar="FILE", help="packed experiments, one a fold and fraction")
    made.add_argument("--sequence", nargs="+", type=float, default=[0.25, 1.0], help="fractions in the order of the test (default: 0.25 1)")
    made.add_argument("--resamples", type=int, default=2000, help="of the patients (default: 2000)")
    made.add_argument("--out", type=Path, required=True, help="JSON file to write")


def run(args: argparse.Namespace, params: "Params") -> None:
    from pipeline.comparison import confirm, packed
    from pipeline.evaluation.froc import without_nan
    from pipeline.io import write_json
    from pipeline.report.comparison import rules

    experiments = [packed.unpack(path) for path in sorted(args.packed)]
    result = confirm.analyse(experiments, args.sequence, rules(params), args.resamples, params.seed)
    write_json(args.out, without_nan(result))
    print(confirm.markdown(result))


if __name__ == "__main__":
    stage_main(run, __doc__, arguments)
