"""In what precision networks compute: bf16 autocast where the device has instructions for it, else fp32."""

import logging
from functools import cache
from typing import Literal

import torch
from mmengine.device import get_device

Precision = Literal["auto", "bf16", "fp32"]


def resolved(precision: Precision) -> Literal["bf16", "fp32"]:
    """What `runtime.precision` means on the device that trainings take here: itself, or for auto bf16 where `native`, else fp32.

    bf16 that is asked for where it is not native is computed all the same; a warning says what that costs.
    """
    device = get_device()
    if precision == "auto":
        return "bf16" if native(device) else "fp32"
    if precision == "bf16" and not native(device):
        _warn(device)
    return precision


@cache
def native(device: str) -> bool:
    """Whether a device has bf16 instructions: NVIDIA since Ampere; x86 with AVX-512 BF16 or AMX. All others count as without."""
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device == "cpu" and bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


@cache
def _warn(device: str) -> None:
    message = (
        "no instructions for bf16 on this device (%s): it is emulated, at a tenth of the speed of fp32 or less; runtime.precision: auto"
    )
    logging.warning(message + " takes fp32 here", device)
