"""PatchGAN discriminator (Isola et al. 2017; paper 3.2): many local decisions about a pair of condition and image."""

from typing import Any

import torch
from torch import Tensor, nn

from pipeline.gan.layers import SLOPE, centred


class PatchGAN(nn.Module):
    """Decisions (logits, (N, 1, D, D)) about condition (N, C, P, P) and image (N, 1, P, P), both in [0, 1].

    At 128 px and above three layers of stride 2 give decisions about 70 x 70 px, 30 x 30 of them at 256 px (the paper).
    At 64 and 32 px such a field would be the whole patch, so two and one layers are used: 34 px (14 x 14) and 16 px (14 x 14).
    """

    def __init__(self, channels: int, patch_px: int, width: int = 64) -> None:
        super().__init__()
        strided = depth(patch_px)
        widths = [width * min(2**k, 8) for k in range(strided + 1)]
        layers: list[nn.Module] = []
        for k, (inputs, outputs) in enumerate(zip([channels + 1, *widths[:-1]], widths, strict=True)):
            normalised = [nn.InstanceNorm2d(outputs, affine=True)] if k else []
            layers += [nn.Conv2d(inputs, outputs, 4, 2 if k < strided else 1, 1), *normalised, nn.LeakyReLU(SLOPE, inplace=True)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4, 1, 1))

    def forward(self, condition: Tensor, image: Tensor) -> Any:
        return self.layers(centred(torch.cat([condition, image], 1)))


def depth(patch_px: int) -> int:
    """Number of layers of stride 2: 3 as in the paper, fewer where the receptive field would exceed about half the patch."""
    return min(3, max(1, patch_px.bit_length() - 5))


def receptive_field(patch_px: int) -> int:
    """Side in px of the square that one decision sees."""
    field = 1
    for stride in [1, 1, *[2] * depth(patch_px)]:
        field = field * stride + 4 - stride
    return field
