"""Depthwise convolutions on a CPU, up to twenty times as fast in training as oneDNN's own, with the same numbers.

oneDNN has quick kernels for the gradients of a depthwise convolution of 3 x 3 without dilation alone; others go through
ones for grouped convolutions, which compute 16 x 16 channels where one is wanted. So a dilated convolution is done as a
plain one on every `dilation`-th px, and the gradient of a 5 x 5 kernel is put together from those of 3 x 3 kernels.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

SIDES = (3, 5)  # of the kernels that are done here


def depthwise(maps: Tensor, kernels: Tensor, offsets: Tensor | None = None, dilation: int = 1) -> Tensor:
    """Each channel of maps (N, C, H, W) through its kernel of (C, 1, K, K), K in SIDES; stride 1, as large as the maps, zeros around.

    offsets: (C,), added. All of one type, float32 or bfloat16 (sums are in float32). Equals ``conv2d`` with groups=C up to rounding.
    """
    made: Tensor = _Depthwise.apply(maps, kernels, offsets, dilation)
    return made


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, maps: Tensor, kernels: Tensor, offsets: Tensor | None, dilation: int) -> Tensor:
        taken = _phases(maps, dilation)
        ctx.save_for_backward(taken, kernels)
        ctx.dilation = dilation
        return _joined(_filtered(taken, kernels, offsets), dilation, maps.shape)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        taken, kernels = ctx.saved_tensors
        gradient = _phases(gradients[0], ctx.dilation)
        of_maps = of_kernels = of_offsets = None
        if ctx.needs_input_grad[0]:
            of_maps = _joined(_filtered(gradient, kernels.flip(2, 3)), ctx.dilation, gradients[0].shape)
        if ctx.needs_input_grad[1]:
            of_kernels = _kernel_gradient(taken, gradient, kernels.shape[-1])
        if ctx.needs_input_grad[2]:
            of_offsets = gradient.sum((0, 2, 3))
        return of_maps, of_kernels, of_offsets, None


def _filtered(maps: Tensor, kernels: Tensor, offsets: Tensor | None = None) -> Tensor:
    return F.conv2d(maps, kernels, offsets, padding=kernels.shape[-1] // 2, groups=len(kernels))


def _phases(maps: Tensor, dilation: int) -> Tensor:
    """Every dilation-th px, from each start: (N, C, H, W) to (N * dilation**2, C, H / dilation, W / dilation), rounded up with zeros."""
    if dilation == 1:
        return maps.contiguous(memory_format=torch.channels_last)
    n, channels, height, width = maps.shape
    rows, columns = -(-height // dilation), -(-width // dilation)
    taken = maps.new_zeros(dilation, dilation, n, rows, columns, channels).permute(0, 1, 2, 5, 3, 4)
    for i in range(dilation):
        for j in range(dilation):
            part = maps[:, :, i::dilation, j::dilation]
            taken[i, j, :, :, : part.shape[2], : part.shape[3]] = part
    return taken.flatten(0, 2)


def _joined(taken: Tensor, dilation: int, shape: torch.Size) -> Tensor:
    """The maps (N, C, H, W) whose `_phases` were taken."""
    if dilation == 1:
        return taken
    n, channels, height, width = shape
    maps = taken.new_empty(n, height, width, channels).permute(0, 3, 1, 2)
    parts = taken.unflatten(0, (dilation, dilation, n))
    for i in range(dilation):
        for j in range(dilation):
            part = maps[:, :, i::dilation, j::dilation]
            part.copy_(parts[i, j, :, :, : part.shape[2], : part.shape[3]])
    return maps


def _kernel_gradient(maps: Tensor, gradient: Tensor, side: int) -> Tensor:
    """(C, 1, side, side): sums over all px of the gradient times the maps moved by each tap."""
    if side == 3:
        return _three(maps, gradient, (1, 1))
    # All images one below the other, with `half` rows and columns of zeros before each: where a row ends, the zeros of the
    # next one follow. So the maps moved by some px are a piece of the same memory, and nothing is copied for a tap.
    n, channels, height, width = maps.shape
    half = side // 2
    rows, columns = n * (height + half), width + half
    padded = maps.new_zeros((rows + side) * columns, channels)
    padded[: rows * columns].view(n, height + half, columns, channels)[:, half:, half:] = maps.permute(0, 2, 3, 1)
    aligned = maps.new_zeros(n, height + half, columns, channels)
    aligned[:, :height, 1 : width + 1] = gradient.permute(0, 2, 3, 1)  # a column on, for the zeros that conv2d pads with
    aligned = aligned.view(1, rows, columns, channels).permute(0, 3, 1, 2)
    found = maps.new_empty(channels, 1, side, side)
    for y in range(0, side - 1, 2):
        for x in range(0, side - 1, 2):
            begun = y * columns + x
            moved = padded[begun : begun + (rows + 2) * columns].view(1, rows + 2, columns, channels).permute(0, 3, 1, 2)
            found[:, :, y : y + 3, x : x + 3] = _three(moved, aligned, (0, 1))
    return found


def _three(maps: Tensor, gradient: Tensor, padding: tuple[int, int]) -> Tensor:
    """Gradient of the kernels of a 3 x 3 depthwise convolution: (C, 1, 3, 3)."""
    channels = maps.shape[1]
    kernels = maps.new_empty(channels, 1, 3, 3)
    wanted = (False, True, False)
    made: Tensor = torch.ops.aten.convolution_backward(
        gradient, maps, kernels, None, (1, 1), padding, (1, 1), False, (0, 0), channels, wanted
    )[1]
    return made
