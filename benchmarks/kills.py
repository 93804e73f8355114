"""SIGKILL at random moments in every stage; the next `dvc repro` has to end with the bytes of an undisturbed run.

python -m benchmarks.kills --kills 60

Works in a clone of this repository's HEAD below build/kills, on the profile tiny, with longer trainings that write a
checkpoint at every chance, so that many kills hit one. One trial: the outputs of a stage are removed, `dvc repro
--single-item --no-run-cache` runs it, and when a random share of the time from the start of the stage's command to the
end of DVC is over, the whole process group is killed. Then `make run`, without the run cache, must succeed, and dvc.lock
(the hash of every output) and reports/ must be those of the undisturbed run. Stages take turns, trainings twice a round.
Each trial adds a line to build/kills.jsonl; called again, it goes on with the next one. A trial that ended before its
kill does not count. Exit code 1 at the first difference.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.io import sha256
from pipeline.params import read_yaml
from pipeline.profile import write

ROOT = Path(__file__).parents[1]
LONGER = {"masks": {"iterations": 200}, "gen": {"train": {"iterations": 40}}, "detector": {"iterations": 150}}
TRAININGS = ("train_masks", "train_infill", "train_detector")
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
    before, seconds = state(work), {}
    for stage in read_yaml(work / "dvc.lock")["stages"]:
        remove_outputs(work, stage)
        process = start(work, stage)
        began = time.monotonic()
        if process.wait():
            raise SystemExit(f"{stage} fails: {said(work)[-3000:]}")
        seconds[stage] = time.monotonic() - began
    if state(work) != before:
        raise SystemExit("every stage run twice, undisturbed, gives other bytes")
    found = {"seconds": seconds, "state": before}
    record.write_text(json.dumps(found, indent=1))
    return found


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
    """Hashes of dvc.lock, which holds those of all outputs, and of the reports."""
    files = [work / "dvc.lock", *sorted(path for path in (work / "reports").rglob("*") if path.is_file())]
    return {path.relative_to(work).as_posix(): sha256(path) for path in files}


def remove_outputs(work: Path, stage: str) -> None:
    for out in read_yaml(work / "dvc.lock")["stages"][stage]["outs"]:
        path = work / out["path"]
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def turns(stages: Iterable[str]) -> list[str]:
    """A round of trials: every stage, and once more those that have checkpoints to hit."""
    return sorted([*stages, *(stage for stage in stages if stage.startswith(TRAININGS))])


def trial(work: Path, number: int, undisturbed: dict[str, Any]) -> dict[str, Any]:
    """Kill a stage, run again, compare."""
    stages = turns(undisturbed["seconds"])
    stage = stages[number % len(stages)]
    after = undisturbed["seconds"][stage] * float(np.random.default_rng([17, number]).random())
    remove_outputs(work, stage)
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
    differing = sorted(name for name in undisturbed["state"] if now.get(name) != undisturbed["state"][name])
    return {
        "trial": number,
        "stage": stage.split("@")[0],
        "item": stage,
        "after_s": round(after, 2),
        "killed": killed,
        "went_on": "going on after iteration" in done.stdout,
        "survived": not differing,
        "differing": differing,
        "said": "" if not differing else done.stdout[-2000:],
    }


def summary(lines: list[dict[str, Any]]) -> str:
    kills = [line for line in lines if line["killed"]]
    tried, survived = Counter(line["stage"] for line in kills), Counter(line["stage"] for line in kills if line["survived"])
    rows = [f"| {stage} | {survived[stage]} of {tried[stage]} |" for stage in sorted(tried)]
    resumed = sum(line["went_on"] for line in kills)
    total = f"| all | {sum(survived.values())} of {len(kills)} |"
    return "\n".join(["| stage | kills survived |", "|---|---|", *rows, total, "", f"{resumed} trainings went on from a checkpoint."])


def main() -> None:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--kills", type=int, default=60, help="kills in all, those of earlier calls included (default: 60)")
    made.add_argument("--build", type=Path, default=ROOT / "build", help="folder for the clone and the record (default: build)")
    made.add_argument("--nice", type=int, default=19, help="lowest priority 19 (default) to 0")
    args = made.parse_args()
    os.nice(max(0, args.nice - os.nice(0)))
    args.build.mkdir(parents=True, exist_ok=True)
    work, record = args.build / "kills", args.build / "kills.jsonl"
    undisturbed = prepare(work)
    lines = [json.loads(line) for line in record.read_text().splitlines()] if record.is_file() else []
    while sum(line["killed"] for line in lines) < args.kills:
        number = len(lines)
        lines.append(trial(work, number, undisturbed))
        with open(record, "a", encoding="utf-8") as file:
            file.write(json.dumps(lines[-1]) + "\n")
        print(json.dumps({key: lines[-1][key] for key in ("trial", "item", "after_s", "killed", "went_on", "survived")}), flush=True)
        if not lines[-1]["survived"]:
            raise SystemExit(f"trial {number} differs: {lines[-1]['differing']}\n{lines[-1]['said']}")
    revision = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=work, capture_output=True, text=True, check=True).stdout.strip()
    text = (
        f"# Kills survived\n\nWritten by `python -m benchmarks.kills --kills {args.kills}`, at revision {revision}.\n\n{summary(lines)}\n"
    )
    (ROOT / "benchmarks/kills.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
