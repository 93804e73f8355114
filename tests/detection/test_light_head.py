"""The modules of Light-Head R-CNN: shapes, numbers of weights and pooled values worked out by hand."""

import re

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from pipeline.detection import config
from pipeline.detection.heads import FloatRPNHead
from pipeline.detection.light_head import LargeSeparableConv, LightBBoxHead, PSRoIAlign, WideConv
from pipeline.params import Detector, check, read_yaml
from pipeline.profile import merge, read
from tests.code_deps import ROOT
from tests.detection.conftest import DETECTOR


def count(module):
    return sum(weight.numel() for weight in module.parameters())


def detector(**changes):
    return config.build(config.model(DETECTOR.model_copy(update=changes)))


def test_every_bin_pools_its_own_channel():
    """Map (c, i, j) is filled with its own index, so the pooled bin (c, i, j) of any box inside is that index."""
    maps = torch.arange(490.0).view(1, 490, 1, 1).expand(1, 490, 20, 20).bfloat16().float()
    pooled = PSRoIAlign(stride=8)((None, maps), torch.tensor([[0, 20.0, 30.0, 90.0, 100.0]]))
    assert pooled.shape == (1, 10, 7, 7)
    torch.testing.assert_close(pooled.flatten(), maps[0, :, 0, 0])


def test_pooled_values_of_a_ramp_are_those_at_the_centres_of_the_bins():
    columns = torch.arange(20.0).expand(1, 490, 20, 20)  # the value is the column
    box = torch.tensor([[0, 16.0, 16.0, 72.0, 72.0]])  # columns 2 to 9 of the map in bins of 1; centre of px k is k + .5
    pooled = PSRoIAlign(stride=8)((None, columns), box)
    torch.testing.assert_close(pooled[0, 0, 0], torch.arange(2.0, 9.0))


