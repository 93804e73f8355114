"""The stand-in for MMCV's compiled operators against straightforward Python."""

import importlib.util
import sys
from importlib.machinery import ModuleSpec

import numpy as np
import pytest
import torch

import pipeline.detection.ops as ops


def iou(a, b, offset):
    width = min(a[2], b[2]) - max(a[0], b[0]) + offset
    height = min(a[3], b[3]) - max(a[1], b[1]) + offset
    common = max(width, 0) * max(height, 0)
    area = [(box[2] - box[0] + offset) * (box[3] - box[1] + offset) for box in (a, b)]
    return common / (sum(area) - common)


@pytest.mark.parametrize("offset", [0, 1])
def test_nms_keeps_what_a_plain_loop_keeps(offset):
    from mmcv.ops import nms

    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 40, (60, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(3, 20, (60, 2))], 1).astype(np.float32)
    scores = rng.uniform(0, 1, 60).astype(np.float32)
    kept = []
    for i in np.argsort(-scores):
        if all(iou(boxes[i], boxes[j], offset) <= 0.4 for j in kept):
            kept.append(i)
    assert 5 < len(kept) < 55
    dets, indices = nms(torch.from_numpy(boxes), torch.from_numpy(scores), 0.4, offset)
    assert indices.tolist() == kept
    np.testing.assert_array_equal(dets[:, 4].numpy(), scores[kept])


def test_nms_offset_decides_on_touching_boxes():
    boxes = torch.tensor([[0.0, 0, 9, 9], [5, 0, 14, 9]])  # px 0..9 and 5..14: 5 of 10 columns shared, IoU 50 / 150
    scores = torch.tensor([0.9, 0.8])
    assert ops.nms(boxes, scores, 0.33, offset=1).tolist() == [0]
    assert ops.nms(boxes, scores, 0.33, offset=0).tolist() == [0, 1]  # 4 of 9: 36 / 126 = .286


def bilinear(image, y, x):
    height, width = image.shape
    if not (-1 <= y <= height and -1 <= x <= width):
        return 0.0
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    y0, x0 = int(y), int(x)
    y1, x1 = min(y0 + 1, height - 1), min(x0 + 1, width - 1)
    fy, fx = y - y0, x - x0
    return (image[y0, x0] * (1 - fx) + image[y0, x1] * fx) * (1 - fy) + (image[y1, x0] * (1 - fx) + image[y1, x1] * fx) * fy


@pytest.mark.parametrize("aligned", [True, False])
def test_roi_align_forward_and_backward_by_brute_force(aligned):
    from mmcv.ops import roi_align

    rng = np.random.default_rng(1)
    maps = rng.normal(size=(2, 3, 9, 11))
    rois = np.array([[0, 4.0, 6.0, 30.0, 20.0], [1, 0.0, 2.0, 17.0, 33.0]])
    scale, bins, samples = 0.25, 2, 2
    expected = np.zeros((2, 3, bins, bins))
    for r, (image, *box) in enumerate(rois):
        x1, y1, x2, y2 = np.array(box) * scale - (0.5 if aligned else 0)
        height, width = (y2 - y1, x2 - x1) if aligned else (max(y2 - y1, 1), max(x2 - x1, 1))
        for i, j in np.ndindex(bins, bins):
            for u, v in np.ndindex(samples, samples):
                y = y1 + (i + (u + 0.5) / samples) * height / bins
                x = x1 + (j + (v + 0.5) / samples) * width / bins
                for c in range(3):
                    expected[r, c, i, j] += bilinear(maps[int(image), c], y, x) / samples**2
    features = torch.tensor(maps, dtype=torch.float32, requires_grad=True)
    pooled = roi_align(features, torch.tensor(rois, dtype=torch.float32), (bins, bins), scale, samples, "avg", aligned)
    np.testing.assert_allclose(pooled.detach().numpy(), expected, atol=1e-5)
    # the map is linear: <gradient of sum(w * pooled), features> is sum(w * pooled)
    weight = torch.tensor(rng.normal(size=expected.shape), dtype=torch.float32)
    (pooled * weight).sum().backward()
    assert (features.grad * features).sum().item() == pytest.approx((weight * pooled).sum().item(), rel=1e-4)


def test_other_operators_raise_by_name():
    from mmcv.ops import roi_align
    from mmcv.ops.deform_conv import DeformConv2d

    with pytest.raises(NotImplementedError, match="deform_conv_forward needs MMCV's compiled operators"):
        DeformConv2d(2, 2, 3, padding=1)(torch.zeros(1, 2, 8, 8), torch.zeros(1, 18, 8, 8))
    with pytest.raises(NotImplementedError, match="maximum pooling"):
        roi_align(torch.zeros(1, 1, 4, 4), torch.zeros(1, 5), (2, 2), 1.0, 2, "max", True)


def test_it_steps_aside_where_compiled_operators_exist(monkeypatch):
    monkeypatch.delitem(sys.modules, ops.NAME)
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: ModuleSpec(name, None) if name == ops.NAME else real(name, *more))
    assert not ops.install()
    assert ops.NAME not in sys.modules
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None)
    assert ops.install()
    assert sys.modules[ops.NAME].nms is ops.nms
    assert not ops.install()
