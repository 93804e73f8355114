"""The one training loop of the project: MMEngine's Runner with safe checkpoints and reproducible resumption.

Equal arguments give equal weights bit for bit on one machine, however often the training was interrupted and
however many processes load the data. Only the number of threads may change the last bits.
"""

import contextlib
import ctypes
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from mmengine.device import get_device
from mmengine.hooks import EMAHook, Hook
from mmengine.logging import MMLogger
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import Runner
from torch.utils.data import DataLoader, default_collate

from pipeline.errors import PipelineError
from pipeline.training import checkpoints, hooks, parallel
from pipeline.training.precision import Precision, resolved
from pipeline.training.sampling import NumberedBatches, Order

Optimizers = torch.optim.Optimizer | Mapping[str, torch.optim.Optimizer]
ROWS = 1000  # of the loss table, at most
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h


class Samples(Protocol):
    """A data set; ``samples[index, number]`` draws its augmentation from (seed, number)."""

    def __len__(self) -> int: ...

    def __getitem__(self, key: tuple[int, int], /) -> Any: ...


class SharedOptimWrapper(OptimWrapper):
    """Steps by the gradients of all processes."""

    def step(self, **more: Any) -> None:
        parallel.average_gradients(one for group in self.optimizer.param_groups for one in group["params"])
        super().step(**more)


class Bf16OptimWrapper(SharedOptimWrapper):
    """bf16 autocast on any device; MMEngine's AmpOptimWrapper insists on a GPU. bf16 needs no loss scaling."""

    @contextlib.contextmanager
    def optim_context(self, model: torch.nn.Module) -> Iterator[None]:
        with super().optim_context(model), torch.autocast(get_device(), torch.bfloat16):
            yield


PRECISIONS = {"fp32": SharedOptimWrapper, "bf16": Bf16OptimWrapper}


def fit(
    build: Callable[[], BaseModel],
    optimizers: Callable[[BaseModel], Optimizers],
    samples: Samples,
    *,
    what: str,
    state: Path,
    iterations: int,
    batch: int,
    seed: int,
    threads: int,
    precision: Precision = "auto",
    workers: int = 0,
    collate: Callable[[list[Any]], Any] = default_collate,
    lr_factor: Callable[[int], float] | None = None,
    clip_grad: float | None = None,
    average: float = 0.0,
    custom_hooks: Sequence[Hook] = (),
    save_seconds: float = 60.0,
    order: Order | None = None,
) -> BaseModel:
    """Train to `iterations` and return the model, on the CPU; go on from the newest checkpoint in `state`.

    build: makes the model; called after seeding, so that the first weights depend on the seed alone. Its
        ``train_step(data, optim_wrapper)`` returns a dict of scalar losses, the same keys every time.
    optimizers: one optimizer, or several by name (``train_step`` then gets an OptimWrapperDict).
    samples: data set of `Samples`; which one is drawn when follows from (seed, sample number).
    what: name shown with the progress. state: folder of checkpoints and of `losses.csv` (see `Losses`).
    batch: samples of one step, over all processes. precision: see `pipeline.training.precision`.
    lr_factor: factor of the learning rates at an iteration (from 0). clip_grad: largest norm of the gradients.
    average: decay of an exponential average of the weights, which the returned model then has; 0: none.
    order: sample number -> sample; None: all samples once an epoch, shuffled.

    Under ``torchrun`` every process calls this alike, `state` is a folder that all of them see, and the first one writes the
    files (see `parallel`).
    Raises PipelineError for a non-finite loss or weight, naming the iteration and the last good checkpoint.
    """
    state.mkdir(parents=True, exist_ok=True)
    rank, world = _prepare(seed, threads)
    resumed = checkpoints.newest(state)
    begun = resumed["iteration"] if resumed else 0
    if parallel.largest([begun, -begun]) != [begun, -begun]:
        raise PipelineError(f"{state}: the processes see different checkpoints there; they need a folder that all of them share")
    if begun > iterations:
        raise PipelineError(f"{state} holds a training of {begun} iterations, {iterations} are asked for; remove the folder")
    model = parallel.joined(build()).to(memory_format=torch.channels_last)
    batches = NumberedBatches(len(samples), batch, begun, iterations, seed, rank, world, order)
    loader: DataLoader[Any] = DataLoader(samples, batch_sampler=batches, num_workers=workers, collate_fn=collate)  # type: ignore[arg-type]
    with tempfile.TemporaryDirectory() as scratch:
        runner = _Runner(
            resumed,
            state,
            model=model,
            work_dir=scratch,
            experiment_name=scratch,  # MMEngine keeps loggers by this name: it must be new
            train_dataloader=loader,
            train_cfg={"by_epoch": False, "max_iters": iterations, "fast_forward_on_resume": True},
            optim_wrapper=_wrapped(optimizers(model), precision, clip_grad),
            custom_hooks=[*_hooks(what, state, iterations, seed, lr_factor, average, save_seconds), *custom_hooks],
            launcher="none",  # `parallel` has connected the processes, and needs no wrapper around the model
        )
        runner.train()
        runner.train_loop.dataloader_iterator = None  # ends the loading processes; left to the garbage collector they wait for seconds
        final = runner.checkpoint(iterations)["state_dict"]
    model = model.cpu()
    model.load_state_dict(final)
    return model


