"""What a machine of the cluster does for one cell: clone, pull, train, push.

This module is sent to the machines as it is, so it imports the standard library alone. A machine needs git and the
environment of requirements.lock in the Python that Ray was started with; it shares no disk with the head.
"""

import contextlib
import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

FOLDER = "MASS_SYNTHESIS_FOLDER"  # environment variable: where a machine keeps its working copies and DVC cache
# A command in a process group of its own, which is killed when its parent goes away and stdin ends, however that happens.
GUARDED = 'exec 3<&0; (cat <&3; kill -s KILL -- -$$) >/dev/null 2>&1 & exec "$@" </dev/null 3<&-'


@dataclass(frozen=True)
class Cell:
    """A training and what follows on it.

    stages: run in this order. inputs: stages whose outputs they read. repository: URL or path for git; revision: what is
    checked out. files: name to text of what is newer than the revision (dvc.lock, params.yaml). remote: URL of the DVC remote.
    """

    stages: tuple[str, ...]
    inputs: tuple[str, ...]
    repository: str
    revision: str
    files: Mapping[str, str]
    remote: str


def work(cell: Cell) -> str:
    """Run a cell and push its outputs and run cache; returns the name of the machine. Raises RuntimeError with the output of what failed.

    What was pushed by an earlier attempt, here or elsewhere, is not run again; a training that died goes on from its
    last checkpoint where the same working copy is met.
    """
    folder = Path(os.environ.get(FOLDER, Path.home() / ".cache" / "mass-synthesis" / "cluster"))
    folder.mkdir(parents=True, exist_ok=True)
    with _working_copy(folder) as copy:
        _check_out(cell, copy)
        _call(copy, "dvc", "remote", "add", "--local", "--quiet", "--default", "--force", "cluster", cell.remote)
        _call(copy, "dvc", "config", "--local", "--quiet", "cache.dir", str(folder / "cache"))
        _call(copy, "dvc", "pull", "--quiet", "--run-cache", *cell.inputs)
        _call(copy, "dvc", "repro", "--pull", "--single-item", *cell.stages)
        _call(copy, "dvc", "push", "--quiet", "--run-cache", *cell.stages)
    return os.uname().nodename


@contextlib.contextmanager
def _working_copy(folder: Path) -> Iterator[Path]:
    """A folder that no other process of this machine works in, the first that is free."""
    number = 0
    while True:
        with open(folder / f"copy{number}.lock", "w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                number += 1
                continue
            yield folder / f"copy{number}"
            return


def _check_out(cell: Cell, copy: Path) -> None:
    if not (copy / ".git").is_dir():
        _call(copy.parent, "git", "clone", "--quiet", "--no-checkout", cell.repository, copy.name)
    _call(copy, "git", "fetch", "--quiet", cell.repository, cell.revision)
    _call(copy, "git", "checkout", "--quiet", "--force", "--detach", cell.revision)
    for name, text in cell.files.items():
        (copy / name).write_text(text, encoding="utf-8")


def _call(where: Path, program: str, *arguments: str) -> None:
    """Run a program of this Python's environment."""
    command = [program, *arguments] if program == "git" else [sys.executable, "-m", program, *arguments]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    with subprocess.Popen(
        ["sh", "-c", GUARDED, "sh", *command],
        cwd=where, env={**os.environ, "PATH": path}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, start_new_session=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        output = process.stdout.read()
        code = process.wait()
    if code:
        raise RuntimeError(f"{' '.join(command)} ended with {code} in {where}:\n{output[-4000:]}")
