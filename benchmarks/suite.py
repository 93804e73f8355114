"""Every benchmark that needs no data, in one run of less than 15 minutes; writes benchmarks/results.md.

    python -m benchmarks.suite                     # `make bench`
    python -m benchmarks.suite --note "Other work ran at the same time; ratios count."

Single-threaded, CPU times: what else runs on the machine disturbs them little, and ratios less.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

OUT = Path("benchmarks/results.md")


def output(module: str, *arguments: str) -> list[str]:
    """What a benchmark prints, run in a process of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run([sys.executable, "-m", f"benchmarks.{module}", *arguments], env=environment, capture_output=True, text=True)
    if done.returncode:
        return [f"failed: {(done.stderr.strip().splitlines() or ['without a word'])[-1]}"]
    return done.stdout.strip().splitlines()


def sections(rounds: int) -> dict[str, Callable[[], list[str]]]:
    """Heading to what makes its text, in the order of the page."""
    return {
        "The machine": lambda: output("machine"),
        "Training steps of the GANs": lambda: output("gans", "--rounds", str(rounds), "--compile"),
        "Light-Head R-CNN against Faster R-CNN": lambda: output("detectors", "--rounds", str(max(3, rounds // 2)), "--warm", "2"),
        "The detector of the CBIS-DDSM profile": lambda: output("backbone", "--rounds", str(rounds)),
        "Ingest, preprocess, pools": lambda: output("images"),
        "The evaluator": lambda: output("froc"),
        "Start, and nothing to do": lambda: output("startup"),
    }


def main() -> None:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--rounds", type=int, default=12, help="rounds of the training steps (default: 12)")
    made.add_argument("--note", default="", help="a sentence about the circumstances, for the page")
    made.add_argument("--out", type=Path, default=OUT, help=f"page to write (default: {OUT})")
    args = made.parse_args()
    lines = ["# Benchmarks", "", f"Written by `python -m benchmarks.suite`. {args.note}".strip()]
    for heading, make in sections(args.rounds).items():
        print(heading, flush=True)
        lines += ["", f"## {heading}", "", *make()]
        args.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
