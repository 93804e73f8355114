"""Stand-in for MMCV's compiled extension `mmcv._ext`, on the operators of torchvision.

Importing this module makes ``mmcv.ops`` and ``mmdet`` importable where MMCV was installed without compiled
operators: NMS and RoIAlign work, every other operator raises NotImplementedError by its name when it is called.
Where the compiled extension exists nothing is changed. It has to be imported before ``mmcv.ops``; saved
configurations name it in ``custom_imports``.
"""

import importlib.util
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, NoReturn

import torch
from torchvision.ops import nms as torchvision_nms

NAME = "mmcv._ext"


def nms(boxes: torch.Tensor, scores: torch.Tensor, iou_threshold: float, offset: int) -> torch.Tensor:
    """Indices of the kept boxes, highest score first.

    boxes: (N, 4) xyxy. offset: 1 where x2 and y2 belong to the box (width x2 - x1 + 1), 0 where they bound it.
    """
    bounds = torch.cat([boxes[:, :2], boxes[:, 2:] + offset], 1).float()
    return torchvision_nms(bounds, scores.float(), iou_threshold)


def roi_align_forward(
    features: torch.Tensor, rois: torch.Tensor, output: torch.Tensor, argmax_y: torch.Tensor, argmax_x: torch.Tensor, **how: Any
) -> None:
    """RoIAlign of features (N, C, H, W) and rois (R, 5: image, xyxy) into output (R, C, h, w). Average pooling alone."""
    output.copy_(_align(features.float(), rois.float(), **how))


def roi_align_backward(
    grad_output: torch.Tensor, rois: torch.Tensor, argmax_y: torch.Tensor, argmax_x: torch.Tensor, grad_input: torch.Tensor, **how: Any
) -> None:
    """Gradient of RoIAlign with respect to the features, into grad_input (N, C, H, W)."""
    features = torch.zeros_like(grad_input, dtype=torch.float32).requires_grad_()
    with torch.enable_grad():
        pooled = _align(features, rois.float(), **how)
    grad_input.copy_(torch.autograd.grad(pooled, features, grad_output.float())[0])


def _align(
    features: torch.Tensor,
    rois: torch.Tensor,
    *,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> torch.Tensor:
    from torchvision.ops import roi_align

    if pool_mode != 1:
        raise NotImplementedError("RoIAlign with maximum pooling needs MMCV's compiled operators; use pool_mode='avg'")
    # torchvision takes any value <= 0 as "adaptive", MMCV names it 0
    return roi_align(features, rois, (aligned_height, aligned_width), spatial_scale, sampling_ratio, aligned)


class _StandIn(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def missing(*_: Any, **__: Any) -> NoReturn:
            raise NotImplementedError(f"the operator {name} needs MMCV's compiled operators, which are not installed")

        return missing


def install() -> bool:
    """Put the stand-in in the place of `mmcv._ext`; False where the compiled one exists or a stand-in is there already."""
    if NAME in sys.modules or importlib.util.find_spec(NAME) is not None:
        return False
    module = _StandIn(NAME, __doc__)
    module.__spec__ = ModuleSpec(NAME, None)  # MMEngine asks for it with find_spec
    module.__dict__.update(nms=nms, roi_align_forward=roi_align_forward, roi_align_backward=roi_align_backward)
    sys.modules[NAME] = module
    return True


install()
