"""What happens around each training step: seeds, learning rate, the loss table, checkpoints, progress."""

import logging
import math
import random
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.model import ExponentialMovingAverage
from mmengine.registry import MODELS

from pipeline.errors import PipelineError
from pipeline.io import write_text
from pipeline.progress import track
from pipeline.rng import integer
from pipeline.training import checkpoints, parallel

log = logging.getLogger(__name__)


def seed_all(seed: int, *keys: int | str) -> None:
    """Seed torch, NumPy and random from (seed, keys)."""
    word = integer(seed, *keys)
    torch.manual_seed(word)
    np.random.seed(word)  # noqa: NPY002 (libraries draw from it)
    random.seed(word)


class CleanStart(Hook):
    """Makes an iteration depend on the checkpoint alone: seeds by (seed, iteration), in all processes alike; no gradients left over."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        seed_all(self.seed, "iteration", runner.iter, 0)
        runner.model.zero_grad()


class LearningRate(Hook):
    """Sets every learning rate to its initial value times ``factor(iteration)``; stateless, so safe to resume."""

    def __init__(self, factor: Callable[[int], float]) -> None:
        self.factor = factor

    def before_train(self, runner: Any) -> None:
        for group in self._groups(runner):
            group.setdefault("initial_lr", group["lr"])

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        for group in self._groups(runner):
            group["lr"] = group["initial_lr"] * self.factor(runner.iter)

    @staticmethod
    def _groups(runner: Any) -> Iterator[dict[str, Any]]:
        wrapper = runner.optim_wrapper
        for one in wrapper.values() if hasattr(wrapper, "values") else [wrapper]:
            yield from one.optimizer.param_groups


class Losses(Hook):
    """Checks every loss and writes `losses.csv`: the mean of each loss over `every` iterations (and over the processes).

    Rows reach the file no later than the checkpoint that follows them; on resume, rows of later iterations are cut.
    Raises PipelineError at the first loss that is not finite.
    """

    priority = "HIGH"

    def __init__(self, path: Path, every: int) -> None:
        self.path, self.every = path, every
        self.sums: dict[str, float] = {}
        self.count = 0
        self.latest: dict[str, float] = {}

    def before_train(self, runner: Any) -> None:
        if runner.rank:
            return
        lines = self.path.read_text().splitlines(keepends=True) if self.path.exists() else []
        whole = [line for line in lines if line.endswith("\n")]  # a kill may have cut the last one
        kept = [line for line in whole[1:] if int(line.split(",")[0]) <= runner.iter]
        write_text(self.path, "".join(whole[:1] + kept) if kept else "")

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        here = [float(torch.as_tensor(value).detach()) for value in outputs.values()]
        values = dict(zip(outputs, parallel.means(here), strict=True))
        bad = [f"{name} is {value}" for name, value in values.items() if not math.isfinite(value)]
        if bad:
            raise diverged(runner, ", ".join(bad))
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        self.count += 1
        done = runner.iter + 1
        if done % self.every == 0 or done == runner.max_iters:
            self.latest = {name: total / self.count for name, total in self.sums.items()}
            self.sums, self.count = {}, 0
            if runner.rank == 0:
                self._append(done)

    def _append(self, done: int) -> None:
        with open(self.path, "a", encoding="utf-8") as file:
            if not file.tell():
                file.write(",".join(["iteration", *self.latest]) + "\n")
            file.write(",".join([str(done), *(f"{value:.6g}" for value in self.latest.values())]) + "\n")


class Checkpoints(Hook):
    """Saves at the end, and in between whenever `seconds` have gone by and a row of the loss table is complete."""

    priority = "VERY_LOW"

    def __init__(self, every: int, seconds: float) -> None:
        self.every, self.seconds = every, seconds
        self.saved = time.monotonic()

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        done = runner.iter + 1
        due = done % self.every == 0 and time.monotonic() - self.saved >= self.seconds
        if runner.rank == 0 and (due or done == runner.max_iters):
            runner.save(done)
            self.saved = time.monotonic()


class Progress(Hook):
    """A bar with the time left on a terminal; elsewhere a line about every tenth of the way."""

    priority = "LOW"

    def __init__(self, what: str, losses: Losses) -> None:
        self.what, self.losses = what, losses

    def before_train(self, runner: Any) -> None:
        self.bar = track(range(runner.iter, runner.max_iters), self.what)
        self.first, self.began = runner.iter, time.monotonic()
        if runner.iter:
            log.info("%s: going on after iteration %d of %d", self.what, runner.iter, runner.max_iters)

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        next(self.bar, None)

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        done, total = runner.iter + 1, runner.max_iters
        if runner.rank == 0 and done * 10 // total > (done - 1) * 10 // total and not sys.stderr.isatty():
            left = (time.monotonic() - self.began) / (done - self.first) * (total - done)
            shown = ", ".join(f"{name} {value:.4g}" for name, value in self.losses.latest.items())
            log.info("%s: iteration %d of %d; %s; %.0f s left", self.what, done, total, shown, left)

    def after_train(self, runner: Any) -> None:
        next(self.bar, None)


@MODELS.register_module()
class WarmAverage(ExponentialMovingAverage):
    """Exponential average of weights and buffers whose decay grows as (1 + t) / (10 + t) up to its final value."""

    def avg_func(self, averaged_param: torch.Tensor, source_param: torch.Tensor, steps: int) -> None:
        averaged_param.lerp_(source_param, max(self.momentum, 9 / (10 + float(steps))))


def diverged(runner: Any, what: str) -> PipelineError:
    """The error for a training that has run into non-finite numbers."""
    last = checkpoints.stored(runner.state)
    where = f"the last good checkpoint is {last[-1]}" if last else "no checkpoint was written before"
    return PipelineError(f"training stopped at iteration {runner.iter + 1} of {runner.max_iters}: {what}; {where}; lower the learning rate")
