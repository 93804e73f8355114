"""Measure every point and seed of the study on the test set, and compare the points.

Reads predictions/<point>/<seed>.json and <seed>.val.json, data/prepared/{test,val}/annotations.json and
data/trainsets/<point>/annotations.json; the validation images decide which traditional point is the best one. Writes
reports/metrics.json, reports/curve.csv and reports/froc.csv. No network runs here: a change of the hit rule costs seconds.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cli import stage_main

if TYPE_CHECKING:
    from pipeline.params import Params


def arguments(made: argparse.ArgumentParser) -> None:
    made.add_argument("--predictions", type=Path, default=Path("predictions"), help="folder of <point>/<seed>.json")
    made.add_argument("--test", type=Path, default=Path("data/prepared/test/annotations.json"), help="COCO ground truth")
    made.add_argument(
        "--val", type=Path, default=Path("data/prepared/val/annotations.json"), help="COCO ground truth that choices are made on"
    )
    made.add_argument("--trainsets", type=Path, default=Path("data/trainsets"), help="folder of <point>/annotations.json")
    made.add_argument("--out", type=Path, default=Path("reports"), help="folder that is written to")


def run(args: argparse.Namespace, params: "Params") -> None:
    from pipeline import coco
    from pipeline.evaluation import held_out, study
    from pipeline.evaluation.froc import Rules
    from pipeline.evaluation.matching import parse_hit
    from pipeline.evaluation.truth import to_choose_on, truth
    from pipeline.params import arm

    block = params.evaluate
    known = truth(coco.read(args.test), str(args.test))
    arms = {name: arm(params.curve[name]) for name in params.study.points}
    rules = Rules(parse_hit(block.hit), block.duplicates, block.images, "image", block.recall_score)
    points = study.load(arms, params.study.seeds, args.predictions, args.trainsets, known, to_choose_on(args.val), rules)
    parts = {"test": args.test, "val": args.val}
    held_out.check_study({point.name: args.trainsets / point.name / "annotations.json" for point in points}, parts)
    study.write(study.evaluate(known, points, rules, block.bootstrap, params.seed), args.out)


if __name__ == "__main__":
    stage_main(run, __doc__, arguments)
