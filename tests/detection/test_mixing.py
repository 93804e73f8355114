"""Which image is drawn when, with images of pools; and anchors fitted to boxes."""

import json

import numpy as np
import pytest

from pipeline.detection import anchors, mixing
from pipeline.detection.train import train
from pipeline.errors import PipelineError
from pipeline.params import Synthetic
from pipeline.training.sampling import NumberedBatches
from tests.detection.conftest import DETECTOR, RUNTIME, write_set

FLAGS = [False] * 6 + [True] * 3  # six real images, three of pools


def how(**changes):
    return Synthetic.model_validate({"mode": "add", "share": None, "pretrain": 0.5, **changes})


def drawn(settings, samples, seed=1):
    return [mixing.order(FLAGS, settings, seed, samples)(number) for number in range(samples)]


def test_by_default_all_images_are_gone_through_in_epochs():
    assert mixing.order(FLAGS, how(), 1, 100) is None
    assert mixing.order([False] * 6, how(share=0.5), 1, 100) is None  # nothing to mix


def test_a_share_holds_in_every_batch_and_both_kinds_are_gone_through_evenly():
    order = mixing.order(FLAGS, how(share=0.25), 1, 480)
    batches = [[image for image, _ in batch] for batch in NumberedBatches(9, 4, 0, 120, seed=1, order=order)]
    assert all(sum(image >= 6 for image in batch) == 1 for batch in batches)
    counts = np.bincount(np.ravel(batches), minlength=9)
    assert counts.tolist() == [60] * 6 + [40] * 3
    resumed = list(NumberedBatches(9, 4, 7, 9, seed=1, order=mixing.order(FLAGS, how(share=0.25), 1, 480)))
    assert [[image for image, _ in batch] for batch in resumed] == batches[7:9]


def test_pretraining_sees_pools_first_and_real_images_after():
    images = drawn(how(mode="pretrain", pretrain=0.25), 40)
    assert all(image >= 6 for image in images[:10]) and all(image < 6 for image in images[10:])
    assert np.bincount(images[10:]).tolist() == [5] * 6


def test_replacing_keeps_the_number_of_images():
    images = drawn(how(mode="replace"), 60)
    taken = mixing.kept(FLAGS, "replace", 1)
    assert len(taken) == 6 and taken[-3:] == [6, 7, 8] and set(images) == set(taken)
    assert mixing.kept(FLAGS, "replace", 1) == taken != mixing.kept(FLAGS, "replace", 2)
    assert mixing.kept([False] * 2 + [True] * 3, "replace", 1) == [2, 3, 4]
    assert mixing.kept(FLAGS, "add", 1) == mixing.kept([False] * 9, "replace", 1) == list(range(9))


def test_modes_that_need_real_images_say_so():
    with pytest.raises(PipelineError, match="pretrain needs real images; the training set holds 2"):
        mixing.order([True, True], how(mode="pretrain"), 1, 10)


def test_anchors_of_two_kinds_of_masses_are_their_sides():
    sides = [10.0] * 30 + [11.0] * 5 + [40.0] * 30
    assert anchors.fitted(sides, 2) == [10.0, 40.0]
    assert anchors.fitted([12.0] * 5, 4) == [12.0]
    with pytest.raises(PipelineError, match="anchors auto needs real training boxes"):
        anchors.fitted([], 4)


def test_fitted_anchors_overlap_more_than_spread_ones():
    sides = np.random.default_rng(0).lognormal(3.2, 0.45, 400)
    fitted = anchors.fitted(sides, 4)
    spread = np.geomspace(sides.min(), sides.max(), 4)
    assert fitted == sorted(fitted) == anchors.fitted(sides[::-1], 4)
    assert anchors.overlap(sides, np.array(fitted)).max(1).mean() > anchors.overlap(sides, spread).max(1).mean() + 0.03


def test_training_records_anchors_of_the_real_masses_and_the_images_that_took_part(tmp_path):
    annotations = write_set(tmp_path / "set")
    dataset = json.loads(annotations.read_text())
    for image in dataset["images"][:3]:
        image["synthetic"] = True
    annotations.write_text(json.dumps(dataset))
    real = [np.sqrt(one["bbox"][2] * one["bbox"][3]) for one in dataset["annotations"] if one["image_id"] > 3]
    settings = DETECTOR.model_copy(update={"anchors": "auto", "iterations": 1, "synthetic": how(mode="replace")})
    train(annotations, tmp_path / "mixed" / "0", settings, RUNTIME, 1, tmp_path / "state")
    from mmengine.config import Config

    made = Config.fromfile(tmp_path / "mixed" / "0" / "config.py")
    assert made.training.anchors == made.model.rpn_head.anchor_generator.scales == anchors.fitted(real, 4)
    assert made.training.images == 5 and made.training.synthetic.mode == "replace"