def _prepare(seed: int, threads: int) -> tuple[int, int]:
    """Set threads, determinism, seeds and silence of this process; returns its rank and the number of processes."""
    if not MMLogger.check_instance_created("quiet"):
        MMLogger.get_instance("quiet", log_level="ERROR")  # else MMEngine logs every weight that is initialised
    _keep_memory()
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    hooks.seed_all(seed, "weights")
    return parallel.start()


def _keep_memory() -> None:
    """Let glibc keep what is freed: every step needs the same again, and new pages cost a twentieth of its time. Elsewhere nothing."""
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "mallopt"):
        library.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
        library.mallopt(M_MMAP_THRESHOLD, 2**31 - 1)


def _hooks(
    what: str, state: Path, iterations: int, seed: int, lr_factor: Callable[[int], float] | None, average: float, save_seconds: float
) -> list[Hook]:
    every = max(1, iterations // ROWS)
    losses = hooks.Losses(state / "losses.csv", every)
    chosen = [hooks.CleanStart(seed), losses, hooks.Checkpoints(every, save_seconds), hooks.Progress(what, losses)]
    if lr_factor:
        chosen.append(hooks.LearningRate(lr_factor))
    if average:
        chosen.append(EMAHook(ema_type="WarmAverage", momentum=1 - average, update_buffers=True))
    return chosen


def _wrapped(optimizers: Optimizers, precision: Precision, clip_grad: float | None) -> OptimWrapper | OptimWrapperDict:
    chosen = PRECISIONS[resolved(precision)]

    def wrap(optimizer: torch.optim.Optimizer) -> OptimWrapper:
        return chosen(optimizer, clip_grad={"max_norm": clip_grad} if clip_grad else None)

    if isinstance(optimizers, Mapping):
        return OptimWrapperDict(**{name: wrap(one) for name, one in optimizers.items()})
    return wrap(optimizers)


class _Runner(Runner):
    """MMEngine's Runner without its files and messages, and with our checkpoints in place of its own."""

    def __init__(self, resumed: dict[str, Any] | None, state: Path, **more: Any) -> None:
        self.resumed, self.state = resumed, state
        unused = dict.fromkeys(("runtime_info", "timer", "sampler_seed", "logger", "param_scheduler", "checkpoint"))
        super().__init__(resume=resumed is not None, default_hooks=unused, log_level="ERROR", **more)

    def set_randomness(self, *_: Any, **__: Any) -> None:
        self._seed, self._deterministic = 0, True  # `fit` and the hook CleanStart have seeded

    def build_logger(self, log_level: int | str = "ERROR", log_file: str | None = None, **_: Any) -> MMLogger:
        return MMLogger.get_instance(self._experiment_name, log_level=log_level)

    def _log_env(self, env_cfg: dict[str, Any]) -> None: ...

    def dump_config(self) -> None: ...

    def checkpoint(self, iteration: int) -> dict[str, Any]:
        """Everything that a training needs to go on. `state_dict` holds the averaged weights where there are any."""
        state = {"iteration": iteration, "state_dict": self.model.state_dict(), "optimizer": self.optim_wrapper.state_dict()}
        self.call_hook("before_save_checkpoint", checkpoint=state)
        return state

    def save(self, iteration: int) -> None:
        state = self.checkpoint(iteration)
        broken = [name for name, value in state["state_dict"].items() if not torch.isfinite(value).all()]
        if broken:
            raise hooks.diverged(self, f"{len(broken)} weights are not finite, the first is {broken[0]}")
        checkpoints.save(self.state, iteration, state)

    def load_or_resume(self) -> None:
        if self.resumed is None:
            return
        self.call_hook("after_load_checkpoint", checkpoint=self.resumed)
        self.model.load_state_dict(self.resumed["state_dict"])
        self.optim_wrapper.load_state_dict(self.resumed["optimizer"])
        self.train_loop._iter = self.resumed["iteration"]
        self._has_loaded = True
