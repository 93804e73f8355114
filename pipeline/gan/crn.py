"""Cascaded refinement network (Chen and Koltun 2017; paper 3.2) as a generator."""

from typing import Any

import torch
from torch import Tensor, nn

from pipeline.gan.layers import centred, doubled, interpolated, refine, shrunk


class CascadedRefinement(nn.Module):
    """Paints a mass: condition (N, C, P, P) in [0, 1] to image (N, 1, P, P), about [0, 1], not clipped; P a power of two.

    Modules work at 2x2, 4x4, ... P x P pixels. Each sees the condition at its own resolution (its noise up to
    `layers.NOISE_PX`) beside the upsampled features of the module before it, and has two 3x3 convolutions.
    width: channels at full resolution; they double with every halving of the resolution, up to four times.
    """

    def __init__(self, channels: int, patch_px: int, width: int) -> None:
        super().__init__()
        levels = patch_px.bit_length() - 1
        if patch_px != 2**levels or levels < 1:
            raise ValueError(f"patch_px {patch_px} is no power of two of at least 2")
        self.sizes = [2**level for level in range(1, levels + 1)]
        widths = [width * min(patch_px // size, 4) for size in self.sizes]
        before = [0, *widths[:-1]]
        self.cascade = nn.ModuleList(nn.Sequential(refine(b + channels, w), refine(w, w)) for b, w in zip(before, widths, strict=True))
        self.out = nn.Conv2d(width, 1, 1)

    def forward(self, condition: Tensor) -> Any:
        condition = centred(condition)
        x = self.cascade[0](shrunk(condition, 2))
        for size, module in zip(self.sizes[1:], list(self.cascade)[1:], strict=True):
            x = module(torch.cat([doubled(x), shrunk(condition, size)], 1))
        return (interpolated(condition)[:, :1] + self.out(x) + 1) / 2
