"""Light-Head R-CNN (Li et al. 2017, arXiv:1711.07264) as modules of MMDetection.

A ResNet with a dilated last stage; region proposals from its fourth stage (C4); a large separable convolution
that turns C5 into thin, position-sensitive maps; position-sensitive RoI alignment; one fully connected layer
before the two outputs. Everything else (anchors, assignment, losses, NMS) is MMDetection's own.
"""

import pipeline.detection.ops  # noqa: F401, I001 (before mmdet: it makes mmcv.ops importable)

from typing import Any

import torch
import torch.nn.functional as F
from mmdet.models.dense_heads import RPNHead
from mmdet.models.roi_heads.bbox_heads import BBoxHead
from mmdet.models.task_modules.assigners import MaxIoUAssigner
from mmdet.registry import MODELS, TASK_UTILS
from mmengine.model import BaseModule
from torch import Tensor, nn
from torchvision.ops import ps_roi_align

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
class C4RPNHead(RPNHead):
    """MMDetection's region proposal network on C4 alone."""

    def forward(self, features: tuple[Tensor, ...]) -> Any:
        scores, deltas = super().forward(features[:1])
        return [one.float() for one in scores], [one.float() for one in deltas]

    def _bbox_post_process(self, results: Any, cfg: Any, **how: Any) -> Any:
        """NMS of the best candidates alone, of more of them until `cfg.max_per_img` are kept: the same proposals in less time.

        Whether a box is kept depends on better ones only, so the first that are kept are those of all candidates.
        """
        results = results[results.scores.sort(descending=True, stable=True).indices]
        size = 2 * cfg.max_per_img
        while True:
            kept = super()._bbox_post_process(results[:size], cfg, **how)
            if len(kept) >= cfg.max_per_img or size >= len(results):
                return kept
            size *= 2


@TASK_UTILS.register_module()
class IgnoringAssigner(MaxIoUAssigner):
    """MaxIoUAssigner that spares regions to ignore in images without any mass too, where the original does not."""

    def assign(self, pred_instances: Any, gt_instances: Any, gt_instances_ignore: Any = None, **more: Any) -> Any:
        result = super().assign(pred_instances, gt_instances, gt_instances_ignore, **more)
        if not len(gt_instances) and gt_instances_ignore is not None and len(gt_instances_ignore) and len(result.gt_inds):
            inside = self.iou_calculator(pred_instances.priors, gt_instances_ignore.bboxes, mode="iof")
            result.gt_inds[inside.max(1).values > self.ignore_iof_thr] = -1
        return result


@MODELS.register_module()
class PSRoIAlign(BaseModule):
    """Position-sensitive RoI alignment of the thin maps: bin (i, j) averages its own THIN channels.

    stride: of the thin maps, in px of the input. samples: sampling points along a side of a bin.
    """

    num_inputs = 2

    def __init__(self, stride: int, samples: int = 2) -> None:
        super().__init__()
        self.stride, self.samples = stride, samples

    def forward(self, features: tuple[Tensor, Tensor], rois: Tensor) -> Tensor:
        """rois: (R, 5), image and xyxy in px of the input. Returns (R, THIN, BINS, BINS) float32."""
        with torch.autocast(rois.device.type, enabled=False):  # the operator has no bf16 on a CPU
            return ps_roi_align(features[-1].float(), rois.float(), BINS, 1 / self.stride, self.samples)


@MODELS.register_module()
class LightBBoxHead(BBoxHead):
    """One fully connected layer of `hidden` units (the paper: 2048), then class scores and box deltas."""

    def __init__(self, hidden: int = 2048, **more: Any) -> None:
        super().__init__(in_channels=hidden, roi_feat_size=1, reg_class_agnostic=True, **more)
        self.hidden = nn.Linear(THIN * BINS * BINS, hidden)
        self.init_cfg += [{"type": "Xavier", "distribution": "uniform", "override": {"name": "hidden"}}]

    def forward(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """pooled: (R, THIN, BINS, BINS). Returns scores (R, classes + 1) and deltas (R, 4), float32."""
        hidden = self.hidden(pooled.flatten(1)).relu()
        with torch.autocast(hidden.device.type, enabled=False):  # bf16 would round scores to a few hundred values
            return super().forward(hidden.float())

    def loss(self, cls_score: Tensor, *more: Any, **how: Any) -> dict[str, Tensor]:
        """MMDetection's losses; those of a batch without any RoI are 0, where the original leaves them out."""
        nothing = cls_score.sum() * 0
        return {"loss_cls": nothing, "acc": nothing.detach()} | super().loss(cls_score, *more, **how)
