"""What the generators share: how a condition enters a network at several resolutions, and how noise is kept in its place.

Four deviations from the paper, which describes its networks in a sentence each:

- Noise. The paper fills the hole with noise at full resolution (4.1, step 4). A network that hands it on pixel by pixel, by
  a skip connection or by the condition of a fine cascade module, prints it into the mass. Here noise enters at
  resolutions of at most `NOISE_PX` alone, where it varies the mass as a whole.
- Grain. Fine structure cannot be foreseen, so the feature matching of eq. 4, a mean of absolute differences, has its least
  value where there is none, and masses come out smoother than the film. `grain` goes on with the fine structure of the
  tissue around the hole: the noise of the hole, coloured by the spectrum found there. The discriminator sees it, the
  feature matching does not.
- Context. At full resolution the generators see the tissue with the hole closed smoothly, and what they paint is added to
  it. So the tissue around the mass comes out as it went in, and no outline is seen where tissue and mass meet.
- Grids. Features are upsampled by interpolation, because transposed convolutions draw grids (Odena et al. 2016).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NOISE_PX = 16  # finest resolution at which a generator sees the noise
GRAIN_SHARE = 11 / 64  # side of the window whose mean is no grain, of a patch
SLOPE = 0.2  # of leaky ReLUs


def centred(image: Tensor) -> Tensor:
    """[0, 1] to [-1, 1]."""
    return image * 2 - 1


def hole(condition: Tensor, margin: bool) -> Tensor:
    """Where the centred condition (N, C, P, P) holds noise: (N, 1, P, P) in {0, 1}; the mask, and with `margin` channel 2 too."""
    parts = condition[:, 1:3] if margin else condition[:, 1:2]
    return ((parts + 1) / 2).sum(1, keepdim=True)  # the margin is a ring around the mask: they never overlap


def interpolated(condition: Tensor, hole: Tensor) -> Tensor:
    """The centred condition (N, C, P, P) with the hole closed smoothly from the tissue around it.

    Pull-push (Gortler et al. 1996): means of the known pixels of ever larger cells, upsampled into what is unknown.
    """
    known = 1 - hole
    return torch.cat([_close(condition[:, :1] * known, known), condition[:, 1:]], 1)


def _close(image: Tensor, known: Tensor) -> Tensor:
    """image: 0 where known is 0; known: 0 or 1. Both (N, 1, S, S)."""
    if image.shape[-1] == 1:
        return image
    share = F.avg_pool2d(known, 2)
    coarse = _close(F.avg_pool2d(image, 2) / share.clamp(min=0.25), (share > 0).to(image.dtype))
    return image + (1 - known) * doubled(coarse)


def shrunk(condition: Tensor, hole: Tensor, size: int) -> Tensor:
    """The centred condition (N, C, P, P) at a coarser resolution: (N, C, size, size).

    Up to `NOISE_PX` the noise is kept and sampled (its mean over a cell would hardly vary); above it is left out.
    """
    factor = condition.shape[-1] // size
    clean = F.avg_pool2d(torch.cat([condition[:, :1] * (1 - hole), condition[:, 1:]], 1), factor)
    if size > NOISE_PX:
        return clean
    noise = condition[:, :1, factor // 2 :: factor, factor // 2 :: factor]
    return torch.cat([clean[:, :1] + F.avg_pool2d(hole, factor) * noise, clean[:, 1:]], 1)


def grain(condition: Tensor, hole: Tensor) -> Tensor:
    """Fine structure for the hole like that of the tissue around it: (N, 1, P, P), 0 outside of the hole, in units of the image.

    White noise, the condition's own, through the filter whose response is the amplitude spectrum of the known tissue less
    its local mean, `GRAIN_SHARE` of the patch wide. Deviations beyond three times their typical size are edges of the
    breast or of a lesion, no grain, and are cut. condition: centred, (N, C, P, P).
    """
    known, side = 1 - hole, condition.shape[-1]
    closed = interpolated(condition, hole)[:, :1].float()
    fine = (closed - _local_mean(closed, 2 * round(GRAIN_SHARE * side / 2) + 1)) * known
    # A hard end of what is known would count as fine structure: lines from the patch's edges, white noise from the hole's.
    rim = torch.hann_window(side + 2, periodic=False, device=fine.device)[1:-1]
    window = rim[:, None] * rim * known * F.avg_pool2d(1 - F.max_pool2d(hole, 5, 1, 2), 5, 1, 2)
    energy = window.square().mean((2, 3), keepdim=True).clamp(min=1e-4)
    typical = 1.4826 * fine.abs().where(known > 0, torch.nan).flatten(1).nanmedian(1).values.nan_to_num()[:, None, None, None]
    fine = fine.clamp(-3 * typical, 3 * typical)
    response = torch.fft.rfft2(fine * window).abs() / (side * energy.sqrt())
    white = condition[:, :1].float() * hole * 3**0.5  # uniform in [-1, 1]: standard deviation 1 after this
    return torch.fft.irfft2(torch.fft.rfft2(white) * response, s=(side, side)) * hole / 2


def _local_mean(image: Tensor, size: int) -> Tensor:
    return F.avg_pool2d(F.pad(image, (size // 2,) * 4, mode="reflect"), size, 1)


def unaffected(hole: Tensor, size: int) -> Tensor:
    """1 where a feature of an encoder at resolution `size` has seen no pixel of the hole, else 0: (N, 1, size, size).

    hole: (N, 1, P, P) in {0, 1}. The receptive field of 4x4 convolutions of stride 2 ends less than a cell beyond its own
    cell, so the cells next to the hole are left out as well.
    """
    touched = F.max_pool2d(hole, hole.shape[-1] // size)
    return 1 - F.max_pool2d(touched, 3, 1, 1)


def norm(channels: int, affine: bool = True) -> nn.Module:
    """Layer normalisation over channels and pixels, as in CRN: it needs no batch, and works at 1x1 and 2x2 too."""
    return nn.GroupNorm(1, channels, affine=affine)


def refine(inputs: int, outputs: int, normalised: bool = True) -> nn.Sequential:
    """3x3 convolution, normalisation, leaky ReLU."""
    middle = [norm(outputs)] if normalised else []
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1), *middle, nn.LeakyReLU(SLOPE, inplace=True))


def doubled(features: Tensor) -> Tensor:
    """Bilinear upsampling by 2."""
    return F.interpolate(features, scale_factor=2.0, mode="bilinear", align_corners=False)
