"""Cascades of refinement: generators that grow a mass from 2x2 px and see the condition at every resolution."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.gan.layers import SLOPE, centred, doubled, hole, interpolated, norm, refine, shrunk


class Cascade(nn.Module):
    """Paints a mass: condition (N, C, P, P) in [0, 1] to image (N, 1, P, P), about [0, 1], not clipped; P a power of two.

    Modules work at 2x2, 4x4, ... P x P pixels. Each sees the condition at its own resolution (its noise up to
    `layers.NOISE_PX`) beside the upsampled features of the module before it.
    width: channels at full resolution; they double with every halving of the resolution, up to four times.
    margin: whether the condition holds noise over the margin (its channel 2) as well as over the mask.
    """

    def __init__(self, channels: int, patch_px: int, width: int, margin: bool = False) -> None:
        super().__init__()
        levels = patch_px.bit_length() - 1
        if patch_px != 2**levels or levels < 1:
            raise ValueError(f"patch_px {patch_px} is no power of two of at least 2")
        self.margin = margin
        self.sizes = [2**level for level in range(1, levels + 1)]
        widths = [width * min(patch_px // size, 4) for size in self.sizes]
        before = [0, *widths[:-1]]
        self.cascade = nn.ModuleList(self.module(channels, b, w) for b, w in zip(before, widths, strict=True))
        self.out = nn.Conv2d(width, 1, 1)

    @staticmethod
    def module(channels: int, before: int, width: int) -> nn.Module:
        """The module of one resolution: forward(features (N, before, S, S), condition (N, channels, S, S)) -> (N, width, S, S)."""
        raise NotImplementedError

    def forward(self, condition: Tensor) -> Any:
        condition = centred(condition)
        blank = hole(condition, self.margin)
        x = condition[:, :0, :1, :1]  # no features yet
        for size, module in zip(self.sizes, self.cascade, strict=True):
            x = doubled(x) if x.shape[1] else x.expand(-1, -1, size, size)
            x = module(x, shrunk(condition, blank, size))
        return (interpolated(condition, blank)[:, :1] + self.out(x) + 1) / 2


class CascadedRefinement(Cascade):
    """The cascaded refinement network (Chen and Koltun 2017; paper 3.2): two 3x3 convolutions at each resolution."""

    @staticmethod
    def module(channels: int, before: int, width: int) -> nn.Module:
        return Refinement(before + channels, width)


class Refinement(nn.Module):
    """Two 3x3 convolutions of features and condition, side by side."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(refine(inputs, width), refine(width, width))

    def forward(self, features: Tensor, condition: Tensor) -> Any:
        return self.layers(torch.cat([features, condition], 1))


class Spade(Cascade):
    """Spatially adaptive normalisation (Park et al. 2019; named as future work by the paper): the condition scales and shifts
    normalised features at each pixel, so that normalising never washes it out."""

    @staticmethod
    def module(channels: int, before: int, width: int) -> nn.Module:
        return SpadeBlock(channels, before, width) if before else Refinement(channels, width)


class SpadeBlock(nn.Module):
    """Residual block of two modulated 3x3 convolutions (Park et al. 2019, figure 4)."""

    def __init__(self, channels: int, before: int, width: int) -> None:
        super().__init__()
        self.first, self.second = Modulated(channels, before, width), Modulated(channels, width, width)
        self.short = nn.Conv2d(before, width, 1, bias=False) if before != width else nn.Identity()

    def forward(self, features: Tensor, condition: Tensor) -> Any:
        return self.short(features) + self.second(self.first(features, condition), condition)


class Modulated(nn.Module):
    """Normalisation with scale 1 + gamma and shift beta that follow from the condition, leaky ReLU, 3x3 convolution."""

    def __init__(self, channels: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.norm = norm(inputs, affine=False)
        hidden = max(inputs // 2, 8)
        self.modulation = nn.Sequential(nn.Conv2d(channels, hidden, 3, padding=1), nn.ReLU(), nn.Conv2d(hidden, 2 * inputs, 3, padding=1))
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1)

    def forward(self, features: Tensor, condition: Tensor) -> Any:
        gamma, beta = self.modulation(condition).chunk(2, 1)
        return self.conv(F.leaky_relu(self.norm(features) * (1 + gamma) + beta, SLOPE))
