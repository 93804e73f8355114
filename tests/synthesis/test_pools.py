import hashlib
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO

from pipeline import coco
from pipeline.errors import PipelineError
from pipeline.io import read_image
from pipeline.synthesis import inserting
from pipeline.synthesis.blending import BLENDS, feather_alpha, insert
from pipeline.synthesis.pool import Made, Method, write
from pipeline.synthesis.traditional import traditional
from pipeline.synthesis.trainset import assemble
from tests.synthesis.conftest import SIDE, disc


class Inverter:
    """Stands in for a trained generator: paints the mask white and returns the tissue elsewhere."""

    patch_px = SIDE

    def __init__(self):
        self.meta = {"margin": 296, "patients": ["p0"]}

    def fill(self, tissue, masks, noise):
        assert tissue.shape == masks.shape == noise.shape == (16, SIDE, SIDE)
        return np.where(masks, 0.95, tissue).astype(np.float32)


def methods(sources, hosts="normals"):
    placer = sources.placer(hosts, "paper", "breast")
    made = {"copy_paste": inserting.copy_paste(sources, placer), "hosts": inserting.hosts(placer)}
    made |= {"poisson": inserting.copy_paste(sources, placer, "poisson"), "blob": inserting.blob(sources, placer)}
    made["gan"] = inserting.gan(sources, placer, Inverter(), inserting.real_masks(sources), "feather")
    return made


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted((folder / "images").iterdir())}


@pytest.mark.parametrize("name", ["gan", "copy_paste", "poisson", "blob", "hosts", "traditional"])
def test_larger_pool_starts_with_the_smaller(name, sources, tmp_path):
    method = traditional(sources.train, 3) if name == "traditional" else methods(sources)[name]
    write(name, method, 5, 3, tmp_path / "a")
    write(name, method, 21, 3, tmp_path / "b")
    small, large = digests(tmp_path / "a"), digests(tmp_path / "b")
    assert len(small) == 5 and len(large) == 21 and small.items() <= large.items()
    first, second = coco.read(tmp_path / "a/annotations.json"), coco.read(tmp_path / "b/annotations.json")
    assert first["images"] == second["images"][:5]


def test_inserting_pools_share_host_centre_and_size(sources, tmp_path):
    place = {}
    for name, method in methods(sources).items():
        write(name, method, 6, 3, tmp_path / name)
        images = coco.read(tmp_path / name / "annotations.json")["images"]
        place[name] = [(image["host"], image.get("centre"), image.get("patch_size")) for image in images]
    assert place["gan"] == place["copy_paste"] == place["poisson"] == place["blob"]
    assert [one[0] for one in place["hosts"]] == [one[0] for one in place["gan"]]


def test_masks_boxes_and_pixels_agree(sources, tmp_path):
    write("gan", methods(sources)["gan"], 6, 3, tmp_path / "gan")
    loaded = COCO(tmp_path / "gan/annotations.json")
    assert len(loaded.imgs) == 6 and all(image["synthetic"] for image in loaded.imgs.values())
    for image in loaded.imgs.values():
        (one,) = loaded.loadAnns(loaded.getAnnIds(image["id"]))
        mask = loaded.annToMask(one).astype(bool)
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        assert one["bbox"] == [columns[0], rows[0], np.ptp(columns) + 1, np.ptp(rows) + 1] and one["area"] == mask.sum()
        pixels = read_image(tmp_path / "gan" / image["file_name"])
        assert pixels.dtype == np.uint16 and pixels[mask].mean() > 0.9 * 65535
        host = read_image(sources.train / "images" / f"{image['host']}.png")
        region = read_image(sources.train / "regions" / f"{image['host']}.png")
        assert (region[mask] == 1).all()
        x, y = (int(c - s / 2) for c, s in zip(image["centre"], image["patch_size"], strict=True))
        frame = np.zeros(host.shape, bool)
        frame[max(y, 0) : y + image["patch_size"][1], max(x, 0) : x + image["patch_size"][0]] = True
        assert (pixels[~frame] == host[~frame]).all() and (pixels[region == 0] == host[region == 0]).all()


def test_pasted_mass_never_comes_from_the_hosts_patient(sources, tmp_path):
    write("copy_paste", methods(sources, "lesion_free")["copy_paste"], 16, 3, tmp_path / "cp")
    images = coco.read(tmp_path / "cp/annotations.json")["images"]
    donors = {patch.name: patch.patient_id for patch in sources.patches}
    assert all(donors[image["source_patch"]] != image["patient_id"] for image in images)


@pytest.mark.parametrize(("ratio", "angle"), [(1.0, 0.0), (2.0, 0.5), (3.0, 2.0)])
def test_ellipse_masks_keep_area_proportions_and_direction(ratio, angle):
    """An ellipse becomes itself about the patch's centre; a shape with holes and notches keeps its area."""
    rows, columns = np.mgrid[:64, :64]
    u, v = (columns - 26) * np.cos(angle) + (rows - 36) * np.sin(angle), (rows - 36) * np.cos(angle) - (columns - 26) * np.sin(angle)
    mask = (u / (6 * ratio)) ** 2 + (v / 6) ** 2 <= 1
    found = inserting.as_ellipse(mask)
    shifted = np.roll(mask, (-4, 6), (0, 1))
    assert (found & shifted).sum() / (found | shifted).sum() > 0.85
    notched = mask & (rows % 4 > 0)
    assert inserting.as_ellipse(notched).sum() == pytest.approx(notched.sum(), rel=0.03)


