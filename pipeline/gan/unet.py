"""U-Net generator (Ronneberger et al. 2015; paper 3.2): encoder down to 1x1, decoder with a skip connection at every level."""

from typing import Any

import torch
from torch import Tensor, nn

from pipeline.gan.layers import NOISE_PX, SLOPE, centred, doubled, hole, interpolated, norm, refine, unaffected


class UNet(nn.Module):
    """Paints a mass: condition (N, C, P, P) in [0, 1] to image (N, 1, P, P), about [0, 1], not clipped; P a power of two.

    Skip connections of levels finer than `NOISE_PX` are blanked at and next to the hole; at full resolution the condition
    with its hole closed enters (see `layers`). Features are upsampled after their convolution, which costs a quarter.
    margin: whether the condition holds noise over the margin (its channel 2) as well as over the mask.
    """

    def __init__(self, channels: int, patch_px: int, width: int, margin: bool = False) -> None:
        super().__init__()
        levels = patch_px.bit_length() - 1
        if patch_px != 2**levels or levels < 3:
            raise ValueError(f"patch_px {patch_px} is no power of two of at least 8")
        self.margin = margin
        widths = [min(2**level, 8) * width for level in range(levels)]
        inputs = [channels, *widths[:-1]]
        self.encoder = nn.ModuleList(self._down(i, o, 0 < k < levels - 1) for k, (i, o) in enumerate(zip(inputs, widths, strict=True)))
        above = [2 * w for w in widths[:-1]] + widths[-1:]  # what each decoder level gets: features and skip
        self.decoder = nn.ModuleList(refine(above[k], widths[max(k - 1, 0)]) for k in reversed(range(levels)))
        self.last = refine(width + channels, width, normalised=False)
        self.out = nn.Conv2d(width, 1, 3, padding=1)

    @staticmethod
    def _down(inputs: int, outputs: int, normalised: bool) -> nn.Sequential:
        middle = [norm(outputs)] if normalised else []
        return nn.Sequential(nn.Conv2d(inputs, outputs, 4, 2, 1), *middle, nn.LeakyReLU(SLOPE, inplace=True))

    def forward(self, condition: Tensor) -> Any:
        condition = centred(condition)
        blank = hole(condition, self.margin)
        skips = []
        x = condition
        for down in self.encoder:
            x = down(x)
            skips.append(x if x.shape[-1] <= NOISE_PX else x * unaffected(blank, x.shape[-1]))
        x = skips.pop()
        for up in self.decoder:
            x = doubled(up(x))
            if skips:
                x = torch.cat([x, skips.pop()], 1)
        base = interpolated(condition, blank)
        return (base[:, :1] + self.out(self.last(torch.cat([x, base], 1))) + 1) / 2
