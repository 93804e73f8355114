"""Do two runs give the same bytes? And what changes with data workers and with threads?

python -m benchmarks.determinism --profile smoke

Four runs from scratch in clones of HEAD below build/determinism: `first` and `second` alike, `workers` with two data loading
processes, `threads` with another number of threads. A clone that is complete is not run again. Written to
build/determinism.json: how many outputs (files of dvc.lock's hashes, and of reports/) are equal to those of `first`, and
how far weights, detections and metrics of `threads` are from them. Exit code 1 where `second` differs at all, or `workers`
in anything but the pages that list the params.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.io import sha256
from pipeline.params import read_yaml
from pipeline.profile import write

ROOT = Path(__file__).parents[1]
RUNS: dict[str, dict[str, Any]] = {"first": {}, "second": {}, "workers": {"runtime": {"workers": 2}}, "threads": {"runtime": {}}}
LISTED = ("reports/index.html",)  # shows the params and the hashes of the files behind it
ENVIRONMENT = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "GIT_CONFIG_GLOBAL": os.devnull}


def run(work: Path, profile: str, overlay: dict[str, Any]) -> Path:
    """A clone after `dvc repro`."""
    if (work / "done").is_file():
        return work
    shutil.rmtree(work, ignore_errors=True)
    subprocess.run(["git", "clone", "--quiet", ROOT, work], check=True)
    (work / "dvc.lock").unlink(missing_ok=True)
    if (ROOT / ".cache").is_dir():
        (work / ".cache").symlink_to(ROOT / ".cache")
    subprocess.run([sys.executable, "-m", "pipeline.profile", profile, "--write"], cwd=work, env=ENVIRONMENT, check=True)
    write(overlay, work / "params.yaml")
    subprocess.run([sys.executable, "-m", "dvc", "repro", "--quiet"], cwd=work, env=ENVIRONMENT, check=True)
    (work / "done").touch()
    return work


def hashes(work: Path) -> dict[str, str]:
    """Path -> hash of every output that DVC keeps, and of every report."""
    found = {
        out["path"]: out["md5"]
        for stage in read_yaml(work / "dvc.lock")["stages"].values()
        for out in stage["outs"]
        if not out["path"].startswith("reports/")
    }
    return found | {path.relative_to(work).as_posix(): sha256(path) for path in (work / "reports").rglob("*") if path.is_file()}


def differing(one: dict[str, str], other: dict[str, str]) -> list[str]:
    return sorted(path for path in one.keys() | other.keys() if one.get(path) != other.get(path))


def distances(one: Path, other: Path) -> dict[str, float]:
    """Largest absolute differences between two runs: of weights, of the scores of paired detections, of metrics."""
    from pipeline.training.checkpoints import load_state

    weights = scores = metrics = 0.0
    for file in sorted(one.glob("models/**/model.pth")):
        mine, theirs = (dict(_tensors(load_state(path))) for path in (file, other / file.relative_to(one)))
        weights = max(weights, *(float((mine[key].double() - theirs[key].double()).abs().max()) for key in mine if mine[key].numel()))
    for file in sorted(one.glob("predictions/*/*.json")):
        mine, theirs = (
            sorted((d["score"] for d in json.loads(path.read_text())), reverse=True) for path in (file, other / file.relative_to(one))
        )
        scores = max(scores, *(abs(a - b) for a, b in zip(mine, theirs, strict=False)), 0.0)
    mine, theirs = (dict(_numbers(json.loads((work / "reports/metrics.json").read_text())["points"])) for work in (one, other))
    metrics = max((abs(mine[key] - theirs[key]) for key in mine.keys() & theirs.keys() if key.endswith(".value")), default=0.0)
    return {"weights": weights, "detection_scores": scores, "metrics": metrics}


def _tensors(state: Any) -> Iterator[tuple[str, Any]]:
    for key, value in state.items():
        if isinstance(value, dict):
            yield from ((f"{key}.{name}", tensor) for name, tensor in _tensors(value))
        elif hasattr(value, "numel"):
            yield key, value


def _numbers(value: Any, prefix: str = "") -> Iterator[tuple[str, float]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _numbers(inner, f"{prefix}.{key}")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield prefix, float(value)


def summary(record: dict[str, Any]) -> str:
    """The record as a page."""
    rows = [f"| {name} | {len(record[name]['differing'])} | {', '.join(record[name]['differing'])} |" for name in ("second", "workers")]
    apart = record["threads"]
    moved = ", ".join(f"{name.replace('_', ' ')} {apart[name]:.3g}" for name in ("weights", "detection_scores", "metrics"))
    return "\n".join(
        [
            "# Runs compared, byte by byte",
            "",
            f"Written by `python -m benchmarks.determinism --profile {record['profile']}`.",
            f"Each run has {record['outputs']} outputs and reports.",
            "",
            "| run | that differ from the first | which |",
            "|---|---|---|",
            *rows,
            "",
            f"With {apart['of'][1]} instead of {apart['of'][0]} threads results are near, not equal. Largest differences: {moved}.",
            "",
        ]
    )


def main() -> None:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--profile", default="smoke")
    made.add_argument("--build", type=Path, default=ROOT / "build", help="folder for the clones and the record (default: build)")
    args = made.parse_args()
    threads = (
        read_yaml(ROOT / f"profiles/{args.profile}.yaml")
        .get("runtime", {})
        .get("threads", read_yaml(ROOT / "params.yaml")["runtime"]["threads"])
    )
    RUNS["threads"] = {"runtime": {"threads": 1 if threads > 1 else 2}}
    folder = args.build.absolute() / "determinism" / args.profile
    works = {name: run(folder / name, args.profile, overlay) for name, overlay in RUNS.items()}
    found = {name: hashes(work) for name, work in works.items()}
    record: dict[str, Any] = {"profile": args.profile, "threads": threads, "outputs": len(found["first"])}
    for name in ("second", "workers", "threads"):
        record[name] = {"differing": differing(found["first"], found[name])}
    record["threads"] = {"of": [threads, RUNS["threads"]["runtime"]["threads"]], **distances(works["first"], works["threads"])}
    (args.build / f"determinism-{args.profile}.json").write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps(record, indent=1))
    (ROOT / "benchmarks/determinism.md").write_text(summary(record))
    wrong = [*record["second"]["differing"], *(path for path in record["workers"]["differing"] if path not in LISTED)]
    sys.exit(f"these differ: {wrong}" if wrong else 0)


if __name__ == "__main__":
    main()
