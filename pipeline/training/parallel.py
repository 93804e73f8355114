"""One training in several processes (``torchrun``) that computes what one process with the whole batch does, up to rounding.

Every process has a part of each batch. Losses and gradients are averaged over the processes, batch normalisation has the
statistics of all parts, and what is drawn at random is drawn for the whole batch in every process. (PyTorch's
SyncBatchNorm works on GPUs alone, and its DistributedDataParallel does not expect that a discriminator is frozen in turn.)
"""

import os
from collections.abc import Iterable
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

Model = TypeVar("Model", bound=nn.Module)


def start() -> tuple[int, int]:
    """Rank of this process and number of processes, as ``torchrun`` has set them; they are connected at the first call."""
    rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    if world > 1 and not dist.is_initialized():
        gpus = torch.cuda.is_available()
        if gpus:
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
        dist.init_process_group("nccl" if gpus else "gloo")
    return rank, world


def processes() -> int:
    """Number of processes that share a training; 1 where none was started by `start`."""
    return dist.get_world_size() if dist.is_initialized() else 1


def mine(values: Tensor) -> Tensor:
    """The rows of this process, of values (N, ..) drawn for a whole batch; the samples are dealt out in turn."""
    return values[dist.get_rank() :: dist.get_world_size()] if processes() > 1 else values


def mean(value: float) -> float:
    """The mean of a number over the processes."""
    return means([value])[0]


def means(values: Iterable[float]) -> list[float]:
    """The mean of each number over the processes."""
    values = list(values)
    if processes() == 1:
        return values
    total = torch.tensor(values, dtype=torch.float64, device=_device())
    dist.all_reduce(total)
    return [float(value) for value in total / processes()]


def largest(values: Iterable[int]) -> list[int]:
    """The largest of each number over the processes."""
    found = torch.tensor(list(values), device=_device())
    if processes() > 1:
        dist.all_reduce(found, dist.ReduceOp.MAX)
    return [int(value) for value in found]


def weighted(loss: Tensor, count: int) -> Tensor:
    """The mean over `count` things of this process, so that the mean over the processes is that over all things."""
    return loss * (count / max(mean(count), 1e-9)) if processes() > 1 else loss


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Put the mean over the processes in the place of every gradient. All of them must have gradients for the same weights."""
    gradients = [one.grad for one in parameters if one.grad is not None]
    if processes() == 1 or not gradients:
        return
    flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
    dist.all_reduce(flat)
    flat /= processes()
    for gradient, part in zip(gradients, flat.split([gradient.numel() for gradient in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))


def joined(model: Model) -> Model:
    """The model of the first process, with batch normalisation over all processes. Nothing is changed where there is one."""
    if processes() == 1:
        return model
    for module in model.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SharedBatchNorm2d  # the same weights and buffers under the same names
    for tensor in model.state_dict().values():
        sent = tensor.to(_device()).contiguous()
        dist.broadcast(sent, 0)
        tensor.copy_(sent)
    return model


class SharedBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation with the statistics of the parts of all processes, which are equally large."""

    def forward(self, maps: Tensor) -> Tensor:
        if not self.training or processes() == 1:
            return super().forward(maps)
        values = maps.float()
        count = values.numel() // values.shape[1] * processes()
        average = _Sum.apply(values.sum((0, 2, 3))) / count
        centred = values - average[:, None, None]
        variance = _Sum.apply(centred.square().sum((0, 2, 3))) / count
        self._remember(average.detach(), variance.detach() * count / max(count - 1, 1))
        made = centred * (variance + self.eps).rsqrt()[:, None, None]
        if self.affine:
            made = made * self.weight[:, None, None] + self.bias[:, None, None]
        return made.to(maps.dtype)

    def _remember(self, average: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(average, share)
        self.running_var.lerp_(variance, share)


class _Sum(torch.autograd.Function):
    """The sum over the processes; the gradient is that of the sum of the losses of all of them."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        total = value.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        dist.all_reduce(total)
        return total


def _device() -> str:
    return "cuda" if processes() > 1 and dist.get_backend() == "nccl" else "cpu"
