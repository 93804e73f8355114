"""Clean the mammograms, split them by patient and cut patches around the masses.

Reads data/raw. Writes data/prepared/{train,val,test}: images with the chest wall on the left, regions and COCO
annotations; and data/prepared/patches: a square patch and mask for each mass, patches.csv, and preprocess.json with
all that was dropped, removed or doubtful; and data/prepared/qc, what the QC sheet shows. Each folder is complete, or as it was before.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cli import stage_main

if TYPE_CHECKING:
    from pipeline.params import Params


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--raw", type=Path, default=Path("data/raw"), help="folder to read (default: data/raw)")
    parser.add_argument("--out", type=Path, default=Path("data/prepared"), help="folder to write (default: data/prepared)")


def run(args: argparse.Namespace, params: "Params") -> None:
    import logging

    from pipeline.preprocess.prepare import prepare

    summary = prepare(args.raw, args.out, params.preprocess, params.split, params.seed)
    for part, counts in summary["parts"].items():
        logging.info("%s: %s", args.out / part, ", ".join(f"{count} {what}" for what, count in counts.items()))
    for what in ("laterality_mismatch", "dropped_components", "images_left_out", "lesion_px_outside_breast", "same_mammogram"):
        if summary[what]:
            logging.info("%s: %d, listed in %s", what.replace("_", " "), len(summary[what]), args.out / "patches" / "preprocess.json")


if __name__ == "__main__":
    stage_main(run, __doc__, arguments)
