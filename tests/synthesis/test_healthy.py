"""Healthy tissue for the second generator, and hosts whose masses are painted over."""

import numpy as np
import pytest

from pipeline import coco
from pipeline.errors import PipelineError
from pipeline.io import read_image, synthetic_mark, to_unit
from pipeline.synthesis import healthy, inserting
from pipeline.synthesis.pool import write
from pipeline.synthesis.sources import Sources
from tests.synthesis.conftest import SIDE
from tests.synthesis.test_pools import Inverter


class Darkener(Inverter):
    """Stands in for a generator of healthy tissue: paints a constant of 0.4."""

    def fill(self, tissue, masks, noise, contrast=1.0):
        return np.where(masks, 0.4, tissue).astype(np.float32)


@pytest.mark.parametrize("hosts", ["normals", "lesion_free", "inpainted"])
def test_healthy_patches_hold_no_mass_and_know_their_patients(sources, hosts):
    """In the fixture masses are brighter (60000) than any tissue (40000)."""
    found = healthy.patches(sources, hosts, "paper", "breast", SIDE)
    assert len(found) == len(sources.patches) and found.images.shape == found.masks.shape == (4, SIDE, SIDE)
    assert found.images.max() <= 40000 / 65535 and found.masks.any((1, 2)).all()
    donors = {patch.patient_id for patch in sources.patches}
    assert found.donors == donors and set(found.patients) <= ({"p2", "p3"} if hosts == "normals" else donors)


def test_healthy_patches_lie_elsewhere_than_the_pools(sources):
    """They are cut at places of their own, and the same ones every time."""
    first, again = (healthy.patches(sources, "lesion_free", "paper", "breast", SIDE) for _ in range(2))
    assert first.digest() == again.digest()
    other = healthy.patches(Sources(sources.train, sources.folder, 4), "lesion_free", "paper", "breast", SIDE)
    assert first.digest() != other.digest()


@pytest.fixture
def painted(sources, tmp_path):
    healthy.write_hosts(sources, Darkener(), tmp_path / "hosts")
    return tmp_path / "hosts"


def test_masses_are_painted_over_and_the_rest_keeps_its_bits(sources, painted):
    before, after = coco.read(sources.train / "annotations.json"), coco.read(painted / "annotations.json")
    lesions = coco.by_image(before)
    old = {image["image_id"]: image for image in before["images"]}
    assert [image["image_id"] for image in after["images"]] == [f"mass{k}" for k in range(4)] and not after["annotations"]
    for image in after["images"]:
        pixels, real = read_image(painted / image["file_name"]), read_image(sources.train / image["file_name"])
        (one,) = lesions[old[image["image_id"]]["id"]]
        mask = coco.decode(one["segmentation"])
        assert np.allclose(to_unit(pixels)[mask], 0.4, atol=0.02) and to_unit(real)[mask].min() > 0.9
        x, y, w, h = one["bbox"]
        far = np.ones(mask.shape, bool)
        far[max(y - h, 0) : y + 2 * h, max(x - w, 0) : x + 2 * w] = False
        assert np.array_equal(pixels[far], real[far])
        assert image["synthetic"] and "painted over" in synthetic_mark(painted / image["file_name"])


def test_pools_take_painted_hosts_where_they_are_asked_for(sources, painted, tmp_path):
    own = Sources(sources.train, sources.folder, 3, painted)
    method = inserting.gan(own, own.placer("inpainted", "paper", "breast"), Inverter(), inserting.real_masks(own), "feather")
    write("gan", method, 6, 3, tmp_path / "gan")
    dataset = coco.read(tmp_path / "gan/annotations.json")
    assert {image["host"] for image in dataset["images"]} == {f"mass{k}" for k in range(4)}
    assert len(dataset["annotations"]) == 6  # the real masses are gone
    with pytest.raises(PipelineError, match=r"synth\.hosts is inpainted"):
        sources.placer("inpainted", "paper", "breast")
