"""SIGKILL at random moments in every stage; the next `dvc repro` has to end with the bytes of an undisturbed run.

python -m benchmarks.kills --kills 60

Works in a clone of this repository's HEAD below build/kills, on the profile tiny, with longer trainings that write a
checkpoint at every chance, so that many kills hit one. One trial: the outputs of a stage and its entry in dvc.lock are
removed (else DVC takes them from its cache), `dvc repro --single-item --no-run-cache` runs it, and when a random share of
the time from the start of the stage's command to the end of DVC is over, the whole process group is killed. Then `make
run`, without the run cache, must succeed, and dvc.lock (the hash of every output) and reports/ must be those of the
undisturbed run. Stages take turns, trainings twice a round. Each trial adds a line to build/kills.jsonl;
called again, it goes on with the next one. A trial that ended before its kill does not count. Exit code 1 at the first
difference.
"""

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.io import sha256
from pipeline.params import read_yaml
from pipeline.profile import write

ROOT = Path(__file__).parents[1]
LONGER = {"masks": {"iterations": 200}, "gen": {"train": {"iterations": 40}}, "detector": {"iterations": 150}}
TRAININGS = ("train_masks", "train_infill", "train_detector")
SHOWN = ("trial", "item", "after_s", "killed", "ran_again", "went_on", "survived")
UNDISTURBED = ".undisturbed"  # a file in the clone: the run that everything is compared with is complete
STARTED = "Running stage"  # DVC says so right before it starts a stage's command
ENVIRONMENT = {
    **os.environ,
    "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "PYTHONUNBUFFERED": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}


def run(work: Path, *command: str) -> None:
    """Run a command to its end; its output is shown where it fails."""
    done = subprocess.run(command, cwd=work, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} in {work} ended with {done.returncode}:\n{done.stdout[-3000:]}")


def dvc(work: Path, *arguments: str) -> None:
    run(work, sys.executable, "-m", "dvc", *arguments)


def prepare(work: Path) -> dict[str, Any]:
    """The clone after an undisturbed run: time of each stage in seconds, and the hashes that trials must end with."""
    record = work.parent / f"{work.name}.undisturbed.json"
    if record.is_file():
        return dict(json.loads(record.read_text()))
    if not (work / UNDISTURBED).is_file():
        undisturbed(work)
    before, seconds = state(work), {}
    for stage in read_yaml(work / "dvc.lock")["stages"]:
        forget(work, stage)
        process = start(work, stage)
        began = time.monotonic()
        if process.wait() or STARTED not in said(work):
            raise SystemExit(f"{stage} fails: {said(work)[-3000:]}")
        seconds[stage] = time.monotonic() - began
    if state(work) != before:
        raise SystemExit("every stage run twice, undisturbed, gives other bytes")
    found = {"seconds": seconds, "state": before}
    record.write_text(json.dumps(found, indent=1))
    return found


def undisturbed(work: Path) -> None:
    """A clone of HEAD in which everything was run."""
    shutil.rmtree(work, ignore_errors=True)
    run(ROOT, "git", "clone", "--quiet", str(ROOT), str(work))
    (work / "dvc.lock").unlink(missing_ok=True)
    if (ROOT / ".cache").is_dir():
        (work / ".cache").symlink_to(ROOT / ".cache")
    engine = work / "pipeline/training/engine.py"
    engine.write_text(engine.read_text().replace("save_seconds: float = 60.0", "save_seconds: float = 0.0"))
    run(work, sys.executable, "-m", "pipeline.profile", "tiny", "--write")
    write(LONGER, work / "params.yaml")
    dvc(work, "repro")
    (work / UNDISTURBED).touch()


def start(work: Path, stage: str) -> subprocess.Popen[bytes]:
    """DVC in a process group of its own, at the moment when it has started the stage's command (or has ended without)."""
    command = [sys.executable, "-m", "dvc", "repro", "--single-item", "--no-run-cache", stage]
    with open(log(work), "w") as file:
        process = subprocess.Popen(command, cwd=work, env=ENVIRONMENT, stdout=file, stderr=subprocess.STDOUT, start_new_session=True)
    while STARTED not in said(work) and process.poll() is None:
        time.sleep(0.01)
    return process


def log(work: Path) -> Path:
    return work.parent / f"{work.name}.log"


def said(work: Path) -> str:
    return log(work).read_text(errors="replace")


def state(work: Path) -> dict[str, str]:
    """Hashes of what dvc.lock says, which are those of all outputs, and of the reports."""
    lock = json.dumps(read_yaml(work / "dvc.lock"), sort_keys=True)
    files = sorted(path for path in (work / "reports").rglob("*") if path.is_file())
    return {"dvc.lock": hashlib.sha256(lock.encode()).hexdigest()} | {path.relative_to(work).as_posix(): sha256(path) for path in files}


def forget(work: Path, stage: str) -> None:
    """Remove the outputs of a stage and its entry in dvc.lock, as if it had never run."""
    lock = read_yaml(work / "dvc.lock")
    for out in lock["stages"].pop(stage, {"outs": []})["outs"]:  # it is not there where this program was interrupted
        path = work / out["path"]
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    (work / "dvc.lock").write_text(json.dumps(lock, indent=1))


def turns(stages: Iterable[str]) -> list[str]:
    """A round of trials: every stage, and once more those that have checkpoints to hit."""
    return sorted([*stages, *(stage for stage in stages if stage.startswith(TRAININGS))])


def trial(work: Path, number: int, known: dict[str, Any]) -> dict[str, Any]:
    """Kill a stage, run again, compare."""
    stages = turns(known["seconds"])
    stage = stages[number % len(stages)]
    after = known["seconds"][stage] * float(np.random.default_rng([17, number]).random())
    forget(work, stage)
    process = start(work, stage)
    try:
        process.wait(timeout=after)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
    killed = process.wait() == -signal.SIGKILL
    done = subprocess.run(
        [sys.executable, "-m", "stages.run", "--no-run-cache"],
        cwd=work,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    now = state(work) if done.returncode == 0 else {}
    differing = sorted(name for name in known["state"] if now.get(name) != known["state"][name])
    return {
        "trial": number,
        "stage": stage.split("@")[0],
        "item": stage,
        "after_s": round(after, 2),
        "killed": killed,
        "ran_again": f"{STARTED} '{stage}'" in done.stdout,
        "went_on": "going on after iteration" in done.stdout,
        "survived": not differing,
        "differing": differing,
        "said": "" if not differing else done.stdout[-2000:],
    }


def summary(lines: list[dict[str, Any]]) -> str:
    kills = [line for line in lines if line["killed"]]
    tried, survived = Counter(line["stage"] for line in kills), Counter(line["stage"] for line in kills if line["survived"])
    rows = [f"| {stage} | {survived[stage]} of {tried[stage]} |" for stage in sorted(tried)]
    total = f"| all | {sum(survived.values())} of {len(kills)} |"
    again, resumed = (sum(line[key] for line in kills) for key in ("ran_again", "went_on"))
    over = f"; before {len(kills) - again} it had ended" if again < len(kills) else ""
    after = f"After {again} of them the stage ran again, {resumed} trainings from a checkpoint{over}."
    return "\n".join(["| stage | kills survived |", "|---|---|", *rows, total, "", after])


def clones(build: Path, jobs: int) -> list[Path]:
    return [build / f"kills{number or ''}" for number in range(jobs)]


def main() -> None:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--kills", type=int, default=60, help="kills in all, those of earlier calls included (default: 60)")
    made.add_argument("--build", type=Path, default=ROOT / "build", help="folder for the clone and the record (default: build)")
    made.add_argument("--jobs", type=int, default=1, help="trials at a time, each in a clone of its own (default: 1)")
    made.add_argument("--nice", type=int, default=19, help="lowest priority 19 (default) to 0")
    args = made.parse_args()
    os.nice(max(0, args.nice - os.nice(0)))
    args.build.mkdir(parents=True, exist_ok=True)
    works, record = clones(args.build, args.jobs), args.build / "kills.jsonl"
    known = prepare(works[0])
    for work in works[1:]:
        if not (work / UNDISTURBED).is_file():
            shutil.rmtree(work, ignore_errors=True)
            shutil.copytree(works[0], work, symlinks=True)
    lines = [json.loads(line) for line in record.read_text().splitlines()] if record.is_file() else []
    while sum(line["killed"] for line in lines) < args.kills:
        with ThreadPoolExecutor(args.jobs) as pool:
            new = list(pool.map(lambda work, number: trial(work, number, known), works, range(len(lines), len(lines) + args.jobs)))
        for line in new:
            print(json.dumps({key: line[key] for key in SHOWN}), flush=True)
            if not line["survived"]:
                raise SystemExit(f"trial {line['trial']} differs: {line['differing']}\n{line['said']}")
        lines += new
        record.write_text("".join(json.dumps(line) + "\n" for line in lines))
    revision = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=works[0], capture_output=True, text=True, check=True
    ).stdout.strip()
    text = (
        f"# Kills survived\n\nWritten by `python -m benchmarks.kills --kills {args.kills}`, at revision {revision}.\n\n{summary(lines)}\n"
    )
    (ROOT / "benchmarks/kills.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
