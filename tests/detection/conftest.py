"""Eight small mammogram-like images with one bright disc each, and a detector trained on them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from pipeline import coco
from pipeline.io import sha256, write_png
from pipeline.params import Detect, Detector, Runtime
from pipeline.rng import generator

RUNTIME = Runtime(threads=1, precision="auto", workers=0)
DETECT = Detect(score_min=0.05, max_per_image=5, nms=0.5, flip=False, scales=[1.0])
DETECTOR = Detector.model_validate(
    {
        "arch": "light_head", "backbone": "resnet", "depth": 18, "width": 8, "stride": 8, "mid": 8, "pool": "average", "ohem": False,
        "anchors": [12.0, 20.0], "ratios": [1.0], "proposals": [100, 100], "size": None,
        "init": "none", "schedule": "iterations", "iterations": 100, "epochs": 1, "batch": 4, "lr": 0.005,
        "augment": {"flip": 0.5, "turn": 15.0, "scale": 0.2, "shift": 0.05, "gain": 0.2, "offset": 0.1},
        "synthetic": {"mode": "add", "share": None, "pretrain": 0.5},
    }
)  # fmt: skip


def write_set(folder: Path, images: int = 8, dtype: type = np.uint8, seed: int = 1) -> Path:
    """A COCO set of images (64, 48 or 56 px); returns its annotations.json."""
    records = []
    top = np.iinfo(dtype).max
    for i in range(images):
        rng = generator(seed, "disc", i)
        width = 48 + 8 * (i % 2)
        image = rng.uniform(0.1, 0.3, (64, width))
        radius, x, y = rng.uniform(6, 10), rng.uniform(12, width - 12), rng.uniform(12, 52)
        rows, columns = np.mgrid[:64, :width]
        mask = (columns - x) ** 2 + (rows - y) ** 2 <= radius**2
        image[mask] += 0.5
        path = folder / "images" / f"{i}.png"
        write_png(path, (image * top).astype(dtype))
        record = {"file_name": f"images/{i}.png", "height": 64, "width": width, "image_id": f"{i}", "sha256": sha256(path)}
        records.append((record, [coco.annotation(mask)]))
    coco.write(folder / "annotations.json", coco.assemble(records))
    return folder / "annotations.json"


@dataclass(frozen=True)
class Trained:
    annotations: Path
    folder: Path


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A detector overfitted to eight images."""
    from pipeline.detection.train import train

    root = tmp_path_factory.mktemp("detector")
    annotations = write_set(root / "set")
    train(annotations, root / "disc" / "0", DETECTOR, RUNTIME, 3, root / "state")
    return Trained(annotations, root / "disc" / "0")
