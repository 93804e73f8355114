"""The machine that leads: it runs what the trainings need, hands them out through Ray, and finishes the graph."""

import logging
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import schedule
from pipeline.cluster import worker
from pipeline.errors import PipelineError, raise_all

log = logging.getLogger(__name__)
CARRIED = ("params.yaml", "dvc.lock")  # sent as they are; everything else of the repository is cloned by revision


@dataclass(frozen=True)
class Cluster:
    """address: of a running Ray, None starts one here. cpus, gpus: what a cell asks for. retries: after a cell or its machine died.
    repository: where the machines clone from."""

    address: str | None
    cpus: int
    gpus: float
    retries: int
    repository: str


def run(cluster: Cluster) -> int:
    """Bring everything up to date, the trainings on the machines of the cluster; returns an exit code.

    Rounds of independent trainings, as in `pipeline.schedule`. Their outputs come back through the DVC remote and its run
    cache, so `dvc repro` finds them made; what was made before an interruption is not made again.
    Raises PipelineError where the machines could not follow: no remote, no Ray, changes that are not committed.
    """
    revision, remote = _revision(), _remote()
    ray = _ray(cluster)
    graph, changed = schedule.state()
    for one in schedule.rounds(graph, changed, least=1):
        if (one.first and schedule.dvc("repro", "--pull", *one.first)) or schedule.dvc("push", "--quiet", "--run-cache"):
            return 1
        files = {name: Path(name).read_text(encoding="utf-8") for name in CARRIED if Path(name).is_file()}
        cells = [worker.Cell(tuple(job), _inputs(job, graph), cluster.repository, revision, files, remote) for job in one.jobs]
        begun = time.monotonic()
        failed = list(_finished(ray, cluster, cells))
        log.info("%d cells took %.0f s", len(cells), time.monotonic() - begun)
        if schedule.dvc("fetch", "--quiet", "--run-cache", *one.first):
            return 1
        raise_all(failed, "cells that failed; what is done is kept, and a second start goes on")
        if code := schedule.dvc("repro", "--pull", "--single-item", *(stage for job in one.jobs for stage in job)):
            return code
    return schedule.dvc("repro", "--pull")


def _inputs(job: list[str], graph: schedule.Graph) -> tuple[str, ...]:
    """Stages whose outputs a job reads: the ones it depends on and the ones those name files of (a trainset names images)."""
    near = set().union(*(graph[stage] for stage in job)) - {*job}
    return tuple(sorted(near.union(*(graph[stage] for stage in near))))


def _finished(ray: Any, cluster: Cluster, cells: list[worker.Cell]) -> Iterator[str]:
    """Run the cells, say what is done, and yield what failed."""
    remote = ray.remote(num_cpus=cluster.cpus, num_gpus=cluster.gpus, max_retries=cluster.retries, retry_exceptions=True)(worker.work)
    waiting = {remote.remote(cell): cell for cell in cells}
    while waiting:
        (done,), _ = ray.wait(list(waiting))
        cell = waiting.pop(done)
        try:
            log.info("%s: done on %s; %d of %d left", cell.stages[0], ray.get(done), len(waiting), len(cells))
        except (ray.exceptions.RayError, RuntimeError) as error:
            yield f"{cell.stages[0]}: {error}"


def _ray(cluster: Cluster) -> Any:
    try:
        import ray
    except ImportError:
        raise PipelineError("pipeline.cluster needs Ray: `.venv/bin/pip install ray`, here and on every machine") from None
    ray.cloudpickle.register_pickle_by_value(worker)  # the machines have no copy of the project until they clone it
    if not ray.is_initialized():
        ray.init(address=cluster.address, log_to_driver=False, logging_level="WARNING")
    return ray


def _revision() -> str:
    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True)
        if done.returncode:
            raise PipelineError(f"git {' '.join(arguments)}: {done.stderr.strip()}; the machines clone a commit of this repository")
        return done.stdout

    changed = [line[3:] for line in git("status", "--porcelain", "--untracked-files=no").splitlines()]
    foreign = [name for name in changed if name not in CARRIED and not name.startswith("reports/")]
    raise_all(foreign, "changes that are not committed, so the machines would not have them; commit them first")
    return git("rev-parse", "HEAD").strip()


def _remote() -> str:
    """URL of the default remote of DVC."""
    from dvc.repo import Repo

    with Repo() as repo:
        name = repo.config["core"].get("remote")
        if name is None:
            raise PipelineError("the machines exchange data through a DVC remote; name one: `dvc remote add -d store URL`")
        return str(repo.config["remote"][name]["url"])
