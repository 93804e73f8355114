"""How well cleaning finds the breast and the pectoral muscle, against tissue truth and real mass masks; and how fast.

    python -m benchmarks.cleaning ../shared/data

The folder holds `normals/` (cases.csv, images, tissue: 64 background, 128 fat, 192 gland, 255 pectoral muscle) and
`cbis-ddsm/` (cases.csv, images, masks). Dice of the breast: fat, gland and muscle against the whole breast mask. The
constants of pipeline/preprocess were chosen on every second image with tissue truth, from the first; `tuned` are these.
"""

import argparse
import csv
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.io import read_image
from pipeline.preprocess.breast import chest_wall_right
from pipeline.preprocess.cleaning import clean

FAT, PECTORAL = 128, 255


def dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    total = int(a.sum() + b.sum())
    return 2 * int((a & b).sum()) / total if total else 1.0


def tissue_dice(folder: Path) -> list[tuple[str, float, float]]:
    """(image, Dice of breast, Dice of pectoral muscle) of every MLO view with tissue truth, in the order of names."""
    rows = []
    for path in sorted((folder / "tissue").glob("*.png")):
        image, truth = read_image(folder / "images" / path.name), read_image(path)
        if truth.shape != image.shape:
            truth = cv2.resize(truth, image.shape[::-1], interpolation=cv2.INTER_NEAREST)
        cleaned = clean(image, "MLO")
        muscle = cleaned.pectoral if cleaned.pectoral is not None else np.zeros_like(cleaned.breast)
        rows.append((path.stem, dice(truth >= FAT, cleaned.breast), dice(truth == PECTORAL, muscle)))
    return rows


def masses_inside(folder: Path) -> dict[str, Any]:
    """Share of mask pixels inside of the breast mask, the images that lose any, orientation and time over all images."""
    pixels = lost = mismatches = muscles = views = 0
    losers: list[tuple[int, float, str]] = []
    seconds = 0.0
    with open(folder / "cases.csv", newline="", encoding="utf-8") as file:
        cases = list(csv.DictReader(file))
    for case in cases:
        image = read_image(folder / case["image"])
        start = time.perf_counter()
        cleaned = clean(image, case["view"])
        seconds += time.perf_counter() - start
        mask = read_image(folder / case["mask"]) > 127
        gone = int((mask & ~cleaned.breast).sum())
        pixels, lost = pixels + int(mask.sum()), lost + gone
        if gone:
            losers.append((gone, gone / int(mask.sum()), Path(case["image"]).stem))
        mismatches += chest_wall_right(cleaned.breast) != case["laterality"].startswith("R")
        views += case["view"] == "MLO"
        muscles += cleaned.pectoral is not None
    return {
        "images": len(cases),
        "inside": 1 - lost / pixels,
        "losers": sorted(losers, reverse=True),
        "mismatches": mismatches,
        "mlo": views,
        "muscles": muscles,
        "seconds": seconds,
    }


def report_tissue(folder: Path) -> None:
    rows = tissue_dice(folder)
    for name, part in (("tuned", rows[::2]), ("held out", rows[1::2])):
        breast, muscle = np.array([row[1] for row in part]), np.array([row[2] for row in part])
        print(f"{name}: {len(part)} images, breast Dice mean {breast.mean():.4f} min {breast.min():.4f},", end=" ")
        print(f"pectoral Dice mean {muscle.mean():.4f} min {muscle.min():.4f}")


def report_masses(folder: Path) -> None:
    found = masses_inside(folder)
    print(f"masses: {found['images']} images, {100 * found['inside']:.3f} % of mask pixels inside of the breast; these lose some:")
    for gone, share, name in found["losers"]:
        print(f"  {name}: {gone} px, {100 * share:.1f} %")
    print(f"orientation: {found['mismatches']} of {found['images']} differ from the recorded laterality")
    print(f"pectoral muscle found in {found['muscles']} of {found['mlo']} MLO views")
    print(f"speed: {found['images'] / found['seconds']:.1f} images/s in one process")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with normals/ and cbis-ddsm/")
    data = parser.parse_args().data
    cv2.setNumThreads(1)
    for name, report in (("normals", report_tissue), ("cbis-ddsm", report_masses)):
        if (data / name / "cases.csv").is_file():
            report(data / name)
        else:
            print(f"skipped: {data / name}/cases.csv is absent", file=sys.stderr)


if __name__ == "__main__":
    main()
