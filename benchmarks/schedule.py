"""The trainings of a study on several GPUs, simulated: how long it takes, how busy the GPUs are, what failures cost.

    python -m benchmarks.schedule --profile paper --gpu a100

Durations are those of `python -m pipeline.profile PROFILE --plan`, with an overhead a cell (clone, pull, push). A detector of a
point with GAN images waits for its generator and, after it, for its pool. Whoever is free takes the longest cell that is ready. A
failure hits a running cell at random; it is begun again from the start, which is worse than from its checkpoint.
"""

import argparse
import heapq
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

GENERATORS = [("unet", "tri"), ("crn", "two"), ("crn", "tri"), ("unet", "two")]


@dataclass(frozen=True)
class Job:
    """hours: on one GPU. after: name of the job that it waits for, or ""; delay: hours between that and its start (its pool)."""

    name: str
    hours: float
    after: str = ""
    delay: float = 0.0


def jobs(profile: str | None, gpu: str, overhead: float, pool: float) -> list[Job]:
    """All trainings of a profile. overhead, pool: hours of each cell beside its training, and of making a pool."""
    from pipeline import plan
    from pipeline.params import check, read_yaml
    from pipeline.profile import merge, read

    params = check(merge(read_yaml(Path("params.yaml")), read(profile) if profile else {}))
    tflops, _ = plan.reached(gpu)
    found = []
    for one in plan.trainings(params, plan.REAL, GENERATORS):
        each = one.hours(tflops) / one.cells + overhead
        if not one.name.startswith("train_detector"):
            found.append(Job(one.name, each))
            continue
        learned = one.name.endswith("(gan)")
        for cell in range(one.cells):
            generator = GENERATORS[cell % len(GENERATORS)]
            found.append(Job(f"{one.name} {cell}", each, f"train_infill {generator[0]}, {generator[1]}" if learned else "", pool))
    return found


def simulate(work: list[Job], gpus: int, mtbf: float = 0.0, seed: int = 0) -> tuple[float, float, int]:
    """Hours until all is done, share that the GPUs are busy, cells begun again. mtbf: hours between failures of a GPU, 0: none."""
    rng = np.random.default_rng(seed)
    waiting = [job for job in work if job.after]
    ready: list[tuple[float, float, int, Job]] = [(0.0, -job.hours, number, job) for number, job in enumerate(work) if not job.after]
    heapq.heapify(ready)
    free = [0.0] * gpus
    finished: dict[str, float] = {}
    busy, again, count = 0.0, 0, len(work)
    heapq.heapify(free)
    while ready:
        now = max(heapq.heappop(free), ready[0][0])
        startable = [one for one in ready if one[0] <= now]
        chosen = min(startable, key=lambda one: (one[1], one[2]))
        ready.remove(chosen)
        heapq.heapify(ready)
        job, begun = chosen[3], now
        while mtbf and (until := rng.exponential(mtbf)) < job.hours:
            now, again = now + until, again + 1
        now += job.hours
        busy += now - begun
        heapq.heappush(free, now)
        finished[job.name] = now
        for later in [one for one in waiting if one.after == job.name]:
            waiting.remove(later)
            count += 1
            heapq.heappush(ready, (now + later.delay, -later.hours, count, later))
    makespan = max(finished.values())
    return makespan, busy / (gpus * makespan), again


def main() -> None:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--profile", default="paper", help="overlay on params.yaml (default: paper)")
    made.add_argument("--gpu", default="a100", help="one of pipeline.plan.GPUS (default: a100)")
    made.add_argument("--gpus", type=int, nargs="+", default=[1, 8, 32, 99], help="numbers of GPUs (default: 1 8 32 99)")
    made.add_argument("--overhead", type=float, default=0.02, help="hours of a cell beside its training (default: 0.02)")
    made.add_argument("--pool", type=float, default=0.25, help="hours to make a pool (default: 0.25)")
    made.add_argument(
        "--mtbf",
        type=float,
        default=20.0,
        help="hours between failures of a GPU, in the last columns (default: 20, as of machines that may be taken away)",
    )
    args: Any = made.parse_args()
    work = jobs(args.profile, args.gpu, args.overhead, args.pool)
    print(
        f"{len(work)} trainings, {sum(job.hours for job in work):.0f} GPU hours; the longest takes {max(job.hours for job in work):.1f}\n"
    )
    print(f"| {args.gpu} | hours | busy | hours with failures | begun again |\n|---|---|---|---|---|")
    for gpus in args.gpus:
        hours, busy, _ = simulate(work, gpus)
        failing = [simulate(work, gpus, args.mtbf, seed) for seed in range(20)]
        middle, again = (float(np.median([one[k] for one in failing])) for k in (0, 2))
        print(f"| {gpus} | {hours:.1f} | {busy:.0%} | {middle:.1f} | {again:.0f} |")


if __name__ == "__main__":
    main()
