"""Run a trained detector: of one cell over the test and validation images, or over any mammograms.

Reads models/detector/POINT/SEED/ and data/prepared/{test,val}/; writes COCO results to
predictions/POINT/SEED.json (test) and predictions/POINT/SEED.val.json.

With --images DIR: all PNG and DICOM mammograms below DIR, cleaned as the params' `preprocess` says. Writes OUT/results.json
(COCO results, boxes in px of the files), OUT/images.json (what its image ids are) and OUT/overlays/.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cli import stage_main

if TYPE_CHECKING:
    from pipeline.params import Params


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("point", nargs="?", help="point of the curve, a key of `curve` in params.yaml (default: the first of study.points)")
    parser.add_argument("seed", nargs="?", type=int, help="seed of the training (default: the first of study.seeds)")
    parser.add_argument("--images", type=Path, metavar="DIR", help="folder of mammograms to look for masses in")
    parser.add_argument("--out", type=Path, default=Path("detections"), help="folder to write with --images (default: detections)")
    parser.add_argument("--shown", type=float, default=0.3, metavar="S", help="lowest score that is drawn in an overlay (default: 0.3)")


def run(args: argparse.Namespace, params: "Params") -> None:
    from pipeline.detection import detect, new_images

    point = args.point or params.study.points[0]
    seed = params.study.seeds[0] if args.seed is None else args.seed
    detector = Path("models/detector") / point / str(seed)
    if args.images:
        how = new_images.Reading(params.preprocess.height, params.data.window, params.data.on_error)
        new_images.write(detector, args.images, args.out, how, params.detect, params.runtime, args.shown)
        return
    folder = Path("predictions") / point
    parts = {
        folder / f"{seed}.json": Path("data/prepared/test/annotations.json"),
        folder / f"{seed}.val.json": Path("data/prepared/val/annotations.json"),
    }
    detect.write(detector, parts, params.detect, params.runtime)


if __name__ == "__main__":
    stage_main(run, __doc__, arguments)
