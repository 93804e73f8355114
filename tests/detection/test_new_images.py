"""Detection in mammograms from outside: DICOM and PNG, boxes in px of the files."""

import argparse
import json
import shutil

import cv2
import numpy as np
import pytest

from pipeline import params
from pipeline.detection import new_images
from pipeline.errors import PipelineError
from pipeline.io import write_png
from stages import detect as stage
from tests.code_deps import ROOT
from tests.data.files import write_dicom
from tests.detection.conftest import DETECT, RUNTIME

HEIGHT, WIDTH = 256, 200
HOW = new_images.Reading(64, "none", "fail")


def film():
    """A half disc of tissue at the left edge with one bright mass in it; 16 bit. The centre of the mass is (60, 100)."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    rng = np.random.default_rng(0)
    tissue = ((rows - 128) / 110) ** 2 + (columns / 130) ** 2 <= 1
    image = np.where(tissue, rng.uniform(0.12, 0.28, tissue.shape), 0.0)
    image[(columns - 60) ** 2 + (rows - 100) ** 2 <= 30**2] += 0.5
    return (image * 65535).astype(np.uint16)


@pytest.fixture
def folder(tmp_path):
    """The film as PNG, its mirror image as DICOM with and without an ending, and a text."""
    write_png(tmp_path / "in/a.png", film())
    write_dicom(tmp_path / "in/sub/b.dcm", np.ascontiguousarray(film()[:, ::-1]))
    shutil.copy(tmp_path / "in/sub/b.dcm", tmp_path / "in/sub/c")
    (tmp_path / "in/notes.txt").write_text("no image")
    return tmp_path


def test_the_mass_is_found_where_it_lies_in_the_file(trained, folder):
    results = new_images.write(trained.folder, folder / "in", folder / "out", HOW, DETECT, RUNTIME, 0.3)
    known = json.loads((folder / "out/images.json").read_text())
    assert [one["file_name"] for one in known["images"]] == ["a.png", "sub/b.dcm", "sub/c"]
    assert {(one["height"], one["width"]) for one in known["images"]} == {(HEIGHT, WIDTH)}
    best = [next(np.array(one["bbox"]) for one in results if one["image_id"] == number) for number in (1, 2, 3)]
    x, y, width, height = best[0]
    assert abs(x + width / 2 - 60) < 12 and abs(y + height / 2 - 100) < 12 and 35 < width < 90 and 35 < height < 90
    np.testing.assert_allclose(best[1], (WIDTH - x - width, y, width, height), atol=0.05)  # the mirror image
    np.testing.assert_allclose(best[2], best[1])


def test_what_is_written_is_coco_and_pictures(trained, folder):
    from pycocotools.coco import COCO

    results = new_images.write(trained.folder, folder / "in", folder / "out", HOW, DETECT, RUNTIME, 0.3)
    assert json.loads((folder / "out/results.json").read_text()) == results
    loaded = COCO(str(folder / "out/images.json")).loadRes(str(folder / "out/results.json"))
    assert len(loaded.anns) == len(results) > 0
    overlay = cv2.imread(str(folder / "out/overlays/sub/b.dcm.png"))
    assert overlay.shape == (HEIGHT, WIDTH, 3)
    coloured = (overlay != overlay[..., :1]).any(2)
    x, y, _, height = next(one["bbox"] for one in results if one["image_id"] == 2)
    assert coloured[round(y) + 5 : round(y + height) - 5, round(x)].all()
    plain = new_images.write(trained.folder, folder / "in", folder / "bare", HOW, DETECT, RUNTIME, 1.01)
    assert plain == results
    bare = cv2.imread(str(folder / "bare/overlays/a.png.png"))
    assert (bare == bare[..., :1]).all()


def test_images_that_cannot_be_used_are_all_named_or_left_out(trained, folder):
    write_png(folder / "in/black.png", np.zeros((50, 40), np.uint8))
    (folder / "in/torn.dcm").write_bytes(b"DICM")
    with pytest.raises(PipelineError, match=r"(?s)\(2\).*black\.png: no breast stands out.*torn\.dcm: cannot be read as DICOM"):
        new_images.write(trained.folder, folder / "in", folder / "out", HOW, DETECT, RUNTIME, 0.3)
    assert not (folder / "out").exists()
    skipping = new_images.Reading(64, "none", "skip")
    new_images.write(trained.folder, folder / "in", folder / "out", skipping, DETECT, RUNTIME, 0.3)
    assert len(json.loads((folder / "out/images.json").read_text())["images"]) == 3


def test_folders_that_cannot_be_read_or_written(trained, folder, tmp_path):
    (tmp_path / "empty").mkdir()
    for images, out, message in (("empty", "out", "holds no images"), ("absent", "out", "no such folder"), ("in", "in/out", "lies below")):
        with pytest.raises(PipelineError, match=message):
            new_images.write(trained.folder, folder / images, folder / out, HOW, DETECT, RUNTIME, 0.3)
    with pytest.raises(PipelineError, match="holds no trained detector"):
        new_images.write(tmp_path / "nothing", folder / "in", folder / "out", HOW, DETECT, RUNTIME, 0.3)


def test_the_stage_takes_the_first_detector_of_the_study(trained, folder, monkeypatch):
    monkeypatch.chdir(folder)
    shutil.copytree(trained.folder, folder / "models/detector/real/0")
    parser = argparse.ArgumentParser()
    stage.arguments(parser)
    known = params.load(ROOT / "params.yaml")
    low = known.model_copy(update={"preprocess": known.preprocess.model_copy(update={"height": 64})})
    stage.run(parser.parse_args(["--images", "in"]), low)
    assert {one["image_id"] for one in json.loads((folder / "detections/results.json").read_text())} == {1, 2, 3}
