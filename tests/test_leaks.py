"""Leaks planted after the split: each is caught by the stage that would have let it through."""

import csv
import json
import shutil

import pytest

from pipeline import coco, leaks
from pipeline.errors import PipelineError
from pipeline.evaluation.held_out import check_study
from pipeline.gan import patches
from pipeline.io import read_json, sha256, write_json
from pipeline.synthesis import healthy, inserting
from pipeline.synthesis.pool import write
from pipeline.synthesis.trainset import assemble
from tests.synthesis.conftest import prepared, sources  # noqa: F401 (fixtures)
from tests.synthesis.test_pools import Inverter


def rewrite(table, change):
    with open(table, newline="") as file:
        rows = [change(row) for row in csv.DictReader(file)]
    with open(table, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


@pytest.mark.leak
def test_a_patch_of_a_test_patient_among_the_training_patches_stops_the_gans(prepared):  # noqa: F811
    table = prepared / "patches/patches.csv"
    assert patches.read(prepared / "patches", ["train"]).patients == ["p0", "p0", "p1", "p1"]
    rewrite(table, lambda row: {**row, "patient_id": "p1"} if row["split"] == "test" else row)
    for parts in (["train"], ["val", "test"]):
        with pytest.raises(PipelineError, match="patient p1: in the patches of"):
            patches.read(prepared / "patches", parts)


@pytest.mark.leak
def test_a_patch_under_another_patient_than_its_image_stops_the_pools(sources):  # noqa: F811
    rewrite(sources.folder / "patches.csv", lambda row: {**row, "patient_id": "p2"} if row["patch"] == "mass0_1" else row)
    with pytest.raises(PipelineError, match="mass0_1: patient p2"):
        assert sources.patches


@pytest.mark.leak
@pytest.mark.parametrize("part", ["masks", "generator"])
def test_a_generator_that_saw_a_test_patient_paints_no_pool(sources, part):  # noqa: F811
    infiller, drawn = Inverter(), inserting.real_masks(sources)
    if part == "generator":
        infiller.meta["patients"] = ["p0", "p9"]
    else:
        drawn = inserting.MaskSource("dcgan", drawn.draw, frozenset({"p0", "p9"}))
    with pytest.raises(PipelineError, match=r"(masks|the infilling GAN): patient p9"):
        inserting.gan(sources, sources.placer("normals", "paper", "breast"), infiller, drawn, "feather")


@pytest.fixture
def study(sources, tmp_path):  # noqa: F811
    """A trainset of all training images and three GAN images, and a test part of one image of another patient."""
    drawn = inserting.MaskSource("dcgan", inserting.real_masks(sources).draw, frozenset({"p1"}))
    method = inserting.gan(sources, sources.placer("normals", "paper", "breast"), Inverter(), drawn, "feather")
    write("gan", method, 3, 3, tmp_path / "pools/gan")
    trainset = tmp_path / "sets/gan_3/annotations.json"
    coco.write(trainset, assemble(tmp_path / "train", tmp_path / "pools", {"gan": 3}, trainset.parent))
    (tmp_path / "test/images").mkdir(parents=True)
    (tmp_path / "test/images/other.png").write_bytes((tmp_path / "train/images/normal5.png").read_bytes() + b"\0")
    image = {"file_name": "images/other.png", "image_id": "other", "patient_id": "p9", "height": 96, "width": 60}
    coco.write(tmp_path / "test/annotations.json", coco.assemble([(image, [])]))
    return tmp_path


def checked(study):
    check_study({"gan_3": study / "sets/gan_3/annotations.json"}, {"test": study / "test/annotations.json"})


def test_a_sound_study_passes_and_lists_everybody(study):
    checked(study)
    info = coco.read(study / "sets/gan_3/annotations.json")["info"]
    assert info["patients"] == ["p0", "p1", "p2", "p3"]


@pytest.mark.leak
@pytest.mark.parametrize("key", ["patients", "learned_from"])
def test_a_pool_of_another_experiment_makes_no_trainset(study, key):
    manifest = study / "pools/gan/manifest.json"
    write_json(manifest, {**read_json(manifest), key: ["p0", "p9"]})
    with pytest.raises(PipelineError, match="pool gan: patient p9"):
        assemble(study / "train", study / "pools", {"gan": 3}, study / "sets/gan_3")


@pytest.mark.leak
@pytest.mark.parametrize("way", ["learned from", "shown"])
def test_a_test_patient_in_a_trainset_is_no_result(study, way):
    path = study / "sets/gan_3/annotations.json"
    whole = json.loads(path.read_text())
    learned = {"info": {**whole["info"], "patients": ["p0", "p9"]}}
    shown = {"images": [*whole["images"], {**whole["images"][0], "patient_id": "p9"}]}
    path.write_text(json.dumps(whole | (learned if way == "learned from" else shown)))
    with pytest.raises(PipelineError, match="patient p9: in gan_3 and in test"):
        checked(study)


@pytest.mark.leak
def test_the_same_image_under_another_name_and_patient_is_no_result(study):
    shutil.copy(study / "train/images/mass1.png", study / "test/images/other.png")
    with pytest.raises(PipelineError, match=r"gan_3: .*mass1\.png is test other\.png"):
        checked(study)
    digest = sha256(study / "train/images/mass1.png")
    assert digest in {image["sha256"] for image in coco.read(study / "sets/gan_3/annotations.json")["images"]}


@pytest.mark.leak
def test_hosts_are_not_painted_by_a_generator_that_saw_a_test_patient(sources, tmp_path):  # noqa: F811
    infiller = Inverter()
    infiller.meta["patients"] = ["p0", "p9"]
    with pytest.raises(PipelineError, match="the generator of healthy tissue: patient p9"):
        healthy.write_hosts(sources, infiller, tmp_path / "hosts")
    assert not (tmp_path / "hosts").exists()


def test_every_offender_is_named_at_once():
    with pytest.raises(PipelineError) as error:
        leaks.require_unseen({"a": ["p1", "p2"], "b": ["p2"]}, {"test": ["p2", "p1"]})
    assert [line.strip() for line in str(error.value).splitlines()[1:]] == [
        "- patient p1: in a and in test",
        "- patient p2: in a and in test",
        "- patient p2: in b and in test",
    ]
