"""How well does the detector do on real masses without any augmentation of the training set? Five folds, pooled.

Every fold is prepared, trained and tested alone, `--jobs` at a time and each with the threads of the params; what is done
stays in --work, so a second start goes on. Detections of all folds on patients who were not in their training are pooled into
OUT/annotations.json and OUT/detections.json.gz, and OUT/sensitivity.json is computed from these two alone:

    python -m benchmarks.real_folds --profile cbis-cpu --work build/folds --out docs/results/real-only
    python -m benchmarks.real_folds --out docs/results/real-only --again        # the numbers from what is stored
"""

import argparse
import gzip
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pipeline.cli import guarded, parser
from pipeline.params import Params, check, read_yaml

HITS = ("iou:0.1", "iou:0.2", "iou:0.3", "iou:0.5", "centre")
RESAMPLES = 2000


def arguments() -> argparse.Namespace:
    made = parser(__doc__)
    made.add_argument("--profile", help="overlay on params.yaml")
    made.add_argument("--work", type=Path, default=Path("build/folds"), help="folder for data and models (default: build/folds)")
    made.add_argument("--out", type=Path, required=True, help="folder of the results")
    made.add_argument("--jobs", type=int, default=2, help="folds at a time (default: 2)")
    made.add_argument("--again", action="store_true", help="only compute the numbers again")
    made.add_argument("--fold", type=int, help=argparse.SUPPRESS)  # what a child process does
    return made.parse_args()


def settings(profile: str | None, fold: int = 0) -> Params:
    from pipeline.profile import merge, read

    values = merge(read_yaml(Path("params.yaml")), read(profile) if profile else {})
    return check(merge(values, {"split": {"scheme": "kfold", "fold": fold}}))


def one_fold(params: Params, work: Path) -> None:
    """Prepare, train and detect in work/<fold>."""
    from benchmarks.cells import Cell, run
    from pipeline import coco
    from pipeline.preprocess.prepare import prepare
    from pipeline.synthesis.trainset import assemble

    folder = work / str(params.split.fold)
    prepared, trainset = folder / "prepared", folder / "trainset"
    if not prepared.is_dir():
        prepare(work / "raw", prepared, params.preprocess, params.split, params.seed, processes=1)
    coco.write(trainset / "annotations.json", assemble(prepared / "train", folder / "pools", {}, trainset))
    run(Cell(trainset / "annotations.json", prepared / "test/annotations.json", work / "backbone", params, 0), folder)


def run_folds(args: argparse.Namespace) -> None:
    from pipeline import weights
    from pipeline.data.adapters import records, state
    from pipeline.data.canonical import write
    from pipeline.schedule import module

    params = settings(args.profile)
    if not (args.work / "raw").is_dir():
        write(args.work / "raw", lambda done: records(params, done), params.data.on_error, state(params))
    weights.write_backbone(args.work / "backbone", params.detector.backbone if params.detector.init == "imagenet" else None)

    def fold(number: int) -> int:
        profile = ["--profile", args.profile] if args.profile else []
        return module(
            "benchmarks.real_folds", *profile, "--work", str(args.work), "--out", str(args.out), "--fold", str(number), lines=True
        )

    with ThreadPoolExecutor(args.jobs) as pool:
        if code := max(pool.map(fold, range(params.split.folds))):
            sys.exit(code)


def pool_folds(args: argparse.Namespace) -> None:
    """Write the pooled ground truth (boxes alone) and detections."""
    from pipeline import coco
    from pipeline.comparison.joint import pool
    from pipeline.io import read_json

    folds = sorted(path for path in args.work.iterdir() if path.name.isdigit())
    tests = {folder.name: coco.read(folder / "prepared/test/annotations.json") for folder in folds}
    merged, numbers = pool(tests)
    found = [
        {**one, "image_id": numbers[folder.name][one["image_id"]]} for folder in folds for one in read_json(folder / "detections.json")
    ]
    fold_of = {image["image_id"]: int(name) for name, test in tests.items() for image in test["images"]}
    for image in merged["images"]:
        image["fold"] = fold_of[image["image_id"]]
    for lesion in merged["annotations"]:
        lesion.pop("segmentation", None)
    args.out.mkdir(parents=True, exist_ok=True)
    coco.write(args.out / "annotations.json", merged)
    text = json.dumps(found, separators=(",", ":"))
    (args.out / "detections.json.gz").write_bytes(gzip.compress(text.encode(), 9, mtime=0))


def numbers(out: Path) -> dict[str, Any]:
    """Sensitivities of the stored detections: pooled by hit rule, and of each fold alone."""
    from pipeline import coco
    from pipeline.evaluation import froc
    from pipeline.evaluation.matching import parse_hit
    from pipeline.evaluation.truth import detections, truth

    dataset = coco.read(out / "annotations.json")
    found = json.loads(gzip.decompress((out / "detections.json.gz").read_bytes()))

    def result(images: list[dict[str, Any]], hit: str, resamples: int) -> dict[str, Any]:
        ids = {image["id"] for image in images}
        part = {**dataset, "images": images, "annotations": [one for one in dataset["annotations"] if one["image_id"] in ids]}
        known = truth(part, "pooled folds")
        boxes = detections([one for one in found if one["image_id"] in ids], known, "detections")
        return dict(froc.without_nan(froc.evaluate(known, boxes, froc.Rules(parse_hit(hit), images="lesion"), resamples)))

    said: dict[str, Any] = {"pooled": {}, "folds": {}}
    for hit in HITS:
        every = result(dataset["images"], hit, RESAMPLES)
        said["pooled"][hit] = {
            "sensitivity_at": every["sensitivity_at"], "mean_sens_0.25_4": every["mean_sens_0.25_4"], "ci95": every["ci95"],
            "n_images": every["n_images"], "n_lesions": every["n_lesions"], "n_patients": every["n_patients"],
        }  # fmt: skip
    for fold in sorted({image["fold"] for image in dataset["images"]}):
        alone = result([image for image in dataset["images"] if image["fold"] == fold], "iou:0.3", 0)
        said["folds"][fold] = {key: alone[key] for key in ("sensitivity_at", "mean_sens_0.25_4", "n_images", "n_lesions", "n_patients")}
    return said


def main() -> None:
    args = arguments()

    def work() -> None:
        from pipeline.io import write_json

        if args.fold is not None:
            one_fold(settings(args.profile, args.fold), args.work)
            return
        if not args.again:
            run_folds(args)
            pool_folds(args)
        said = numbers(args.out)
        write_json(args.out / "sensitivity.json", said)
        for hit, one in said["pooled"].items():
            low, high = one["ci95"]["sensitivity_at"]["1"]
            print(f"{hit}: sensitivity at 1 FP/image {one['sensitivity_at']['1']:.3f} [{low:.3f}, {high:.3f}], {one['n_lesions']} masses")

    guarded(work, args.debug)


if __name__ == "__main__":
    main()
