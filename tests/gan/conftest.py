"""A small folder of patches: an ellipse that is brighter than a sloping tissue."""

import csv

import numpy as np
import pytest

from pipeline.io import from_unit, write_png
from pipeline.rng import generator

SIDE = 32


def patch(item):
    rng = generator(0, "test patch", item)
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    a, b, angle = *rng.uniform(5, 10, 2), rng.uniform(0, np.pi)
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    mask = (u / a) ** 2 + (v / b) ** 2 <= 1
    tissue = 0.35 + 0.004 * x + 0.02 * rng.normal(size=(SIDE, SIDE))
    return np.clip(tissue + 0.25 * mask, 0, 1), mask


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    """A folder like data/prepared/patches: 16 training patches of 8 patients, 4 of val, 4 of test."""
    folder = tmp_path_factory.mktemp("patches")
    rows = []
    for item in range(24):
        split = "train" if item < 16 else "val" if item < 20 else "test"
        image, mask = patch(item)
        write_png(folder / "images" / f"p{item:02d}.png", from_unit(image, np.uint16))
        write_png(folder / "masks" / f"p{item:02d}.png", from_unit(mask, np.uint8))
        row = {"patch": f"p{item:02d}", "split": split, "image_id": f"i{item:02d}", "lesion": 1, "patient_id": f"{split}{item // 2}"}
        rows.append({**row, "x": 0, "y": 0, "w": SIDE, "h": SIDE})
    with open(folder / "patches.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return folder
