"""The simulator's masses in prepared phantom hosts."""

import numpy as np
import pandas as pd
import pytest

from pipeline import coco
from pipeline.data import canonical, phantom
from pipeline.io import read_image
from pipeline.params import load
from pipeline.preprocess.prepare import prepare
from pipeline.synthesis.fresh import fresh
from pipeline.synthesis.pool import write
from pipeline.synthesis.sources import Sources
from tests.code_deps import ROOT


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Folder with data prepared from a small phantom, and the pool `fresh` made from it."""
    folder, params = tmp_path_factory.mktemp("fresh"), load(ROOT / "params.yaml")
    small = params.phantom.model_copy(update={"n_patients": 14, "n_normal_patients": 6, "height": 128, "width": 80})
    canonical.write(folder / "raw", phantom.cases(small, params.seed, workers=1))
    prepare(folder / "raw", folder, params.preprocess.model_copy(update={"height": 128}), params.split, params.seed, processes=1)
    sources = Sources(folder / "train", folder / "patches", params.seed)
    write("fresh", fresh(sources.placer("normals", "paper", "breast"), small, params.seed), 6, params.seed, folder / "pool")
    return folder


def test_the_mass_lies_at_its_place_and_only_its_surroundings_change(made):
    dataset = coco.read(made / "pool/annotations.json")
    lesions = coco.by_image(dataset)
    contrasts = []
    for image in dataset["images"]:
        pixels = read_image(made / "pool" / image["file_name"]).astype(float)
        host = read_image(made / "train/images" / f"{image['host']}.png").astype(float)
        (one,) = lesions[image["id"]]
        mask = coco.decode(one["segmentation"])
        x, y, w, h = one["bbox"]
        assert np.hypot(x + w / 2 - image["centre"][0], y + h / 2 - image["centre"][1]) < 4
        rows, columns = np.indices(pixels.shape)
        far = np.maximum(abs(columns - image["centre"][0]), abs(rows - image["centre"][1])) > 2.4 * max(image["patch_size"]) / 2 + 8
        assert (pixels == host)[far].all() and (pixels != host)[mask].mean() > 0.5
        contrasts.append((pixels - host)[mask].mean())
    assert np.median(contrasts) > 1000


def test_the_places_are_drawn_from_training_patches_alone(made):
    patches = pd.read_csv(made / "patches/patches.csv")
    parts = {part: {image["patient_id"] for image in coco.read(made / part / "annotations.json")["images"]} for part in ("train", "test")}
    assert set(patches[patches["split"] == "train"]["patient_id"]) <= parts["train"]
    hosts = {image["patient_id"] for image in coco.read(made / "pool/annotations.json")["images"]}
    assert hosts <= parts["train"] and not hosts & parts["test"]
