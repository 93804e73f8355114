"""DCGAN (Radford et al. 2016; paper 3.1) that draws mass masks."""

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.gan.layers import SLOPE


class MaskGenerator(nn.Module):
    """Latent vectors (N, z_dim), uniform in [-1, 1], to masks (N, 1, P, P) in [-1, 1], P a power of two of at least 8.

    From 4x4 on each transposed 4x4 convolution doubles the resolution; width: channels before the last one, which double
    with every coarser layer, up to eight times.
    """

    def __init__(self, patch_px: int, z_dim: int, width: int) -> None:
        super().__init__()
        widths = _widths(patch_px, width)[::-1]
        layers: list[nn.Module] = [nn.ConvTranspose2d(z_dim, widths[0], 4, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU()]
        for inputs, outputs in pairwise(widths):
            layers += [nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.ConvTranspose2d(widths[-1], 1, 4, 2, 1))
        self.apply(_initialise)

    def forward(self, z: Tensor) -> Any:
        return torch.tanh(self.layers(z[:, :, None, None]))


class MaskDiscriminator(nn.Module):
    """Masks (N, 1, P, P) in [-1, 1] to logits (N,); the generator's mirror image without normalisation in the first layer."""

    def __init__(self, patch_px: int, width: int) -> None:
        super().__init__()
        widths = _widths(patch_px, width)
        layers: list[nn.Module] = [nn.Conv2d(1, widths[0], 4, 2, 1), nn.LeakyReLU(SLOPE)]
        for inputs, outputs in pairwise(widths):
            layers += [nn.Conv2d(inputs, outputs, 4, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.LeakyReLU(SLOPE)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4))
        self.apply(_initialise)

    def forward(self, mask: Tensor) -> Any:
        return self.layers(mask).flatten()


def _widths(patch_px: int, width: int) -> list[int]:
    """Channels at P/2, P/4, ..., 4 px."""
    levels = patch_px.bit_length() - 1
    if patch_px != 2**levels or levels < 3:
        raise ValueError(f"patch_px {patch_px} is no power of two of at least 8")
    return [min(2**level, 8) * width for level in range(levels - 2)]


def _initialise(module: nn.Module) -> None:
    """Normal weights of standard deviation 0.02 (Radford et al. 2016, section 4)."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1, 0.02)
