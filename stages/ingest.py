"""Bring mammograms into the canonical form.

Reads the source named by data.source (phantom: drawn by the built-in simulator; the others below data.root, see
docs/data-formats.md), and the healthy mammograms of data.normals. Writes data/raw: images, one mask a lesion, cases.csv,
lesions.csv and skipped.csv. The folder is complete, or as it was before; what an interrupted ingest has stored is not read again.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cli import stage_main

if TYPE_CHECKING:
    from pipeline.params import Params


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, default=Path("data/raw"), help="folder to write (default: data/raw)")


def run(args: argparse.Namespace, params: "Params") -> None:
    import logging

    from pipeline.data.adapters import records, state
    from pipeline.data.canonical import write
    from pipeline.progress import track

    written = write(args.out, lambda done: track(records(params, done), "ingest"), params.data.on_error, state(params))
    logging.info("%s: %d images, %d lesions, %d images skipped", args.out, written.cases, written.lesions, written.skipped)


if __name__ == "__main__":
    stage_main(run, __doc__, arguments)
