"""`dvc repro` with the trainings that do not depend on each other at the same time.

DVC runs one stage at a time. Trainings take nearly all of the time of a pipeline, and one that has a core for itself uses
it better than one that is spread over several. So what they need is brought up to date first, then each of them is a
process of its own (`dvc repro --single-item`), and a last `dvc repro` does what is left. What runs, and what comes out
of it, is the same as in one `dvc repro`.
"""

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from pipeline.machine import cores

TRAINING = "train_"  # names of stages that are worth a process of their own begin so
MEMORY = 3 * 2**30  # bytes that a training may need

Graph = Mapping[str, set[str]]  # stage -> the stages that it depends on


@dataclass(frozen=True)
class Round:
    """Stages to bring up to date first, and jobs (stages in their order) that can then run at once."""

    first: list[str]
    jobs: list[list[str]]


def rounds(graph: Graph, changed: Iterable[str], least: int = 2) -> list[Round]:
    """The trainings that `changed` stages make necessary, in rounds of independent ones; rounds of fewer than `least` are left out.

    A job is a training and the stages that wait for nothing else, such as the detections of the model.
    """
    above = {stage: _ancestors(graph, stage) for stage in graph}
    changed = set(changed)
    affected = {stage for stage in graph if stage in changed or above[stage] & changed}
    trainings = {stage for stage in affected if stage.startswith(TRAINING)}
    depth = {stage: _depth(stage, above, trainings) for stage in sorted(trainings)}
    found = []
    for level in range(max(depth.values(), default=-1) + 1):
        ready = [stage for stage, at in depth.items() if at == level]
        if len(ready) >= least:
            first = sorted(set.union(*(graph[stage] for stage in ready)))
            found.append(Round(first, [[stage, *_followers(stage, graph, above, affected)] for stage in ready]))
    return found


def _ancestors(graph: Graph, stage: str) -> set[str]:
    found: set[str] = set()
    waiting = list(graph[stage])
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            waiting += graph[one]
    return found


def _depth(stage: str, above: Mapping[str, set[str]], trainings: set[str]) -> int:
    """Number of trainings on the longest way to a stage."""
    return max((1 + _depth(one, above, trainings) for one in above[stage] & trainings), default=0)


def _followers(training: str, graph: Graph, above: Mapping[str, set[str]], affected: set[str]) -> Iterator[str]:
    for stage in sorted(graph):
        if training in graph[stage] and not (graph[stage] - {training} - above[training]) & affected:
            yield stage


def at_once(threads: int) -> int:
    """How many trainings of so many threads this machine takes at a time; one where there is a GPU, which they would share."""
    if Path("/dev/nvidiactl").exists():
        return 1
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(1, min(cores() // threads, memory // MEMORY))


def module(name: str, *arguments: str, lines: bool = False) -> int:
    """Run `python -m name` with this Python's programs first on the path, its output shown; returns its exit code.

    lines: the output is no terminal, so that processes side by side show lines instead of bars.
    """
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    command = [sys.executable, "-m", name, *arguments]
    if not lines:
        return subprocess.run(command, env=environment).returncode
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        for line in process.stdout or ():
            if line.strip():
                print(line, end="", flush=True)
    return process.returncode


def dvc(*arguments: str, lines: bool = False) -> int:
    """Run a DVC command; see `module`."""
    return module("dvc", *arguments, lines=lines)


def git(*arguments: str) -> str | None:
    """Output of a git command, None where it fails or there is no git."""
    try:
        return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def state() -> tuple[dict[str, set[str]], set[str]]:
    """The graph of dvc.yaml, and the stages whose own inputs, params, command or outputs have changed; empty where DVC refuses."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo() as repo:
            found = repo.index.graph
            return {stage.addressing: {one.addressing for one in found.successors(stage)} for stage in found}, set(repo.status())
    except DvcException:
        return {}, set()  # the `dvc repro` that follows says why


def needed(graph: Graph, targets: Iterable[str]) -> dict[str, set[str]]:
    """The part of the graph that the targets need; all of it where there are none. Unknown ones are left to DVC to refuse."""
    found: set[str] = set()
    for target in targets:
        found |= {target, *_ancestors(graph, target)} if target in graph else set()
    return {stage: above for stage, above in graph.items() if stage in found} if found else dict(graph)


def repro(jobs: int, *targets: str) -> int:
    """Bring everything, or `targets` alone, up to date, with up to `jobs` trainings at once; returns the exit code of the first
    failure, else 0."""
    graph, changed = state() if jobs > 1 else ({}, set())
    graph = needed(graph, targets)
    for one in rounds(graph, changed & set(graph)):
        code = dvc("repro", *one.first) if one.first else 0
        if code == 0:
            with ThreadPoolExecutor(jobs) as pool:
                codes = list(pool.map(lambda stages: dvc("--wait-for-lock", "repro", "--single-item", *stages, lines=True), one.jobs))
            code = next(filter(None, codes), 0)
        if code:
            return code
    return dvc("repro", *targets)
