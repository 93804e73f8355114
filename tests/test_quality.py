"""LPIPS against its published values, and what the quality report says of known patches."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline import coco, quality
from pipeline.errors import PipelineError
from pipeline.evaluation.similarity import Lpips
from pipeline.gan import infill, masks, patches
from pipeline.gan.patches import Patches
from pipeline.io import from_unit, read_image, read_json, write_json, write_png
from pipeline.params import Gen, GenTrain, Masks, Runtime, Width, load
from pipeline.realism.measure import Given
from tests import imagenet
from tests.code_deps import ROOT
from tests.gan.conftest import SIDE, patch, prepared  # noqa: F401 (a fixture)

SYNTH = load(ROOT / "params.yaml").synth
EXAMPLES = Path(__file__).parent / "gan" / "lpips"


@pytest.fixture(scope="module")
def lpips(tmp_path_factory):
    return Lpips(imagenet.folder(tmp_path_factory))


def example(name):
    return cv2.imread(str(EXAMPLES / f"{name}.png"))[..., ::-1].transpose(2, 0, 1)[None] / 255


@pytest.mark.parametrize(("name", "published"), [("ex_p0", 0.722), ("ex_p1", 0.138)])
def test_distances_of_the_example_images_are_those_published(lpips, name, published):
    assert lpips(example("ex_ref"), example(name))[0] == pytest.approx(published, abs=0.0005)


def test_embedded_distances_equal_lpips(lpips):
    images = np.concatenate([example(name) for name in ("ex_ref", "ex_p0", "ex_p1")])
    vectors = lpips.embed(images)
    assert ((vectors[0] - vectors[1]) ** 2).sum() == pytest.approx(lpips(images[:1], images[1:2])[0], rel=1e-4)
    where, distance = lpips.nearest(images[:1], images[1:])
    assert where.tolist() == [1] and distance[0] == pytest.approx(0.138, abs=0.0005)


def test_a_region_sees_the_change_that_lies_in_it(lpips):
    image = np.full((1, 64, 64), 0.5, np.float32)
    changed = image.copy()
    changed[:, 4:16, 4:16] = np.random.default_rng(0).random((12, 12))
    near, far = np.zeros((2, 1, 64, 64), bool)
    near[:, :20, :20] = far[:, 44:, 44:] = True
    assert lpips(image, image)[0] == 0
    assert lpips(image, changed, near)[0] > 1.5 * lpips(image, changed)[0] > 2 * lpips(image, changed, far)[0]
    with pytest.raises(ValueError, match="a region is empty"):
        lpips(image, changed, np.zeros((1, 64, 64), bool))


class MeanDifference:
    """In the place of LPIPS: mean absolute difference, so that values can be computed by hand."""

    def __call__(self, first, second, region=None):
        region = np.ones(first.shape, bool) if region is None else region
        return np.array([np.abs(a - b)[r].mean() for a, b, r in zip(first, second, region, strict=True)])


class Brighter:
    """In the place of the generator: adds 0.1 within the mask."""

    def __init__(self):
        self.meta = {"margin": 512}

    def fill(self, tissue, masks, noise, contrast=1.0):
        return (tissue + 0.1 * masks).astype(np.float32)


def flat(values, patients):
    """Even patches of SIDE px with a mass of 8 x 8 px in the middle."""
    mass = np.zeros((len(values), SIDE, SIDE), bool)
    mass[:, 12:20, 12:20] = True
    images = np.broadcast_to(np.array(values, np.float32)[:, None, None], mass.shape).copy()
    return Patches(images, mass, [f"p{n}" for n in range(len(values))], patients)


def test_reconstruction_by_hand():
    """0.1 in 64 px: of the whole patch (1,024 px) 0.00625, of mask and margin (16 x 16 px at twice the size) 0.025."""
    rows = quality.reconstruction(MeanDifference(), Brighter(), flat([0.2, 0.4, 0.6], ["a", "a", "b"]), 0)
    found = {(row["what"], row["area"]): row["lpips"] for row in rows}
    assert found["generated", "patch"] == pytest.approx(0.1 * 64 / 1024, rel=1e-5)
    assert found["generated", "region"] == pytest.approx(0.1 * 64 / 256, rel=1e-5)
    assert found["blank", "patch"] == pytest.approx(0, abs=1e-7)  # the mass is as its margin
    assert {(row["n"], row["patients"]) for row in rows} == {(3, 2)}


def test_unpaired_pairs_are_of_different_patients_and_intervals_hold_the_mean():
    held = flat([0.1, 0.1, 0.5, 0.5], ["a", "a", "b", "b"])
    made = {"generated": quality.Inserted(held.images[:1], held.masks[:1], np.full((1, SIDE, SIDE), 0.3, np.float32), [0])}
    rows = {(row["what"], row["area"]): row for row in quality.unpaired(MeanDifference(), held, made, 2.0, 50, 0)}
    assert rows["real", "patch"]["lpips"] == pytest.approx(0.4)  # always a with b
    assert rows["generated", "region"]["lpips"] == pytest.approx(0.2)
    assert all(row["ci_low"] <= row["lpips"] + 1e-9 and row["lpips"] <= row["ci_high"] + 1e-9 for row in rows.values())
    with pytest.raises(PipelineError, match="are of one patient"):
        quality.unpaired(MeanDifference(), flat([0.1, 0.2], ["a", "a"]), made, 2.0, 5, 0)


def test_an_interval_of_one_patient_is_null():
    row = quality._row("reconstruction", "generated", "patch", np.array([0.1, 0.3]), ["a", "a"], 0)
    assert (row["lpips"], row["ci_low"], row["ci_high"], row["patients"]) == (pytest.approx(0.2), None, None, 1)


def test_collapsed_masks_overlap_fully():
    same = np.repeat(flat([0.1], ["a"]).masks, 5, 0)
    assert quality._shapes(same, 0)["pairwise_iou"] == 1.0
    assert quality._shapes(same, 0)["area"] == [64 / 1024] * 3


@pytest.fixture(scope="module")
def experiment(prepared, tmp_path_factory):  # noqa: F811
    """Prepared hosts, two barely trained models and a pool of three mammograms with a real patch in each."""
    root = tmp_path_factory.mktemp("experiment")
    (root / "prepared").mkdir()
    (root / "prepared" / "patches").symlink_to(prepared)
    hosts, made = [], []
    for item in range(3):
        tissue = np.full((90, 60), 0.4)
        write_png(root / f"prepared/train/images/h{item}.png", from_unit(tissue, np.uint16))
        write_png(root / f"prepared/train/regions/h{item}.png", np.ones(tissue.shape, np.uint8))
        hosts.append(({"file_name": f"images/h{item}.png", "height": 90, "width": 60, "image_id": f"h{item}", "patient_id": "p"}, []))
        image, mask = patch(item)
        whole = np.zeros(tissue.shape, bool)
        tissue[20:52, 10:42], whole[20:52, 10:42] = image, mask
        write_png(root / f"pool/images/{item:06d}.png", from_unit(tissue, np.uint16))
        record = {"file_name": f"images/{item:06d}.png", "height": 90, "width": 60, "image_id": f"gan_{item:06d}", "host": f"h{item}"}
        record["patient_id"] = "p"
        made.append(({**record, "centre": [26.0, 36.0], "patch_size": [32, 32]}, [coco.annotation(whole, synthetic=True)]))
    coco.write(root / "prepared/train/annotations.json", coco.assemble(hosts))
    coco.write(root / "pool/annotations.json", coco.assemble(made))
    runtime = Runtime(threads=1, precision="fp32", workers=0)
    train = GenTrain(
        iterations=2, batch=2, lr=0.001, betas=[0.5, 0.999], discriminator_width=4, perceptual_weight=1.0, perceptual_layers=[], ema=0.0
    )
    gen = Gen(
        arch="unet",
        labels="tri",
        margin=296,
        noise="mask",
        grain=0.65,
        loss="bce",
        **dict.fromkeys(("unet", "crn", "spade"), Width(width=4)),
        train=train,
    )
    shapes = Masks(
        z_dim=100, width=8, iterations=60, batch=16, lr=0.002, betas=[0.5, 0.999], ema=0.9, edge=0.06, min_area=0.02, max_area=0.6
    )
    infill.train(patches.read(prepared, ["train"]), root, root / "models/infill", gen, "none", runtime, 0, root / "state")
    masks.train(prepared, root / "models/masks", shapes, runtime, 0, root / "state")
    return root


def test_patches_are_cut_where_they_were_inserted(experiment):
    found = quality.cut_out(experiment / "pool", experiment / "prepared/train", 32, 2)
    assert found.images.shape == (2, 32, 32)
    image, mask = patch(1)
    assert np.abs(found.images[1] - image).max() < 1e-3
    assert np.array_equal(found.masks[1], mask)
    assert np.allclose(found.tissue, 0.4, atol=1e-3)


def test_the_report_of_the_stage_is_complete_and_repeatable(experiment, tmp_path_factory):
    weights = imagenet.folder(tmp_path_factory)
    for name in ("first", "second"):
        given = Given(experiment / "prepared", None, weights, experiment / "models", experiment / "pool", SYNTH, n=6, seed=0)
        quality.measure(given, experiment / name, [], threads=1)
    report = read_json(experiment / "first" / "quality.json")
    assert {(row["protocol"], row["what"], row["area"]) for row in report["comparisons"]} == {
        (protocol, what, area)
        for protocol, others in (("reconstruction", "blank"), ("unpaired", "real"))
        for what in ("generated", others)
        for area in ("patch", "region")
    }
    assert report["nearest_training"]["generated"] == pytest.approx(0, abs=1e-4)  # the pool holds training patches: memorised
    assert report["nearest_training"]["held_out"] > 0.01
    assert report["definitions"]["reconstruction"].startswith("held-out (val and test) patches")
    assert report["host_style"]["auc"] is None and report["host_style"]["reason"] == "fewer than 5 patients of a kind"
    for name in ("quality.json", "patches.png", "mammograms.png"):
        assert (experiment / "first" / name).read_bytes() == (experiment / "second" / name).read_bytes()
    assert read_image(experiment / "first" / "mammograms.png").ndim == 2


@pytest.mark.leak
def test_choices_can_be_made_without_a_look_at_test_patients(experiment, tmp_path, tmp_path_factory):
    """Their patches are not even there."""
    shutil.copytree(experiment / "prepared", tmp_path / "prepared")
    for item in range(20, 24):
        for kind in ("images", "masks"):
            (tmp_path / f"prepared/patches/{kind}/p{item}.png").unlink()
    more = {"n": 6, "seed": 0, "held_out": ("val",)}
    given = Given(tmp_path / "prepared", None, imagenet.folder(tmp_path_factory), experiment / "models", experiment / "pool", SYNTH, **more)
    quality.measure(given, tmp_path / "out", [], threads=1)
    report = read_json(tmp_path / "out/quality.json")
    assert {(row["n"], row["patients"]) for row in report["comparisons"] if row["protocol"] == "reconstruction"} == {(4, 2)}
    assert report["definitions"]["reconstruction"].startswith("held-out (val) patches")


@pytest.mark.leak
@pytest.mark.parametrize("name", ["masks", "infill"])
def test_a_model_that_saw_a_held_out_patient_is_not_measured(experiment, name, tmp_path, tmp_path_factory):
    shutil.copytree(experiment / "models", tmp_path / "models")
    meta = tmp_path / "models" / name / "meta.json"
    write_json(meta, {**read_json(meta), "patients": ["train0", "test10"]})
    weights = imagenet.folder(tmp_path_factory)
    given = Given(experiment / "prepared", None, weights, tmp_path / "models", experiment / "pool", SYNTH, n=6, seed=0)
    with pytest.raises(PipelineError, match=f"patient test10: in models/{name} and in the held-out patches"):
        quality.measure(given, tmp_path / "out", [], threads=1)
    assert not (tmp_path / "out").exists()
