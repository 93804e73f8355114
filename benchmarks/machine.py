"""What this machine can do at most: arithmetic of convolutions, memory, PNG; and how the benchmarks time things.

python -m benchmarks.machine
"""

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

Action = Callable[[], Any]


def description(threads: int = 1) -> str:
    """Processor, cores and versions in a sentence; no names of machines."""
    import torch

    info = Path("/proc/cpuinfo")
    models = (
        [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")] if info.is_file() else []
    )
    kind = models[0] if models else platform.processor() or platform.machine()
    versions = f"Python {platform.python_version()}, PyTorch {torch.__version__.split('+')[0]}"
    return f"{kind}, {os.cpu_count()} cores, {threads} thread(s) used; {versions}"


def take_turns(actions: Mapping[str, Action], rounds: int, warm: int = 2) -> dict[str, list[float]]:
    """CPU seconds of each action in every round; they take turns within a round, so that whatever else runs slows down all of them."""
    found: dict[str, list[float]] = {name: [] for name in actions}
    for number in range(warm + rounds):
        for name, action in actions.items():
            begun = time.process_time()
            action()
            if number >= warm:
                found[name].append(time.process_time() - begun)
    return found


def ratio(ours: list[float], theirs: list[float]) -> str:
    """Median and quartiles of the ratios of the rounds."""
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def flops(action: Action) -> int:
    """Floating point operations of the matrix products and convolutions of an action, forward and backward."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        action()
    return int(counter.get_total_flops())


def best(action: Action, seconds: float = 0.5) -> float:
    """The shortest CPU time of an action that is repeated for so long, at least five times."""
    action()
    times: list[float] = []
    while len(times) < 5 or sum(times) < seconds:
        begun = time.process_time()
        action()
        times.append(time.process_time() - begun)
    return min(times)


def convolution(kind: Any) -> float:
    """GFLOP/s of a 3 x 3 convolution of 128 channels, batch 8, 32 x 32 px, channels last: one that suits the machine."""
    import torch

    maps = torch.randn(8, 128, 32, 32).to(kind).to(memory_format=torch.channels_last)
    kernels = torch.randn(128, 128, 3, 3).to(kind).to(memory_format=torch.channels_last)
    with torch.no_grad():
        return 2 * 8 * 32 * 32 * 128 * 128 * 9 / best(lambda: torch.nn.functional.conv2d(maps, kernels, padding=1)) / 1e9


def memory() -> float:
    """GB/s read and written by copying 256 MB."""
    given = np.ones(2**25)
    taken = np.empty_like(given)
    return 2 * given.nbytes / best(lambda: np.copyto(taken, given)) / 1e9


def mammogram(height: int, seed: int = 0) -> np.ndarray:
    """(height, 0.6 height) uint16: a half disc of tissue-like noise on black, with 12 bits of grey."""
    rng = np.random.default_rng(seed)
    width = round(0.6 * height)
    rows, columns = np.mgrid[:height, :width]
    inside = (columns / width) ** 2 + (2 * rows / height - 1) ** 2 < 0.9
    coarse = cv2.resize(rng.random((height // 8, width // 8)), (width, height), interpolation=cv2.INTER_CUBIC)
    grey = (1200 + 1200 * coarse + rng.normal(0, 12, (height, width))).clip(0, 4095)
    return np.where(inside, grey, 0).astype(np.uint16) * 16


def png(height: int = 800) -> tuple[float, float]:
    """Million px a second written and read as PNG, as `pipeline.io` does it."""
    image = mammogram(height)
    how = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
    coded = cv2.imencode(".png", image, how)[1]
    return tuple(  # type: ignore[return-value]
        image.size / best(action) / 1e6
        for action in (lambda: cv2.imencode(".png", image, how), lambda: cv2.imdecode(coded, cv2.IMREAD_UNCHANGED))
    )


def limits() -> dict[str, float]:
    """All of the above, by name."""
    import torch

    written, read = png()
    return {
        "bf16": convolution(torch.bfloat16), "fp32": convolution(torch.float32), "memory": memory(), "written": written, "read": read,
    }  # fmt: skip


def section(found: dict[str, float]) -> list[str]:
    return [
        "| limit | measured |",
        "|---|---|",
        f"| convolution 3 x 3, 128 channels, bf16 | {found['bf16']:.0f} GFLOP/s |",
        f"| the same, fp32 | {found['fp32']:.0f} GFLOP/s |",
        f"| memory, copied | {found['memory']:.1f} GB/s |",
        f"| PNG of 800 px, 16 bit, written | {found['written']:.0f} million px/s |",
        f"| the same, read | {found['read']:.0f} million px/s |",
    ]


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    print(description() + "\n")
    print("\n".join(section(limits())))


if __name__ == "__main__":
    main()