def test_ellipse_masks_are_those_of_the_real_ones(sources):
    real, smooth = inserting.MASKS["real"](sources), inserting.MASKS["ellipse"](sources)
    for item in range(5):
        assert smooth.draw(item, 0).sum() == pytest.approx(real.draw(item, 0).sum(), rel=0.05)
    assert (smooth.kind, smooth.patients) == ("ellipse", real.patients)


def test_real_lesion_of_a_host_stays_annotated(sources, tmp_path):
    for name, lesions in (("gan", 2), ("hosts", 1)):
        write(name, methods(sources, "lesion_free")[name], 4, 3, tmp_path / name)
        count = Counter(one["image_id"] for one in coco.read(tmp_path / name / "annotations.json")["annotations"])
        assert count == dict.fromkeys(range(1, 5), lesions)


def test_traditional_moves_pixels_and_mask_together(sources, tmp_path):
    write("traditional", traditional(sources.train, 3), 12, 3, tmp_path / "t")
    dataset = coco.read(tmp_path / "t/annotations.json")
    lesions = coco.by_image(dataset)
    changed = 0
    for image in dataset["images"]:
        pixels = read_image(tmp_path / "t" / image["file_name"])
        (one,) = lesions[image["id"]]
        assert np.median(pixels[coco.decode(one["segmentation"])]) > 55000
        changed += bool((pixels != read_image(sources.train / "images" / f"{image['host']}.png")).any())
    assert changed == 12


def test_manifest_lists_every_patient_whose_pixels_it_holds(sources, tmp_path):
    write("copy_paste", methods(sources)["copy_paste"], 8, 3, tmp_path / "cp")
    manifest = json.loads((tmp_path / "cp/manifest.json").read_text())
    assert set(manifest["patients"]) == {"p0", "p1", "p2", "p3"}


def test_trainset_holds_real_lesion_images_and_the_pools_first(sources, tmp_path):
    write("gan", methods(sources)["gan"], 6, 3, tmp_path / "pools/gan")
    out = tmp_path / "sets/p"
    dataset = assemble(sources.train, tmp_path / "pools", {"gan": 4}, out)
    names = [image["image_id"] for image in dataset["images"]]
    assert names == [f"gan_{i:06d}" for i in range(4)] + [f"mass{i}" for i in range(4)]
    assert [image["id"] for image in dataset["images"]] == list(range(1, 9)) and len(dataset["annotations"]) == 8
    for image in dataset["images"]:
        assert hashlib.sha256((out / image["file_name"]).resolve().read_bytes()).hexdigest() == image["sha256"]
    with pytest.raises(PipelineError, match="9 images of pool gan are needed, which holds 6"):
        assemble(sources.train, tmp_path / "pools", {"gan": 9}, out)


def test_pool_whose_box_and_mask_disagree_is_not_written(tmp_path):
    lesion = {**coco.annotation(disc(10, 10, 4, (30, 20))), "bbox": [0, 0, 5, 5]}
    made = Made(np.zeros((30, 20), np.uint8), {"patient_id": "p"}, [lesion], frozenset({"p"}))
    with pytest.raises(PipelineError, match="does not fit its mask"):
        write("x", Method(lambda items: [made for _ in items]), 1, 0, tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_feather_is_one_on_the_core_and_fades_to_the_border():
    core = disc(20, 15, 6, (30, 40))
    alpha = feather_alpha(core)
    assert (alpha[core] == 1).all() and alpha[0].max() < 0.05 and alpha[:, -1].max() < 0.05
    assert (np.diff(alpha[15, 26:]) <= 0).all() and 0.3 < alpha[15, 32] < 0.7


def test_insertion_keeps_the_host_to_the_bit_where_it_is_not_free_and_rounds_16_bit():
    host = np.arange(600, dtype=np.uint16).reshape(20, 30) * 100 + 1
    free = np.zeros((5, 6), bool)
    free[2, 3] = True
    result = insert(host, np.full((5, 6), 0.3, np.float32), free, (slice(4, 9), slice(10, 16)))
    expected = host.copy()
    expected[6, 13] = 19661  # 0.3 * 65535 = 19660.5 (float32 0.3 lies above)
    assert (result == expected).all() and result.dtype == np.uint16


def test_poisson_solves_its_equation():
    rng = np.random.default_rng(0)
    host, patch = rng.random((2, 12, 15)).astype(np.float32)
    free = disc(7, 6, 4, (12, 15))
    result = BLENDS["poisson"](host, patch, free.astype(np.float32), free).astype(float)
    laplace = [4 * f[1:-1, 1:-1] - f[:-2, 1:-1] - f[2:, 1:-1] - f[1:-1, :-2] - f[1:-1, 2:] for f in (result, patch.astype(float))]
    assert np.abs((laplace[0] - laplace[1])[free[1:-1, 1:-1]]).max() < 1e-5 and (result[~free] == host[~free]).all()


def test_poisson_of_a_constant_step_takes_the_hosts_level():
    host, patch = np.full((9, 9), 0.5, np.float32), np.full((9, 9), 0.1, np.float32)
    free = disc(4, 4, 3, (9, 9))
    assert np.allclose(BLENDS["poisson"](host, patch, free.astype(np.float32), free), 0.5)
