"""MMDetection's heads and assigner as this project trains them: under bf16, and with images and batches without any mass."""

import pipeline.detection.ops  # noqa: F401, I001 (before mmdet: it makes mmcv.ops importable)

from contextlib import nullcontext
from typing import Any

import torch
from mmdet.models.backbones import ResNet
from mmdet.models.dense_heads import RetinaHead, RPNHead
from mmdet.models.layers import ResLayer
from mmdet.models.roi_heads.bbox_heads import BBoxHead, Shared2FCBBoxHead
from mmdet.models.task_modules.assigners import MaxIoUAssigner
from mmdet.registry import MODELS, TASK_UTILS
from mmengine.model import BaseModule
from torch import Tensor, nn

from pipeline.detection.shared import EvenFactor
from pipeline.training import parallel


def _float(levels: Any) -> list[Tensor]:
    return [one.float() for one in levels]


@MODELS.register_module()
class FloatRPNHead(EvenFactor, RPNHead):
    """Region proposal network whose outputs are float32: bf16 would round scores to a few hundred values."""

    def forward(self, features: tuple[Tensor, ...]) -> Any:
        scores, deltas = super().forward(features)
        return _float(scores), _float(deltas)

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


@MODELS.register_module()
class C4RPNHead(FloatRPNHead):
    """The same on the first feature map alone, which is C4."""

    def forward(self, features: tuple[Tensor, ...]) -> Any:
        return super().forward(features[:1])


@MODELS.register_module()
class FloatRetinaHead(EvenFactor, RetinaHead):
    """RetinaNet's head with float32 outputs."""

    def forward(self, features: tuple[Tensor, ...]) -> Any:
        scores, deltas = super().forward(features)
        return _float(scores), _float(deltas)


class SteadyLosses:
    """For box heads: outputs in float32, and the same losses for every batch."""

    def outputs(self: Any, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """hidden: (R, C). Returns scores (R, classes + 1) and deltas (R, 4 or 4 classes)."""
        hidden = hidden.float()  # once, so that the gradients of both outputs are added in float32
        device = hidden.device.type
        with torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext():
            return self.fc_cls(hidden), self.fc_reg(hidden)

    def loss(self, cls_score: Tensor, *more: Any, **how: Any) -> dict[str, Tensor]:
        """MMDetection's losses; those of a batch without any RoI are 0, where the original leaves them out."""
        nothing = cls_score.sum() * 0
        found = {"loss_cls": nothing, "acc": nothing.detach()} | super().loss(cls_score, *more, **how)  # type: ignore[misc]
        return {name: parallel.weighted(value, len(cls_score)) for name, value in found.items()}


@MODELS.register_module()
class FloatBBoxHead(SteadyLosses, BBoxHead):
    """MMDetection's plain box head: the mean over the pooled map, then scores and deltas."""

    def forward(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """pooled: (R, C, H, W)."""
        return self.outputs(self.avg_pool(pooled.float()).flatten(1))


@MODELS.register_module()
class FloatShared2FCBBoxHead(SteadyLosses, Shared2FCBBoxHead):
    """MMDetection's box head of two fully connected layers."""

    def forward(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """pooled: (R, C, H, W)."""
        hidden = pooled.flatten(1)
        for layer in self.shared_fcs:
            hidden = layer(hidden).relu()
        return self.outputs(hidden)


@MODELS.register_module()
class LastStage(BaseModule):
    """The last stage of a ResNet as the shared head of Faster R-CNN C4, for any width.

    norm_eval: keep the statistics of pretrained weights.
    """

    def __init__(self, depth: int, width: int, norm_eval: bool) -> None:
        super().__init__([{"type": "Kaiming", "layer": "Conv2d"}, {"type": "Constant", "val": 1, "layer": ["_BatchNorm"]}])
        block, blocks = ResNet.arch_settings[depth]
        self.norm_eval = norm_eval
        self.layer4 = ResLayer(block, 4 * width * block.expansion, 8 * width, blocks[3], stride=2)

    def forward(self, pooled: Tensor) -> Tensor:
        """(R, C4, 14, 14) to (R, C5, 7, 7)."""
        return self.layer4(pooled)

    def train(self, mode: bool = True) -> Any:
        super().train(mode)
        if self.norm_eval:
            for module in self.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self


@TASK_UTILS.register_module()
class IgnoringAssigner(MaxIoUAssigner):
    """MaxIoUAssigner that spares regions to ignore in images without any mass too, where the original does not."""

    def assign(self, pred_instances: Any, gt_instances: Any, gt_instances_ignore: Any = None, **more: Any) -> Any:
        result = super().assign(pred_instances, gt_instances, gt_instances_ignore, **more)
        if not len(gt_instances) and gt_instances_ignore is not None and len(gt_instances_ignore) and len(result.gt_inds):
            inside = self.iou_calculator(pred_instances.priors, gt_instances_ignore.bboxes, mode="iof")
            result.gt_inds[inside.max(1).values > self.ignore_iof_thr] = -1
        return result
