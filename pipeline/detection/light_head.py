"""Light-Head R-CNN (Li et al. 2017, arXiv:1711.07264) as modules of MMDetection.

A ResNet with a dilated last stage; region proposals from its fourth stage (C4); a large separable convolution
that turns C5 into thin, position-sensitive maps; position-sensitive RoI alignment; one fully connected layer
before the two outputs. Everything else (anchors, assignment, losses, NMS) is MMDetection's own.
"""

import pipeline.detection.ops  # noqa: F401, I001 (before mmdet: it makes mmcv.ops importable)

import itertools
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from mmdet.models.roi_heads.bbox_heads import BBoxHead
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn
from torchvision.ops import ps_roi_align

from pipeline.detection.heads import SteadyLosses

BINS = 7  # the pooled map is BINS x BINS
THIN = 10  # channels of a pooled map


class WideConv(nn.Conv2d):
    """A 1 x k convolution; on a CPU it is done as a k x 1 one on the transposed map, up to three times as fast there."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__(inputs, outputs, (1, kernel), padding=(0, kernel // 2))

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu":
            return super().forward(x)
        turned = x.transpose(2, 3).contiguous(memory_format=torch.channels_last)
        convolved = F.conv2d(turned, self.weight.transpose(2, 3), self.bias, padding=(self.kernel_size[1] // 2, 0))
        return convolved.transpose(2, 3).contiguous(memory_format=torch.channels_last)


@MODELS.register_module()
class LargeSeparableConv(BaseModule):
    """Neck: (.., C4, C5) to (C4, thin maps); the paper's figure 3.

    Two branches of k x 1 and 1 x k convolutions, once in either order, are summed. The maps have
    THIN * BINS * BINS = 490 channels. mid_channels: 256 in the paper's large setting, 64 in its small one.
    """

    def __init__(self, in_channels: int, mid_channels: int, kernel: int = 15, init_cfg: Any = None) -> None:
        super().__init__(init_cfg or {"type": "Xavier", "layer": "Conv2d", "distribution": "uniform"})
        tall: dict[str, Any] = {"kernel_size": (kernel, 1), "padding": (kernel // 2, 0)}
        thin = THIN * BINS * BINS
        self.tall_first = nn.Sequential(nn.Conv2d(in_channels, mid_channels, **tall), WideConv(mid_channels, thin, kernel))
        self.wide_first = nn.Sequential(WideConv(in_channels, mid_channels, kernel), nn.Conv2d(mid_channels, thin, **tall))

    def forward(self, features: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        c4, c5 = features[-2:]
        return c4, (self.tall_first(c5) + self.wide_first(c5)).relu()


@MODELS.register_module()
class PSRoIAlign(BaseModule):
    """Position-sensitive RoI alignment of the thin maps: bin (i, j) pools samples of its own THIN channels.

    stride: of the thin maps, in px of the input. samples: sampling points along a side of a bin. pool: `average` of the
    points of a bin, or their `maximum`.
    """

    num_inputs = 2

    def __init__(self, stride: int, samples: int = 2, pool: str = "average") -> None:
        super().__init__()
        self.stride, self.samples, self.pool = stride, samples, pool

    def forward(self, features: tuple[Tensor, Tensor], rois: Tensor) -> Tensor:
        """rois: (R, 5), image and xyxy in px of the input. Returns (R, THIN, BINS, BINS) float32."""
        maps, rois = features[-1].float(), rois.float()
        with torch.autocast(rois.device.type, enabled=False):  # the operator has no bf16 on a CPU
            if self.pool == "average":
                return ps_roi_align(maps, rois, BINS, 1 / self.stride, self.samples)
            return torch.stack([ps_roi_align(maps, one, BINS, 1 / self.stride, 1) for one in self._shifted(rois)]).amax(0)

    def _shifted(self, rois: Tensor) -> Iterator[Tensor]:
        """RoIs moved so that the centre of each bin, its only sample, lies where one of its samples is to be."""
        bins = (rois[:, 3:] - rois[:, 1:3]) / BINS
        offsets = [(n + 0.5) / self.samples - 0.5 for n in range(self.samples)]
        for x, y in itertools.product(offsets, offsets):
            move = bins * bins.new_tensor([x, y])
            yield torch.cat([rois[:, :1], rois[:, 1:] + move.repeat(1, 2)], 1)


@MODELS.register_module()
class LightBBoxHead(SteadyLosses, BBoxHead):
    """One fully connected layer of `hidden` units (the paper: 2048), then class scores and box deltas."""

    def __init__(self, hidden: int = 2048, **more: Any) -> None:
        super().__init__(in_channels=hidden, roi_feat_size=1, reg_class_agnostic=True, **more)
        self.hidden = nn.Linear(THIN * BINS * BINS, hidden)
        self.init_cfg += [{"type": "Xavier", "distribution": "uniform", "override": {"name": "hidden"}}]

    def forward(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """pooled: (R, THIN, BINS, BINS). Returns scores (R, classes + 1) and deltas (R, 4), float32."""
        return self.outputs(self.hidden(pooled.flatten(1)).relu())
