import hashlib
import json
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from pipeline import coco
from pipeline.errors import PipelineError
from pipeline.io import read_image, synthetic_mark, to_unit
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
        self.meta = {"margin": 296, "patients": ["p0"], "sha256": "0" * 64}
        self.judged = 0

    def fill(self, tissue, masks, noise, contrast=1.0):
        assert tissue.shape == masks.shape == noise.shape == (16, SIDE, SIDE)
        return np.where(masks, 0.95, tissue).astype(np.float32)

    def judge(self, tissue, masks, noise, painted):
        """Likes small masks."""
        self.judged += 1
        return -masks.sum((1, 2)).astype(np.float32)


def methods(sources, hosts="normals"):
    placer = sources.placer(hosts, "paper", "breast")
    made = {"copy_paste": inserting.copy_paste(sources, placer), "hosts": inserting.hosts(placer)}
    made |= {"poisson": inserting.copy_paste(sources, placer, "poisson"), "blob": inserting.blob(sources, placer)}
    for name, more in (("gan", {}), ("sham", {"labelled": False}), ("best", {"keep": 0.3})):
        made[name] = inserting.gan(sources, placer, Inverter(), inserting.real_masks(sources), "feather", **more)
    return made


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted((folder / "images").iterdir())}


@pytest.mark.parametrize("name", ["gan", "best", "sham", "copy_paste", "poisson", "blob", "hosts", "traditional"])
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
    assert place["gan"] == place["best"] == place["sham"] == place["copy_paste"] == place["poisson"] == place["blob"]
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


def test_the_discriminator_keeps_the_best_of_its_draws(sources, tmp_path):
    """keep .3 is the best of three masks at the same place; the stand-in's discriminator likes small ones."""
    areas = {}
    for name in ("gan", "best"):
        write(name, methods(sources)[name], 20, 3, tmp_path / name)
        areas[name] = [one["area"] for one in coco.read(tmp_path / name / "annotations.json")["annotations"]]
    assert all(best <= first for best, first in zip(areas["best"], areas["gan"], strict=True)) and sum(areas["best"]) < sum(areas["gan"])
    assert json.loads((tmp_path / "best/manifest.json").read_text())["best_of"] == 3


def test_sham_changes_the_host_as_gan_does_and_labels_nothing(sources, tmp_path):
    for name in ("gan", "sham"):
        write(name, methods(sources)[name], 6, 3, tmp_path / name)
    assert not coco.read(tmp_path / "sham/annotations.json")["annotations"]
    for item in range(6):
        gan, sham = (read_image(tmp_path / name / f"images/{item:06d}.png") for name in ("gan", "sham"))
        assert np.array_equal(gan, sham)  # the same stand-in for both generators


def test_every_synthetic_image_says_so_with_the_hash_of_its_origin(sources, tmp_path):
    write("gan", methods(sources)["gan"], 3, 3, tmp_path / "gan")
    manifest = json.loads((tmp_path / "gan/manifest.json").read_text())
    described = {key: value for key, value in manifest.items() if key not in ("origin", "n", "patients", "version")}
    expected = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()
    assert manifest["origin"] == expected and manifest["generator"]["sha256"] == "0" * 64
    for image in coco.read(tmp_path / "gan/annotations.json")["images"]:
        assert image["synthetic"] is True and image["origin"] == expected
        assert synthetic_mark(tmp_path / "gan" / image["file_name"]).endswith(f"origin {expected}")


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
    assert (smooth.manifest, smooth.patients) == ({"kind": "ellipse"}, real.patients)


def test_real_lesion_of_a_host_stays_annotated(sources, tmp_path):
    for name, lesions in (("gan", 2), ("hosts", 1), ("sham", 1)):
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
    for free in (disc(4, 4, 3, (9, 9)), np.ones((9, 9), bool)):  # where all is free no pixel of the host is left: its mean counts
        assert np.allclose(BLENDS["poisson"](host, patch, free.astype(np.float32), free), 0.5)


def test_blending_the_mask_alone_leaves_the_tissue_around_to_the_bit(sources):
    """4 px away from the mass the host is as it was, where `feather` brings the patch's resampled tissue; both have the same mass."""
    placer = sources.placer("normals", "paper", "breast")
    kinds = {
        blend: inserting.gan(sources, placer, Inverter(), inserting.real_masks(sources), blend).make(range(3))
        for blend in ("mask", "feather")
    }
    for before, alone, feathered in zip(inserting.hosts(placer).make(range(3)), *kinds.values(), strict=True):
        mask = coco.decode(alone.annotations[-1]["segmentation"])
        near = cv2.dilate(mask.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
        assert np.array_equal(alone.image[~near], before.image[~near])
        assert np.any(feathered.image[~near] != before.image[~near])
        assert np.array_equal(alone.image[mask], feathered.image[mask]) and np.any(alone.image[mask] != before.image[mask])


@pytest.mark.filterwarnings("error")
def test_poisson_is_never_singular():
    """Scattered, enclosed and border-filling free pixels: the solution is finite, and the host where patch and host agree."""
    rng = np.random.default_rng(0)
    host = rng.random((9, 7)).astype(np.float32)
    for share in (0.05, 0.3, 0.6, 0.9, 0.97):
        for _ in range(10):
            free = rng.random((9, 7)) < share
            result = BLENDS["poisson"](host, host + np.float32(0.1), free.astype(np.float32), free)
            assert np.allclose(result, host, atol=1e-4)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("blend", BLENDS)
def test_a_patch_of_the_hosts_own_pixels_changes_no_bit(blend, dtype):
    rng = np.random.default_rng(1)
    host = rng.integers(0, np.iinfo(dtype).max + 1, (30, 40)).astype(dtype)
    frame, core = (slice(5, 25), slice(8, 38)), disc(15, 10, 5, (20, 30))
    alpha = feather_alpha(core)
    part = to_unit(host[frame])
    assert np.array_equal(insert(host, BLENDS[blend](part, part, alpha, alpha > 0), alpha > 0, frame), host)


@pytest.mark.parametrize("blend", ["paste", "feather"])
def test_the_lesion_itself_is_unchanged_to_the_bit(blend):
    """Where alpha is 1 the result is the 16-bit patch; outside of the frame it is the host."""
    rng = np.random.default_rng(2)
    host, patch = rng.integers(0, 65536, (30, 40)).astype(np.uint16), rng.integers(0, 65536, (20, 30)).astype(np.uint16)
    frame, core = (slice(5, 25), slice(8, 38)), disc(15, 10, 5, (20, 30))
    alpha = feather_alpha(core)
    result = insert(host, BLENDS[blend](to_unit(host[frame]), to_unit(patch), alpha, alpha > 0), alpha > 0, frame)
    assert np.array_equal(result[frame][core], patch[core])
    outside = np.ones(host.shape, bool)
    outside[frame] = False
    assert np.array_equal(result[outside], host[outside])