def test_pooling_runs_under_autocast_and_has_a_gradient():
    maps = torch.rand(1, 490, 6, 6, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        pooled = PSRoIAlign(stride=8)((None, maps.bfloat16()), torch.tensor([[0, 8.0, 8.0, 40.0, 40.0]]))
    assert pooled.dtype == torch.float32
    pooled.sum().backward()
    assert float(maps.grad.sum()) == pytest.approx(490.0, rel=1e-2)  # each of 490 bins is a mean of its map


def test_maximum_and_average_are_of_the_same_samples():
    """Two samples along each side of a bin of 2 px: the four px of the bin, worked out by hand."""
    maps = torch.rand(1, 490, 20, 20)
    box = torch.tensor([[0, 16.0, 16.0, 128.0, 128.0]])  # px 2 to 15 of the map, in bins of 2 x 2 px
    average, maximum = (PSRoIAlign(stride=8, pool=pool)((None, maps), box)[0] for pool in ("average", "maximum"))
    bins = maps[0, :, 2:16, 2:16].view(10, 7, 7, 7, 2, 7, 2)  # channel c, own bin (i, j), then rows and columns of the map
    own = torch.stack([torch.stack([bins[:, i, j, i, :, j] for j in range(7)], 1) for i in range(7)], 1).flatten(3)
    torch.testing.assert_close(average, own.mean(-1))
    torch.testing.assert_close(maximum, own.amax(-1))


def test_hard_examples_are_those_with_the_largest_loss(monkeypatch):
    """Eight regions of background, of which the head takes three for a mass: these are what a sample of three holds."""
    head = detector(ohem=True).roi_head
    assert head.bbox_sampler.num == 256 and detector().roi_head.bbox_sampler.num == 128
    scores = torch.tensor([[4.0, 0], [0, 3], [2, 0], [0, 5], [0, 0], [3, 0], [-1, 0], [0, 9]])  # mass, background
    monkeypatch.setattr(head, "_bbox_forward", lambda feats, rois: {"cls_score": scores})
    chosen = head.bbox_sampler.hard_mining(torch.arange(8), 3, torch.zeros(8, 4), torch.ones(8, dtype=torch.long), None)
    assert sorted(chosen.tolist()) == [0, 2, 5]


def test_the_large_separable_convolution_by_hand():
    neck = LargeSeparableConv(in_channels=256, mid_channels=64)
    # two branches of 15 x 1 and 1 x 15, with biases
    assert count(neck) == 2 * (256 * 64 * 15 + 64 + 64 * 490 * 15 + 490) == 1_433_428
    c4, c5 = torch.zeros(1, 8, 21, 19), torch.zeros(1, 256, 21, 19)
    c5[0, :, 10, 9] = 1.0
    first, thin = neck((c4, c5))
    assert first is c4 and thin.shape == (1, 490, 21, 19)
    reached = (thin[0] != neck((c4, torch.zeros_like(c5)))[1][0]).any(0).nonzero()
    assert reached.min(0).values.tolist() == [3, 2] and reached.max(0).values.tolist() == [17, 16]  # 7 px to each side


def test_a_wide_convolution_is_the_plain_one():
    wide = WideConv(5, 7, 15)
    plain = torch.nn.Conv2d(5, 7, (1, 15), padding=(0, 7))
    plain.load_state_dict(wide.state_dict())
    results = []
    for conv in (wide, plain):
        x = torch.arange(5 * 6 * 19.0).view(1, 5, 6, 19).sin().requires_grad_()
        (conv(x) ** 2).sum().backward()
        results.append((conv(x), x.grad, conv.weight.grad, conv.bias.grad))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kept", [5, 60, 400])
def test_proposals_are_those_of_nms_over_all_candidates(kept):
    """400 candidates, many of them alike and some of equal score; the box of rank k is kept or not whatever follows it."""
    head = detector(proposals=[kept, kept]).rpn_head
    rng = torch.Generator().manual_seed(3)
    corner = torch.rand(400, 2, generator=rng) * 80
    boxes = torch.cat([corner, corner + 15 + torch.rand(400, 2, generator=rng) * 15], 1)
    scores = torch.rand(400, generator=rng).mul(50).round() / 50
    made = [InstanceData(bboxes=boxes, scores=scores, level_ids=torch.zeros(400, dtype=torch.long)) for _ in range(2)]
    made[1] = made[1][scores.sort(descending=True, stable=True).indices]
    ours = head._bbox_post_process(made[0], head.test_cfg)
    theirs = super(FloatRPNHead, head)._bbox_post_process(made[1], head.test_cfg)
    assert 5 <= len(theirs) <= kept
    assert torch.equal(ours.bboxes, theirs.bboxes) and torch.equal(ours.scores, theirs.scores)


def test_the_head_by_hand():
    head = LightBBoxHead(num_classes=1)
    assert count(head) == (490 * 2048 + 2048) + (2048 * 2 + 2) + (2048 * 4 + 4) == 1_017_862
    scores, deltas = head(torch.rand(5, 10, 7, 7))
    assert scores.shape == (5, 2) and deltas.shape == (5, 4)
    with torch.autocast("cpu", torch.bfloat16):
        assert head(torch.rand(5, 10, 7, 7))[0].dtype == torch.float32


@pytest.mark.parametrize(("depth", "weights"), [(18, 11_689_512 - 513_000), (101, 44_549_160 - 2_049_000)])
def test_backbones_have_the_weights_of_the_standard_resnet_without_its_classifier(depth, weights):
    model = detector(depth=depth, width=64, stride=16, mid=256)
    assert count(model.backbone) == weights


def test_weights_of_the_whole_detector_are_those_of_the_documentation():
    """ResNet-101 without its classifier, proposals from 1,024 channels for 15 anchors, the large convolution, the head."""
    large = (
        42_500_160 + (1024 * 512 * 9 + 512 + 512 * 15 + 15 + 512 * 60 + 60) + 2 * (2048 * 256 * 15 + 256 + 256 * 490 * 15 + 490) + 1_017_862
    )
    small = 2_798_880 + (128 * 64 * 9 + 64 + 64 * 4 + 4 + 64 * 16 + 16) + 1_433_428 + 1_017_862
    text = (ROOT / "docs/detector.md").read_text()
    for name, expected in (("paper", large), (None, small)):
        values = read_yaml(ROOT / "params.yaml")
        settings = check(merge(values, read(name, ROOT / "profiles")) if name else values)
        with torch.device("meta"):
            model = config.build(config.model(settings.detector))
        parts = [count(part) for part in (model.backbone, model.rpn_head, model.neck, model.roi_head)]
        assert count(model) == sum(parts) == expected
        assert all(f"{number:,}" in text for number in (*parts, expected))


def test_every_param_of_the_detector_is_documented():
    text = (ROOT / "docs/detector.md").read_text()
    assert [name for name in Detector.model_fields if not re.search(rf"`(synthetic\.)?{name}\b", text)] == []


def test_the_large_setting_is_the_one_of_the_paper():
    setting = config.model(DETECTOR.model_copy(update={"depth": 101, "width": 64, "stride": 16, "mid": 256, "init": "imagenet"}))
    assert setting["neck"] == {"type": "LargeSeparableConv", "in_channels": 2048, "mid_channels": 256}
    assert setting["backbone"]["dilations"][3] == 2 and setting["backbone"]["strides"][3] == 1
    assert setting["rpn_head"]["in_channels"] == 1024
    assert setting["backbone"]["frozen_stages"] == 1 and setting["backbone"]["norm_eval"]
    assert setting["test_cfg"]["rcnn"]["nms"]["iou_threshold"] == 0.5


@pytest.mark.parametrize("stride", [8, 16])
def test_both_maps_have_the_stride_that_is_asked_for(stride):
    model = detector(stride=stride)
    c4, thin = model.extract_feat(torch.zeros(2, 3, 96, 64))
    assert c4.shape == (2, 32, 96 // stride, 64 // stride)
    assert thin.shape == (2, 490, 96 // stride, 64 // stride)
    scores, deltas = model.rpn_head((c4, thin))
    assert [one.shape for one in scores] == [(2, 2, 96 // stride, 64 // stride)]
    assert [one.shape for one in deltas] == [(2, 8, 96 // stride, 64 // stride)]


def test_anchors_have_the_sides_and_ratios_of_the_params():
    model = detector(anchors=[12.0, 20.0], ratios=[1.0, 4.0])
    anchors = model.rpn_head.prior_generator.grid_priors([(2, 2)], device="cpu")[0]
    sides = {tuple(side) for side in (anchors[:, 2:] - anchors[:, :2]).round().tolist()}
    assert sides == {(12.0, 12.0), (20.0, 20.0), (6.0, 24.0), (10.0, 40.0)}
    assert ((anchors[:4, :2] + anchors[:4, 2:]) / 2).unique(dim=0).tolist() == [[4.0, 4.0]]


def test_crowd_regions_are_neither_mass_nor_background():
    model = detector(anchors=[6.0])
    losses = {}
    for name, ignored in (("none", torch.zeros(0, 4)), ("all", torch.tensor([[0.0, 0, 64, 64]]))):
        sample = DetDataSample(metainfo={"img_shape": (64, 64), "batch_input_shape": (64, 64), "pad_shape": (64, 64)})
        sample.gt_instances = InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long))
        sample.ignored_instances = InstanceData(bboxes=ignored, labels=torch.zeros(len(ignored), dtype=torch.long))
        _, losses[name] = model.parse_losses(model.loss(torch.zeros(1, 3, 64, 64), [sample]))
    assert losses["none"]["loss_rpn_cls"] > 0.1 and losses["none"]["loss_cls"] > 0.1
    assert losses["all"].keys() == losses["none"].keys()
    assert all(value == 0 for name, value in losses["all"].items())
