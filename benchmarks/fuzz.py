"""Coverage-guided fuzzing of every reader (`tests.fuzz.TARGETS`) with atheris, at low priority.

    python -m venv .venv.fuzz && .venv.fuzz/bin/pip install atheris==3.0.0
    PYTHONPATH=.:.venv/lib/python3.11/site-packages .venv.fuzz/bin/python -m benchmarks.fuzz --seconds 3600

Targets take turns of 100 s, `--jobs` of them at a time, until they have had `--seconds` of CPU time together. Inputs that
found something new are kept in build/fuzz/<target>, so a later call goes on from them; what broke a reader lies in
build/fuzz/<target>.faults; build/fuzz.json holds CPU seconds, inputs and faults of each target. A fault is any exception
but PipelineError, a crash, more than 30 s or 2.5 GB for one input. At the end those found so far are tried again; exit
code 1 where one is left.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "benchmarks/fuzz.md"
TURN = 100  # seconds
MEMORY = Path("/dev/shm")  # inputs are written to files: on a disk that takes most of the time
INSTRUMENTED = ["pipeline", "pydicom", "plistlib", "ruamel"]


def fuzz(name: str, arguments: list[str]) -> None:
    """Feed one target until libFuzzer's limits end this process."""
    import atheris

    with atheris.instrument_imports(include=INSTRUMENTED):
        import logging

        from tests.fuzz import TARGETS, survives

        target = TARGETS[name]
        for seed in target.seeds(Path(tempfile.mkdtemp())):
            survives(target, seed, Path(tempfile.mkdtemp()))  # what is imported late is instrumented too
    logging.disable()
    warnings.simplefilter("ignore")
    folder = Path(tempfile.mkdtemp())
    atheris.Setup([sys.argv[0], *arguments], lambda data: survives(target, data, folder) and None)
    atheris.Fuzz()


def fed(name: str, *arguments: str) -> tuple[int, str, float]:
    """Exit code, output and CPU seconds of libFuzzer on one target, in a process of its own."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.fuzz",
        "--target",
        name,
        "-timeout=30",
        "-report_slow_units=30",
        "-rss_limit_mb=2500",
        *arguments,
    ]
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as scratch, tempfile.TemporaryFile() as output:
        environment = {**os.environ, "TMPDIR": scratch, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)  # it was waited for here
        output.seek(0)
        said = output.read().decode("utf-8", "replace")
    return process.returncode, said, used.ru_utime + used.ru_stime


def found(name: str, build: Path) -> list[Path]:
    """The inputs that broke a reader, in this call or an earlier one."""
    return sorted(path for path in (build / "fuzz" / f"{name}.faults").glob("*") if path.suffix != ".txt")


def turn(name: str, build: Path, seconds: int) -> dict[str, Any]:
    """One turn of a target in a process of its own."""
    corpus, faults = build / "fuzz" / name, build / "fuzz" / f"{name}.faults"
    if not corpus.is_dir():
        from tests.fuzz import TARGETS

        corpus.mkdir(parents=True)
        with tempfile.TemporaryDirectory() as scratch:
            for number, seed in enumerate(TARGETS[name].seeds(Path(scratch))):
                (corpus / f"seed{number}").write_bytes(seed)
    faults.mkdir(exist_ok=True)
    code, said, cpu = fed(
        name, f"-max_total_time={seconds}", "-max_len=20000", "-print_final_stats=1", f"-artifact_prefix={faults}/", str(corpus)
    )
    runs = re.search(r"number_of_executed_units:\s*(\d+)", said)
    if code and not any(faults.iterdir()):
        raise SystemExit(f"{name} ended with {code}:\n{said[-3000:]}")
    for path in found(name, build):
        if not path.with_suffix(".txt").exists():
            path.with_suffix(".txt").write_text(said[-6000:])
    return {"cpu_seconds": round(cpu, 1), "inputs": int(runs[1]) if runs else 0}


def summary(record: dict[str, Any], left: dict[str, int]) -> str:
    keys = ("inputs", "cpu_seconds", "faults")
    rows = [(name, *(one[key] for key in keys), left[name]) for name, one in record.items()]
    rows.append(("all", *(sum(row[k] for row in rows) for k in range(1, 5))))
    table = [f"| {name} | {inputs} | {seconds:.0f} | {faults} | {still} |" for name, inputs, seconds, faults, still in rows]
    return "\n".join(["| reader | inputs | CPU seconds | faults found | left |", "|---|---|---|---|---|", *table])


def main() -> None:
    if sys.argv[1:2] == ["--target"]:
        fuzz(sys.argv[2], sys.argv[3:])
        return
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--seconds", type=float, default=3600, help="CPU seconds of all targets together, earlier calls included")
    made.add_argument("--only", nargs="*", help="targets (default: all)")
    made.add_argument("--build", type=Path, default=ROOT / "build", help="folder for inputs and the record (default: build)")
    made.add_argument("--jobs", type=int, default=1, help="targets at a time (default: 1)")
    made.add_argument("--nice", type=int, default=19, help="lowest priority 19 (default) to 0")
    args = made.parse_args()
    os.nice(max(0, args.nice - os.nice(0)))
    from tests.fuzz import TARGETS

    build = args.build.absolute()
    file = build / "fuzz.json"
    empty = {"cpu_seconds": 0.0, "inputs": 0, "faults": 0}
    record = {name: dict(empty) for name in TARGETS} | (json.loads(file.read_text()) if file.is_file() else {})
    names = args.only or list(TARGETS)
    while sum(one["cpu_seconds"] for one in record.values()) < args.seconds:
        least = sorted(names, key=lambda one: record[one]["cpu_seconds"])[: args.jobs]
        with ThreadPoolExecutor(args.jobs) as pool:
            done = dict(zip(least, pool.map(lambda name: turn(name, build, TURN), least), strict=True))
        for name, counts in done.items():
            for key, value in counts.items():
                record[name][key] = round(record[name][key] + value, 1)
            record[name]["faults"] = len(found(name, build))
            print(f"{name}: {record[name]}", flush=True)
        file.write_text(json.dumps(record, indent=1) + "\n")
    left = {name: sum(fed(name, str(path))[0] != 0 for path in found(name, build)) for name in record}
    text = f"# Inputs fuzzed\n\nWritten by `python -m benchmarks.fuzz --seconds {args.seconds:g}`.\n\n{summary(record, left)}\n"
    PAGE.write_text(text)
    print(text)
    sys.exit(any(left.values()))


if __name__ == "__main__":
    main()
