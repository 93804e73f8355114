"""Time and memory of the evaluator at the size of a large screening study.

    python -m benchmarks.froc

10,000 images of 5,000 patients with 100 boxes each, some 6,000 lesions, 1,000 resamples of the patients: matching, the
curve, all operating points and areas, wAFROC and every interval. Reading the two JSON files is timed apart.
"""

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import memory


def study(n_images: int, n_boxes: int, seed: int = 0) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A COCO ground truth and results: two views a patient, a lesion in 60 % of the images, a box near three of four lesions."""
    rng = np.random.default_rng(seed)
    images = [{"id": i, "patient_id": f"p{i // 2}", "laterality": "L", "view": ("CC", "MLO")[i % 2]} for i in range(n_images)]
    with_lesion = np.flatnonzero(rng.random(n_images) < 0.6)
    lesions = np.concatenate([rng.uniform(0, 1500, (len(with_lesion), 2)), rng.uniform(20, 120, (len(with_lesion), 2))], 1).round(1)
    annotations = [
        {"id": n + 1, "image_id": int(i), "category_id": 1, "bbox": box, "iscrowd": 0}
        for n, (i, box) in enumerate(zip(with_lesion, lesions.tolist(), strict=True))
    ]
    boxes = np.concatenate([rng.uniform(0, 1500, (n_images, n_boxes, 2)), rng.uniform(20, 120, (n_images, n_boxes, 2))], 2)
    score = rng.beta(1, 8, (n_images, n_boxes))
    found = rng.random(len(with_lesion)) < 0.75
    boxes[with_lesion[found], 0] = lesions[found] + rng.normal(0, 3, (found.sum(), 4))
    score[with_lesion[found], 0] = rng.beta(3, 3, found.sum())
    boxes, score = boxes.round(1), score.round(6)
    results = [
        {"image_id": i, "category_id": 1, "bbox": box, "score": one}
        for i in range(n_images)
        for box, one in zip(boxes[i].tolist(), score[i].tolist(), strict=True)
    ]
    return {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "mass"}]}, results


def main() -> None:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--images", type=int, default=10_000)
    made.add_argument("--boxes", type=int, default=100)
    made.add_argument("--resamples", type=int, default=1000)
    made.add_argument("--files", type=Path, help="write gt.json and detections.json here and stop")
    args = made.parse_args()
    from pipeline.evaluation.froc import Rules, evaluate
    from pipeline.evaluation.matching import parse_hit
    from pipeline.evaluation.truth import read

    with tempfile.TemporaryDirectory() as temporary:
        folder = args.files or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for name, value in zip(("gt", "detections"), study(args.images, args.boxes), strict=True):
            (folder / f"{name}.json").write_text(json.dumps(value))
        if args.files:
            return
        start = time.perf_counter()
        truth, found = read(folder / "gt.json", folder / "detections.json")
        ready = time.perf_counter()
        result = evaluate(truth, found, Rules(parse_hit("iou:0.5")), args.resamples, seed=0)
        done = time.perf_counter()
        largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        files = [(folder / f"{name}.json").read_bytes() for name in ("gt", "detections")]
        begun = time.perf_counter()
        for file in files:
            json.loads(file)
        parsed = time.perf_counter() - begun
    print(f"{result['n_images']} images, {result['n_lesions']} lesions, {result['n_detections']} boxes, {args.resamples} resamples")
    # what a resample has to touch: a weight for each patient, lesion and false positive; all of it at the speed of memory
    touched = 8 * args.resamples * (result["n_images"] // 2 + result["n_lesions"] + result["n_detections"])
    print(f"reading {ready - start:.2f} s, of it json.loads of {sum(map(len, files)) / 1e6:.0f} MB alone {parsed:.2f} s")
    print(f"evaluation {done - ready:.2f} s; a weight for each patient, lesion and box in each resample is {touched / 1e9:.1f} GB,")
    speed = memory()
    print(f"of which this machine copies {speed:.0f} GB/s: {touched / speed / 1e9:.2f} s")
    print(f"largest memory of this process, making the study too: {largest:.2f} GiB")
    print(f"sensitivity at 1 FP/image {result['sensitivity_at']['1']:.4f} {result['ci95']['sensitivity_at']['1']}")


if __name__ == "__main__":
    main()
