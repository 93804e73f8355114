"""What is waited for when there is nothing to do: --help of every stage, imports, and a `dvc repro` of a study that is up to date.

    python -m benchmarks.startup

The study is the paper's profile, 15 points with 3 seeds, in a clone whose outputs are made up (pools of 500 small files) and
recorded with `dvc commit`.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIGHT = (
    "stages.ingest",
    "stages.evaluate",
    "pipeline.preprocess.prepare",
    "pipeline.evaluation.study",
    "pipeline.evaluation.froc",
    "pipeline.report.build",
)
HEAVY = ("torch", "mmdet", "mmengine", "mmcv")
IN_POOL = 500  # files


def call(*arguments: str, where: Path = ROOT) -> float:
    """CPU seconds of `python ARGUMENTS`. Raises CalledProcessError with its output where it fails."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    begun = _used()
    subprocess.run([sys.executable, *arguments], cwd=where, env=environment, check=True, capture_output=True, text=True)
    return _used() - begun


def _used() -> float:
    """CPU seconds of all child processes that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return children.ru_utime + children.ru_stime


def helps() -> dict[str, float]:
    names = sorted(path.stem for path in (ROOT / "stages").glob("*.py") if path.stem != "__init__")
    return {name: call("-m", f"stages.{name}", "--help") for name in names}


def imports() -> dict[str, float]:
    """Seconds to start Python and import each of `LIGHT`; an error where one brings any of `HEAVY`."""
    check = "import sys, {0}; assert not [name for name in {1} if name in sys.modules], '{0}'"
    return {name: call("-c", check.format(name, HEAVY)) for name in LIGHT}


def made_up(clone: Path) -> int:
    """Give every output of dvc.yaml some content and record all as done; returns the number of stages."""
    import yaml

    for output in missing(clone):
        path = clone / output
        if path.suffix:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("{}")
        else:
            path.mkdir(parents=True, exist_ok=True)
            for number in range(IN_POOL if path.parent.name in ("pools", "prepared") else 1):
                (path / f"{number}.txt").write_text(f"{output} {number}")
    call("-m", "dvc", "commit", "--force", "--quiet", where=clone)
    return len(yaml.safe_load((clone / "dvc.lock").read_text())["stages"])


def missing(clone: Path) -> list[str]:
    """All outputs of the graph in a clone, and the files in them that a stage depends on, relative to it."""
    show = "from dvc.repo import Repo\nindex = Repo().index\nfor one in [*index.outs, *index.deps]: one.exists or print(one.fs_path)"
    environment = {**os.environ, "PYTHONPATH": str(clone)}
    done = subprocess.run([sys.executable, "-c", show], cwd=clone, env=environment, check=True, capture_output=True, text=True)
    return [os.path.relpath(line, clone.resolve()) for line in done.stdout.splitlines()]  # a folder before what lies in it


def idle_repro(rounds: int = 3) -> tuple[int, float]:
    """Stages of the paper's profile, and the quickest `dvc repro` that has nothing to do."""
    with tempfile.TemporaryDirectory() as name:
        clone = Path(name) / "clone"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        (clone / "dvc.lock").unlink(missing_ok=True)
        call("-m", "pipeline.profile", "paper", "--write", where=clone)
        stages = made_up(clone)
        return stages, min(call("-m", "dvc", "repro", where=clone) for _ in range(rounds))


def section() -> list[str]:
    shown, loaded = helps(), imports()
    stages, seconds = idle_repro()
    slowest, largest = (max(found, key=lambda name: found[name]) for found in (shown, loaded))
    return [
        "| what | CPU seconds | target, seconds |",
        "|---|---|---|",
        f"| --help, slowest of {len(shown)} stages ({slowest}) | {shown[slowest]:.2f} | 0.5 |",
        f"| import of what needs no network, slowest of {len(loaded)} ({largest}) | {loaded[largest]:.2f} | 1 |",
        f"| `dvc repro` with nothing to do, 15 points with 3 seeds, {stages} stages | {seconds:.1f} | 5 |",
    ]


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    print("\n".join(section()))


if __name__ == "__main__":
    main()
