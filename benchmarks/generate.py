"""How fast mammograms are made, whether memory stays flat, and how far the generator is from the machine's convolutions.

    python -m benchmarks.generate --models models --hosts DIR --n 1000

Runs `pipeline.synthesis.generate` for a tenth of n and for n, each in a process of its own, at 800 px. Prints images per second
of the difference, which leaves the start out, and the peak memory of both. Then the infilling generator alone: patches per
second in batches as the pools use them, its floating point operations per second, and those of one plain convolution.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from pipeline.cli import guarded, parser
from pipeline.errors import PipelineError
from pipeline.gan import infill
from pipeline.synthesis.pool import CHUNK

REPEATS = 10


def timed(models: Path, hosts: Path, n: int, threads: int, out: Path) -> tuple[float, float]:
    """Seconds and peak memory in MiB of a process that makes n images."""
    options = {"models": models, "hosts": hosts, "n": n, "out": out, "threads": threads}
    command = [sys.executable, "-m", "pipeline.synthesis.generate", *(f"--{key}={value}" for key, value in options.items())]
    script = f"import resource, subprocess, sys; code = subprocess.run({command!r}).returncode; "
    script += "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(code)"
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    if done.returncode:
        raise PipelineError(done.stderr.strip() or "generate failed")
    return time.perf_counter() - began, int(done.stdout.split()[-1]) / 1024


def rate(call: Any) -> float:
    """Calls per second: the best of `REPEATS`, after one to warm up."""
    call()
    best = float("inf")
    for _ in range(REPEATS):
        began = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - began)
    return 1 / best


def generator(models: Path) -> None:
    """Print the generator's speed beside that of a convolution of 3x3 with 128 channels at a quarter of the resolution."""
    network, side = infill.load(models / "infill").network, infill.load(models / "infill").patch_px
    channels = 3 if infill.load(models / "infill").meta["labels"] == "tri" else 2
    batch = torch.rand(CHUNK, channels, side, side)
    plain = torch.nn.Conv2d(128, 128, 3, padding=1).to(memory_format=torch.channels_last)
    features = torch.rand(CHUNK, 128, side // 4, side // 4).to(memory_format=torch.channels_last)
    speeds = {}
    for name, module, given in (("generator", network, batch), ("convolution", plain, features)):
        with torch.inference_mode():
            with FlopCounterMode(display=False) as counted:
                module(given)
            calls = rate(lambda module=module, given=given: module(given))
        speeds[name] = counted.get_total_flops() * calls / 1e9
        print(f"{name}: {calls * CHUNK:.0f} patches of {side} px a second, {speeds[name]:.1f} GFLOP/s")
    print(f"the generator reaches {speeds['generator'] / speeds['convolution']:.0%} of the plain convolution's speed")


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--models", type=Path, default=Path("models"), help="folder with masks/, infill/ and sizes.json (default: models)")
    made.add_argument("--hosts", type=Path, required=True, help="folder of healthy mammograms")
    made.add_argument("--n", type=int, default=1000, help="images (default: 1000)")
    made.add_argument("--threads", type=int, default=2, help="CPU threads (default: 2)")
    args = made.parse_args()
    guarded(lambda: run(args), args.debug)


def run(args: argparse.Namespace) -> None:
    few = max(1, args.n // 10)
    with tempfile.TemporaryDirectory() as scratch:
        found = {n: timed(args.models, args.hosts, n, args.threads, Path(scratch) / str(n)) for n in (few, args.n)}
    per_second = (args.n - few) / (found[args.n][0] - found[few][0])
    print(f"{per_second:.1f} images a second; peak memory {found[few][1]:.0f} MiB for {few}, {found[args.n][1]:.0f} MiB for {args.n}")
    torch.set_num_threads(args.threads)
    generator(args.models)


if __name__ == "__main__":
    main()
