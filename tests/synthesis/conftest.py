"""A small prepared data set made by hand: four mammograms with a mass, three normal ones, of three patients each."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from pipeline import coco
from pipeline.io import write_png
from pipeline.rng import generator
from pipeline.synthesis.sources import Sources

HEIGHT, WIDTH, SIDE = 96, 60, 32


def disc(x: float, y: float, r: float, shape: tuple[int, int] = (HEIGHT, WIDTH)) -> np.ndarray:
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return (columns - x) ** 2 + (rows - y) ** 2 <= r * r


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    records, patches = [], []
    for k in range(7):
        ill = k < 4
        name = f"{'mass' if ill else 'normal'}{k}"
        region = disc(0, 48, 46).astype(np.uint8)
        region[:12, :12] *= 2
        image = (generator(1, "test", k).integers(20000, 40000, (HEIGHT, WIDTH)) * (region > 0)).astype(np.uint16)
        mask = disc(15, 30 + 4 * k, 5)
        image[mask & ill] = 60000
        write_png(tmp_path / "train/images" / f"{name}.png", image)
        write_png(tmp_path / "train/regions" / f"{name}.png", region)
        record = {"file_name": f"images/{name}.png", "image_id": name, "patient_id": f"p{k // 2}", "height": HEIGHT, "width": WIDTH}
        record |= {"laterality": "L", "view": "CC", "density": 2, "spacing_mm": 2.5, "spacing_assumed": False}
        records.append(({**record, "pathology": "malignant" if ill else "normal"}, [coco.annotation(mask, lesion=1)] if ill else []))
        if ill:
            frame = {"x": 6, "y": 21 + 4 * k, "w": 19 + k, "h": 19}
            window = slice(frame["y"], frame["y"] + 19), slice(6, 25 + k)
            write_png(tmp_path / "patches/images" / f"{name}_1.png", cv2.resize(image[window], (SIDE, SIDE)))
            small = cv2.resize(mask[window].astype(np.uint8) * 255, (SIDE, SIDE))
            write_png(tmp_path / "patches/masks" / f"{name}_1.png", np.where(small > 127, 255, 0).astype(np.uint8))
            patches.append({"patch": f"{name}_1", "split": "train", "image_id": name, "lesion": 1, "patient_id": f"p{k // 2}", **frame})
    coco.write(tmp_path / "train/annotations.json", coco.assemble(records))
    held_out = {**patches[0], "patch": "other_1", "split": "test", "image_id": "other", "patient_id": "p9"}
    pd.DataFrame([*patches, held_out]).to_csv(tmp_path / "patches/patches.csv", index=False)
    return tmp_path


@pytest.fixture
def sources(prepared: Path) -> Sources:
    return Sources(prepared / "train", prepared / "patches", seed=3)
