"""The command for users: labelled mammograms from models and healthy images, without the pipeline."""

import json
import subprocess
import sys

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from pipeline.errors import PipelineError
from pipeline.gan import infill, masks, patches
from pipeline.io import read_image, read_json, synthetic_mark, write_json, write_png
from pipeline.params import Masks, Runtime, load
from pipeline.synthesis.generate import generate
from pipeline.synthesis.laws import SizeLaw
from tests.code_deps import ROOT
from tests.gan.conftest import prepared  # noqa: F401 (a fixture)

RUNTIME = Runtime(threads=1, precision="fp32", workers=0)


@pytest.fixture(scope="module")
def models(prepared, tmp_path_factory):  # noqa: F811
    folder = tmp_path_factory.mktemp("models")
    shapes = Masks(
        z_dim=100, width=8, iterations=60, batch=16, lr=0.002, betas=[0.5, 0.999], ema=0.9, edge=0.06, min_area=0.02, max_area=0.6
    )
    masks.train(prepared, folder / "masks", shapes, RUNTIME, 3, folder / "state")
    gen = load(ROOT / "params.yaml").gen
    train = gen.train.model_copy(update={"iterations": 2, "batch": 2, "discriminator_width": 4})
    small = gen.model_copy(update={"unet": gen.unet.model_copy(update={"width": 4}), "train": train})
    infill.train(patches.read(prepared, ["train"]), folder, folder / "infill", small, "none", RUNTIME, 3, folder / "state")
    SizeLaw(np.array([[30.0, 28.0], [40.0, 44.0]]), np.array([0.6, 0.6]), "empirical").write(folder / "sizes.json")
    return folder


@pytest.fixture(scope="module")
def hosts(tmp_path_factory):
    """Two half discs of tissue on black film, 16 bit, one with its chest wall on the right."""
    folder = tmp_path_factory.mktemp("hosts")
    rows, columns = np.mgrid[:300, :200]
    for name, wall in (("a_CC", 0), ("b_CC", 199)):
        breast = (columns - wall) ** 2 + (rows - 150) ** 2 < 140**2
        texture = cv2.GaussianBlur(np.random.default_rng(len(name) + wall).random((300, 200)), (0, 0), 2)
        write_png(folder / f"{name}.png", (breast * (20000 + 40000 * texture)).astype(np.uint16))
    return folder


@pytest.fixture(scope="module")
def made(models, hosts, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    generate(models, hosts, out / "five", 5, height=200)
    return out


def test_images_masks_and_boxes_agree(made):
    loaded = COCO(made / "five/annotations.json")
    assert len(loaded.imgs) == len(loaded.anns) == 5
    for image in loaded.imgs.values():
        (one,) = loaded.loadAnns(loaded.getAnnIds(image["id"]))
        mask = read_image(made / "five/masks" / f"{image['image_id'][-6:]}.png")
        assert np.array_equal(mask > 0, loaded.annToMask(one).astype(bool)) and set(np.unique(mask)) == {0, 255}
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        assert one["bbox"] == [columns[0], rows[0], np.ptp(columns) + 1, np.ptp(rows) + 1]
        pixels = read_image(made / "five" / image["file_name"])
        assert pixels.shape == mask.shape == (200, image["width"]) and pixels.dtype == np.uint16
        assert image["synthetic"] and synthetic_mark(made / "five" / image["file_name"]).startswith("pool generated")
    assert {image["laterality"] for image in loaded.imgs.values()} == {"L", "R"}


def test_image_i_is_the_same_whatever_n_is(made, models, hosts):
    generate(models, hosts, made / "twenty", 20, height=200)
    for item in range(5):
        for part in ("images", "masks"):
            name = f"{part}/{item:06d}.png"
            assert (made / "five" / name).read_bytes() == (made / "twenty" / name).read_bytes()
    first, more = (read_json(made / name / "annotations.json") for name in ("five", "twenty"))
    assert first["images"] == more["images"][:5] and first["annotations"] == more["annotations"][:5]


def test_the_card_says_what_made_the_images_and_shows_numbers_of_these_models_alone(made, models, hosts, tmp_path):
    text = (made / "five/MODEL_CARD.md").read_text()
    digest = infill.load(models / "infill").meta["sha256"]
    assert (
        "5 mammograms" in text
        and "| trained on | 8 patients | 8 patients |" in text
        and digest in text
        and "Nothing was handed over" in text
    )
    rows = [
        {"protocol": "unpaired", "area": a, "what": w, "lpips": 0.25, "n": 7} for a in ("patch", "region") for w in ("generated", "real")
    ]
    for sha, expected in ((digest, "| LPIPS, random pairs, patch | 0.250 | 0.250 | 7 |"), ("other", "is of other models")):
        write_json(tmp_path / "quality.json", {"generator": {"sha256": sha}, "comparisons": rows})
        generate(models, hosts, tmp_path / sha, 1, height=100, quality=tmp_path / "quality.json")
        assert expected in (tmp_path / sha / "MODEL_CARD.md").read_text()


def test_hosts_that_cannot_be_used_are_named_at_once(models, hosts, made, tmp_path):
    write_png(tmp_path / "hosts/black.png", np.zeros((300, 200), np.uint8))
    (tmp_path / "hosts/torn.png").write_bytes(b"\x89PNG")
    (tmp_path / "hosts/made.png").write_bytes((made / "five/images/000000.png").read_bytes())
    with pytest.raises(PipelineError) as error:
        generate(models, tmp_path / "hosts", tmp_path / "out", 1)
    for part in ("(3)", "black.png", "torn.png", "made.png", "is synthetic"):
        assert part in str(error.value)
    assert not (tmp_path / "out").exists()
    with pytest.raises(PipelineError, match="exists; remove it"):
        generate(models, hosts, made / "five", 1)


def test_bad_arguments_end_in_one_message(tmp_path):
    command = [
        sys.executable,
        "-m",
        "pipeline.synthesis.generate",
        "--hosts",
        "nowhere",
        "--n",
        "0",
        "--keep",
        "2",
        "--out",
        str(tmp_path / "o"),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and "--n is 0" in done.stderr and "--keep is 2.0" in done.stderr and "Traceback" not in done.stderr


def test_manifest_hides_nothing_of_the_models(made):
    manifest = json.loads((made / "five/manifest.json").read_text())
    assert manifest["patients"] == ["host_a_CC", "host_b_CC"] and len(manifest["learned_from"]) == 8
    assert len(manifest["masks"]["sha256"]) == len(manifest["generator"]["sha256"]) == 64
