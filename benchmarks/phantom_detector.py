"""Is the phantom worth training on? A trained detector on new phantom patients, with their masses and with the masses erased.

Prints sensitivity at 1 false positive per image on the new patients; the same where the masses are erased, which counts
boxes at places where a mass was; and chance, which counts boxes of one mammogram at the masses of another one of the same
view. Erased should be at chance: then the detector sees masses and not where the phantom puts them. The blob detector's
numbers are printed by `benchmarks.phantom`.

    python -m benchmarks.phantom_detector --model models/detector/real/0 --patients 100 --normals 40
"""

import argparse
import logging
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import coco
from pipeline.cli import guarded, parser
from pipeline.data import canonical, phantom
from pipeline.detection import detect as detection
from pipeline.evaluation import froc
from pipeline.evaluation.matching import parse_hit
from pipeline.evaluation.truth import detections, truth
from pipeline.io import read_image, write_png
from pipeline.params import Params, Phantom, load
from pipeline.preprocess.prepare import prepare
from pipeline.synthesis.fresh import geometry_of
from pipeline.synthesis.placement import Host

SEED = 1001  # of the new patients, another than the params'
SHIFTS = 5  # other mammograms that each one's boxes are laid on


def new_patients(params: Params, size: Phantom, seed: int, folder: Path) -> dict[str, Any]:
    """Prepare a new phantom in `folder`, all of it as one COCO data set; file names are relative to `folder`."""
    canonical.write(folder / "raw", phantom.cases(size, seed))
    prepare(folder / "raw", folder / "prepared", params.preprocess, params.split, seed)
    records = []
    for part in ("train", "val", "test"):
        dataset = coco.read(folder / "prepared" / part / "annotations.json")
        lesions = coco.by_image(dataset)
        for image in dataset["images"]:
            records.append(({**image, "file_name": f"prepared/{part}/{image['file_name']}"}, lesions[image["id"]]))
    return coco.assemble(records)


def erase(dataset: dict[str, Any], size: Phantom, seed: int, folder: Path) -> dict[str, Any]:
    """The same mammograms without their masses, in `folder`/erased; the annotations say where the masses were."""
    images = []
    for image in dataset["images"]:
        patient, view = phantom.patient_and_view(image["image_id"])
        geometry = geometry_of(Host(image, (), folder), size)
        drawn, without = (phantom.render(size, seed, patient, view, masses=masses).image for masses in (None, ()))
        change = geometry.apply(without).astype(np.int32) - geometry.apply(drawn).astype(np.int32)
        pixels = read_image(folder / image["file_name"])
        made = np.where(pixels > 0, np.clip(pixels + change, 0, np.iinfo(pixels.dtype).max), 0).astype(pixels.dtype)
        name = f"erased/{image['image_id']}.png"
        write_png(folder / name, made)
        images.append({**image, "file_name": name})
    return {**dataset, "images": images}


def shifted(dataset: dict[str, Any], results: list[dict[str, Any]], by: int) -> list[dict[str, Any]]:
    """Results laid on the mammogram that comes `by` places later among those of the same view."""
    target: dict[int, int] = {}
    for view in ("CC", "MLO"):
        ids = [image["id"] for image in dataset["images"] if image["view"] == view]
        target |= dict(zip(ids, ids[by:] + ids[:by], strict=True))
    return [{**one, "image_id": target[one["image_id"]]} for one in results]


def line(what: str, dataset: dict[str, Any], results: list[list[dict[str, Any]]], hit: str) -> str:
    """Sensitivity at 1 FP/image, the mean over `results`, with the first one's interval over patients."""
    known = truth(dataset)
    rules = froc.Rules(parse_hit(hit), "fp", "all", "image", 0.5)
    found = [froc.evaluate(known, detections(one, known), rules, 1000 if k == 0 else 0) for k, one in enumerate(results)]
    values = [one["sensitivity_at"]["1"] for one in found]
    low, high = found[0]["ci95"]["sensitivity_at"]["1"]
    return f"{what:24} {hit:8} {np.mean(values):.3f}   [{low:.3f}, {high:.3f}]"


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--model", type=Path, required=True, help="folder of a detector trained on the phantom of --params")
    made.add_argument("--params", type=Path, default=Path("params.yaml"), help="its parameter file (default: params.yaml)")
    made.add_argument("--patients", type=int, default=100, help="new patients with a mass (default 100)")
    made.add_argument("--normals", type=int, default=40, help="new patients without (default 40)")
    made.add_argument("--seed", type=int, default=SEED, help=f"seed of the new patients, another than the params' (default {SEED})")
    args = made.parse_args()
    guarded(lambda: compare(args), args.debug)


def compare(args: argparse.Namespace) -> None:
    params = load(args.params)
    size = params.phantom.model_copy(update={"n_patients": args.patients, "n_normal_patients": args.normals})
    model = detection.load_detector(args.model)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        whole = new_patients(params, size, args.seed, folder)
        bare = erase(whole, size, args.seed, folder)
        found = []
        for name, dataset in (("whole.json", whole), ("bare.json", bare)):
            coco.write(folder / name, dataset)
            found.append(detection.detect(model, folder / name, params.detect, params.runtime))
        logging.info("%d new images, %d masses; sensitivity at 1 FP/image", len(whole["images"]), len(whole["annotations"]))
        for hit in ("iou:0.3", "iou:0.5", "centre"):
            logging.info(line("with masses", whole, [found[0]], hit))
            logging.info(line("masses erased", bare, [found[1]], hit))
            logging.info(line("chance", bare, [shifted(bare, found[1], by) for by in range(1, SHIFTS + 1)], hit))


if __name__ == "__main__":
    main()
