"""Images and boxes as the detector gets them."""

import json

import numpy as np
import pytest
import torch

from pipeline import coco
from pipeline.detection import data
from pipeline.errors import PipelineError
from pipeline.io import sha256, write_png
from tests.detection.conftest import DETECTOR, write_set

AUGMENT = DETECTOR.augment


@pytest.mark.parametrize(("dtype", "value"), [(np.uint8, 51), (np.uint16, 13107)])
def test_depth_is_kept(tmp_path, dtype, value):
    write_png(tmp_path / "a.png", np.full((4, 3), value, dtype))
    np.testing.assert_allclose(data.load(tmp_path / "a.png", None), 0.2)


def test_twelve_bits_in_sixteen_survive(tmp_path):
    """4096 grey values stay 4096; a reading as 8-bit colour would leave 256."""
    write_png(tmp_path / "a.png", (np.arange(4096, dtype=np.uint16) * 16).reshape(64, 64))
    assert len(np.unique(data.load(tmp_path / "a.png", None))) == 4096


def test_sizes_follow_the_rule_of_short_and_long_side(tmp_path):
    assert data.scale_to(100, 50, None) == 1
    assert data.scale_to(100, 50, (40, 100)) == 0.8  # the short side decides
    assert data.scale_to(100, 20, (40, 100)) == 1.0  # the long side decides
    write_png(tmp_path / "a.png", np.full((100, 50), 10, np.uint8))
    assert data.load(tmp_path / "a.png", (40, 100)).shape == (80, 40)


def test_outline_is_that_of_the_mask_and_else_of_the_box():
    mask = np.zeros((20, 20), bool)
    mask[5:8, 4:10] = True
    for annotation in (coco.annotation(mask), {"bbox": [4, 5, 6, 3]}):
        points = data.outline(annotation)
        assert {tuple(point) for point in points} == {(4, 5), (10, 5), (4, 8), (10, 8)}


def test_augmented_images_and_boxes_agree():
    """The bright px of a warped image span the box computed from the mask's outline, to a px."""
    mask = np.zeros((80, 60), bool)
    rows, columns = np.mgrid[:80, :60]
    mask[(rows - 45) ** 2 / 100 + (columns - 25) ** 2 / 49 <= 1] = True
    points = data.outline(coco.annotation(mask))
    for number in range(20):
        affine, _, _ = data.draw(7, number, 80, 60, AUGMENT)
        moved = data.warp(mask.astype(np.float32), affine, 1.0, 0.0) > 0.5
        x, y, width, height = coco.bounding_box(moved)
        box = data.boxes_of([points], affine, 80, 60)[0]
        np.testing.assert_allclose(box, (x, y, x + width, y + height), atol=1.6)


def test_half_of_the_samples_are_flipped_and_all_stay_in_their_ranges():
    drawn = [data.draw(7, number, 80, 60, AUGMENT) for number in range(400)]
    scale = np.array([np.sqrt(abs(np.linalg.det(affine[:, :2]))) for affine, _, _ in drawn])
    flipped = np.mean([np.linalg.det(affine[:, :2]) < 0 for affine, _, _ in drawn])
    assert 0.42 < flipped < 0.58
    assert np.exp(-AUGMENT.scale) <= scale.min() < 0.85 and 1.18 < scale.max() <= np.exp(AUGMENT.scale)
    assert all(abs(gain - 1) <= AUGMENT.gain and abs(offset) <= AUGMENT.offset for _, gain, offset in drawn)


def test_black_stays_black():
    image = np.zeros((30, 30), np.float32)
    image[10:20, 10:20] = 0.5
    affine = np.array([[1.0, 0, 0], [0, 1, 0]])
    moved = data.warp(image, affine, 1.2, 0.1)
    assert moved[0, 0] == 0
    np.testing.assert_allclose(moved[15, 15], 0.7)


def test_a_sample_depends_on_its_number_alone(tmp_path):
    images = data.MassImages(write_set(tmp_path), None, seed=1, augment=AUGMENT)
    first, again, other = images[2, 5], images[2, 5], images[2, 6]
    assert torch.equal(first["inputs"], again["inputs"]) and not torch.equal(first["inputs"], other["inputs"])
    assert first["inputs"].shape == (3, 64, 48) and torch.equal(first["inputs"][0], first["inputs"][2])
    truth = first["data_samples"].gt_instances
    assert truth.bboxes.shape == (1, 4) and truth.labels.tolist() == [0]
    bright = coco.bounding_box((first["inputs"][0] > 0.45).numpy())
    np.testing.assert_allclose(truth.bboxes[0], coco.xyxy(np.array(bright)), atol=2.5)


def test_boxes_follow_the_size_of_the_input(tmp_path):
    annotations = write_set(tmp_path)
    whole, half = (data.MassImages(annotations, size, seed=1, augment=AUGMENT)[0, 3] for size in (None, (24, 32)))
    assert half["inputs"].shape == (3, 32, 24)
    np.testing.assert_allclose(half["data_samples"].gt_instances.bboxes * 2, whole["data_samples"].gt_instances.bboxes, atol=1e-3)


def test_crowd_annotations_are_ignored_instances(tmp_path):
    annotations = write_set(tmp_path)
    dataset = json.loads(annotations.read_text())
    dataset["annotations"][0]["iscrowd"] = 1
    annotations.write_text(json.dumps(dataset))
    sample = data.MassImages(annotations, None, seed=1, augment=AUGMENT)[0, 0]["data_samples"]
    assert len(sample.gt_instances) == 0 and len(sample.ignored_instances) == 1


def test_images_that_differ_from_the_annotations_are_all_named(tmp_path):
    annotations = write_set(tmp_path)
    write_png(tmp_path / "images" / "3.png", np.zeros((64, 56), np.uint8))
    (tmp_path / "images" / "5.png").unlink()
    with pytest.raises(PipelineError, match=r"(?s)\(2\).*3\.png: sha256 differs.*5\.png: no such image"):
        data.MassImages(annotations, None, seed=1, augment=AUGMENT)
    assert sha256(tmp_path / "images" / "2.png") == json.loads(annotations.read_text())["images"][2]["sha256"]
