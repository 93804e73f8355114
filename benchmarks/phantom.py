"""How real the phantom is, in numbers, for a phantom of a given size or for any canonical folder.

Prints sizes and contrast-to-noise of the masses, the spectral exponent of the tissue and the sensitivity of a
Laplacian-of-Gaussian blob detector; masses that such a detector finds make a study trivial. The same numbers for
films: ingest them (data.source: table) and name the folder with --cases. The 587 CBIS-DDSM films with malignant masses
give at 256 px: side of a mass 5 % .030, median .061, 95 % .131 of the height; contrast-to-noise .4, 1.7, 4.4; exponent
2.8; blob detector at 1 false positive an image .37 by centre, .30 at IoU 0.3, .20 at IoU 0.5.
"""

import argparse
import logging
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from benchmarks import measures
from pipeline.cli import guarded, parser
from pipeline.data.canonical import read_cases
from pipeline.data.records import StoredCase
from pipeline.io import read_image, to_unit

SMALLEST = 0.03
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def resampled(image: np.ndarray, height: int) -> np.ndarray:
    scale = height / image.shape[0]
    size = (max(1, round(image.shape[1] * scale)), height)
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)


def measure(case: StoredCase, height: int) -> dict:
    image = resampled(to_unit(read_image(case.image)), height)
    breast = measures.breast_region(image)
    cnr, boxes = [], []
    for lesion in case.lesions:
        mask = resampled(to_unit(read_image(lesion.mask)), height) > 0.5
        x, y, w, h = np.asarray(lesion.box, float) * height / read_image(lesion.mask).shape[0]
        boxes.append([x, y, x + w, y + h])
        if mask.any():
            cnr.append(measures.contrast_to_noise(image, mask, breast))
    return {
        "cnr": cnr,
        "boxes": np.asarray(boxes).reshape(-1, 4),
        "exponent": measures.spectral_exponent(image, breast, height // 4),
        "blobs": measures.log_blobs(image, breast, SMALLEST * height),
        "breast": breast.mean(),
        "grey": image[breast].mean() if breast.any() else np.nan,
    }


def quantiles(values: np.ndarray, digits: int = 3) -> str:
    return "  ".join(f"{q:.0%} {v:.{digits}f}" for q, v in zip(QUANTILES, np.nanquantile(values, QUANTILES), strict=True))


def summary(cases: list[StoredCase], height: int) -> dict[str, str]:
    """The printed lines of a set: label to text."""
    found = [measure(case, height) for case in cases]
    boxes = np.concatenate([one["boxes"] for one in found])
    sides = (boxes[:, 2:] - boxes[:, :2]) / height
    cnr = np.concatenate([np.asarray(one["cnr"], float) for one in found])
    exponent = np.array([one["exponent"] for one in found])
    blobs, truths = [one["blobs"] for one in found], [one["boxes"] for one in found]
    lines = {
        "images / masses": f"{len(cases)} / {len(boxes)}",
        "mass height / image height": quantiles(sides[:, 1]),
        "mass width / image height": quantiles(sides[:, 0]),
        "correlation of width and height": f"{np.corrcoef(sides.T)[0, 1]:.2f}",
        "contrast-to-noise": quantiles(cnr, 2),
        "spectral exponent": quantiles(exponent, 2),
        "share of the image that is breast": quantiles(np.array([one["breast"] for one in found]), 2),
        "mean grey of the breast": quantiles(np.array([one["grey"] for one in found]), 2),
    }
    for view in ("CC", "MLO"):
        mean = np.nanmean([e for e, case in zip(exponent, cases, strict=True) if case.view == view])
        lines[f"spectral exponent, mean {view}"] = f"{mean:.2f}"
    for name, iou in (("centre in box", None), ("IoU 0.3", 0.3), ("IoU 0.5", 0.5)):
        hits = [measures.sensitivity_at(blobs, truths, fp, iou) for fp in (1, 2, 4)]
        lines[f"blob detector, {name}"] = "  ".join(f"{hit:.2f} at {fp} FP/image" for fp, hit in zip((1, 2, 4), hits, strict=True))
    return lines


def drawn(args: argparse.Namespace, folder: Path) -> list[StoredCase]:
    """A phantom in `folder`; logs the CPU time that an image takes."""
    from pipeline.data.canonical import write
    from pipeline.data.phantom import cases
    from pipeline.params import load

    base = load(args.params)
    size = {"n_patients": args.patients, "n_normal_patients": args.normals, "height": args.height, "width": round(args.height * 0.625)}
    began = time.process_time()
    done = write(folder, cases(base.phantom.model_copy(update=size), base.seed, workers=1))
    logging.info("%.0f ms of CPU time an image, drawn and written", 1000 * (time.process_time() - began) / done.cases)
    return read_cases(folder)


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--params", type=Path, default=Path("params.yaml"), help="parameter file; its seed is used")
    made.add_argument("--patients", type=int, default=60, help="patients with a mass (default: 60)")
    made.add_argument("--normals", type=int, default=20, help="patients without (default: 20)")
    made.add_argument("--height", type=int, default=256, help="height in px of the images and of the measurement (default: 256)")
    made.add_argument("--cases", type=Path, help="measure this canonical folder instead of drawing a phantom")
    args = made.parse_args()

    def work() -> None:
        with tempfile.TemporaryDirectory() as folder:
            found = read_cases(args.cases) if args.cases else drawn(args, Path(folder) / "raw")
            for label, text in summary(found, args.height).items():
                print(f"{label:36s}{text}")

    guarded(work, args.debug)


if __name__ == "__main__":
    main()
