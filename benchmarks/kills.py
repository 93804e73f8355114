"""SIGKILL at random moments in every stage; the next `dvc repro` has to end with the bytes of an undisturbed run.

python -m benchmarks.kills --trials 60

Works in a clone of this repository's HEAD below build/kills, on the profile tiny, with longer trainings that write a
checkpoint at every chance, so that many kills hit one. One trial: the outputs of a stage are removed, `dvc repro
--single-item --no-run-cache` runs it, and after a random share of the stage's own time the whole process group is
killed. Then `make run`, without the run cache, must succeed, and dvc.lock (the hash of every output) and reports/ must
be those of the undisturbed run. Each trial adds a line to build/kills.jsonl; called again, it goes on with the next
one. A trial that ended before its kill does not count. Exit code 1 at the first difference.
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
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.io import sha256
from pipeline.params import read_yaml
from pipeline.profile import write

ROOT = Path(__file__).parents[1]
LONGER = {"masks": {"iterations": 60}, "gen": {"train": {"iterations": 40}}, "detector": {"iterations": 60}}
ENVIRONMENT = {
    **os.environ,
    "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    "GIT_CONFIG_GLOBAL": os.devnull,
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
        began = time.monotonic()
        remove_outputs(work, stage)
        dvc(work, "repro", "--single-item", "--no-run-cache", stage)
        seconds[stage] = time.monotonic() - began
    if state(work) != before:
        raise SystemExit("every stage run twice, undisturbed, gives other bytes")
    found = {"seconds": seconds, "state": before}
    record.write_text(json.dumps(found, indent=1))
    return found


def state(work: Path) -> dict[str, str]:
    """Hashes of dvc.lock, which holds those of all outputs, and of the reports."""
    files = [work / "dvc.lock", *sorted(path for path in (work / "reports").rglob("*") if path.is_file())]
    return {path.relative_to(work).as_posix(): sha256(path) for path in files}


def remove_outputs(work: Path, stage: str) -> None:
    for out in read_yaml(work / "dvc.lock")["stages"][stage]["outs"]:
        path = work / out["path"]
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def trial(work: Path, number: int, undisturbed: dict[str, Any]) -> dict[str, Any]:
    """Kill a stage, run again, compare."""
    stages = sorted(undisturbed["seconds"])
    stage = stages[number % len(stages)]
    after = undisturbed["seconds"][stage] * float(np.random.default_rng([17, number]).random())
    remove_outputs(work, stage)
    command = [sys.executable, "-m", "dvc", "repro", "--single-item", "--no-run-cache", stage]
    process = subprocess.Popen(
        command, cwd=work, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        process.wait(timeout=after)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
    killed = process.wait() == -signal.SIGKILL
    left = sorted(path.parent.parent.name for path in (work / ".resume").rglob("iteration_*.pth"))
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
        "checkpoint_left": bool(left),
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
    made.add_argument("--trials", type=int, default=60, help="trials in all, those of earlier calls included (default: 60)")
    made.add_argument("--build", type=Path, default=ROOT / "build", help="folder for the clone and the record (default: build)")
    made.add_argument("--nice", type=int, default=19, help="lowest priority 19 (default) to 0")
    args = made.parse_args()
    os.nice(max(0, args.nice - os.nice(0)))
    args.build.mkdir(parents=True, exist_ok=True)
    work, record = args.build / "kills", args.build / "kills.jsonl"
    undisturbed = prepare(work)
    lines = [json.loads(line) for line in record.read_text().splitlines()] if record.is_file() else []
    for number in range(len(lines), args.trials):
        lines.append(trial(work, number, undisturbed))
        with open(record, "a", encoding="utf-8") as file:
            file.write(json.dumps(lines[-1]) + "\n")
        print(json.dumps({key: lines[-1][key] for key in ("trial", "item", "after_s", "killed", "went_on", "survived")}), flush=True)
        if not lines[-1]["survived"]:
            raise SystemExit(f"trial {number} differs: {lines[-1]['differing']}\n{lines[-1]['said']}")
    revision = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=work, capture_output=True, text=True, check=True).stdout.strip()
    text = (
        f"# Kills survived\n\nWritten by `python -m benchmarks.kills --trials {args.trials}`, at revision {revision}.\n\n{summary(lines)}\n"
    )
    (ROOT / "benchmarks/kills.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
