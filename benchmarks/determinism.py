"""Do two runs give the same bytes, however they were started and interrupted? What changes with workers, threads, other test pixels?

python -m benchmarks.determinism --profile smoke

Six runs from scratch in clones of HEAD below build/determinism. `first` is one `dvc repro`; `second` is `make run` with
two trainings at once; `killed` is `make run`, killed (SIGKILL to the whole process group) again and again at random
moments, until it is through; `workers` has two data loading processes; `threads` another number of threads; `blind` has
noise in the place of every pixel of the test part, put there after `preprocess`. A clone that is complete is not run again.
Written to build/determinism-<profile>.json and benchmarks/determinism.md: how many outputs
(files of dvc.lock's hashes, and of reports/) are equal to those of `first`, and how far weights, detections and metrics of
`threads` are from them. Exit code 1 where `second` or `killed` differs at all, `workers` in anything but the pages that
list the params, or `blind` in anything that is learned, or nowhere in the detections on the test part.
"""

import argparse
import csv
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.io import read_image, sha256, write_png
from pipeline.params import read_yaml
from pipeline.profile import write
from pipeline.rng import generator

ROOT = Path(__file__).parents[1]
LONGEST, GROWTH = 30.0, 1.1  # s; so that the longest stage gets through at last
RUNS = ("first", "second", "killed", "workers", "threads", "blind")
LEARNED = ("data/hosts", "data/pools/", "data/trainsets/", "models/")  # and the detections on the val part
LISTED = ("reports/index.html",)  # shows the params and the hashes of the files behind it
ENVIRONMENT = {
    **os.environ,
    "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "OMP_WAIT_POLICY": "PASSIVE",
}
DVC = [sys.executable, "-m", "dvc"]
REPRO = [*DVC, "repro", "--quiet"]
MAKE_RUN = [sys.executable, "-m", "stages.run"]


def run(name: str, work: Path, profile: str, overlay: dict[str, Any]) -> Path:
    """A clone in which everything was run; the file `done` holds how often it was killed."""
    if (work / "done").is_file():
        return work
    shutil.rmtree(work, ignore_errors=True)
    subprocess.run(["git", "clone", "--quiet", ROOT, work], check=True)
    first = work.parent / "first"
    if (first / "done").is_file():
        subprocess.run(["git", "checkout", "--quiet", "--detach", revision(first)], cwd=work, check=True)
    (work / "dvc.lock").unlink(missing_ok=True)
    if (ROOT / ".cache").is_dir():
        (work / ".cache").symlink_to(ROOT / ".cache")
    subprocess.run([sys.executable, "-m", "pipeline.profile", profile, "--write"], cwd=work, env=ENVIRONMENT, check=True)
    write(overlay, work / "params.yaml")
    kills = 0
    if name == "killed":
        kills = killed_again_and_again([*MAKE_RUN, "--jobs", "1"], work)
    else:
        if name == "blind":
            blindfold(work)
        subprocess.run([*MAKE_RUN, "--jobs", "2"] if name == "second" else REPRO, cwd=work, env=ENVIRONMENT, check=True)
    (work / "done").write_text(f"{kills}\n")
    return work


def revision(work: Path) -> str:
    return subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], cwd=work, text=True).strip()


def blindfold(work: Path) -> None:
    """Run `preprocess`, put noise into its test images and patches, turn their masks upside down, and make DVC take that for its output."""
    subprocess.run([*REPRO, "preprocess"], cwd=work, env=ENVIRONMENT, check=True)
    prepared = work / "data/prepared"
    with open(prepared / "patches/patches.csv", newline="", encoding="utf-8") as file:
        names = [f"{row['patch']}.png" for row in csv.DictReader(file) if row["split"] == "test"]
    for path in [*sorted((prepared / "test/images").iterdir()), *(prepared / "patches/images" / name for name in names)]:
        image = read_image(path)
        write_png(path, generator(17, "blind", path.stem).integers(0, np.iinfo(image.dtype).max + 1, image.shape, image.dtype))
    for path in (prepared / "patches/masks" / name for name in names):
        write_png(path, np.ascontiguousarray(read_image(path)[::-1]))
    subprocess.run([*DVC, "commit", "--quiet", "--force", "preprocess"], cwd=work, env=ENVIRONMENT, check=True)


def learned(path: str) -> bool:
    return path.startswith(LEARNED) or path.endswith(".val.json")


def killed_again_and_again(command: list[str], work: Path) -> int:
    """Run a command until it ends well, killed up to `LONGEST` seconds after each start, later each time; number of kills."""
    for number in itertools.count():
        process = subprocess.Popen(command, cwd=work, env=ENVIRONMENT, start_new_session=True)
        try:
            code = process.wait(timeout=LONGEST * GROWTH**number * float(np.random.default_rng([17, number]).random()))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            continue
        if code:
            raise SystemExit(f"{' '.join(command)} in {work} ended with {code} after {number} kills")
        return number
    raise AssertionError


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


def seen_in(first: dict[str, str], blind: dict[str, str]) -> dict[str, int]:
    """How many outputs are learned or detected on test, and how many of each another test part changes."""
    changed, tested = differing(first, blind), [path for path in first if path.startswith("predictions/") and not learned(path)]
    return {
        "learned": sum(map(learned, first)),
        "learned_differing": sum(map(learned, changed)),
        "tested": len(tested),
        "tested_differing": sum(path in changed for path in tested),
    }


def distances(one: Path, other: Path) -> dict[str, float]:
    """Largest absolute differences between two runs: of weights, of the scores of paired detections, of sensitivities at 1 FP/image."""
    from pipeline.training.checkpoints import load_state

    weights = scores = 0.0
    for file in sorted(one.glob("models/**/model.pth")):
        mine, theirs = (dict(_tensors(load_state(path))) for path in (file, other / file.relative_to(one)))
        weights = max(weights, *(float((mine[key].double() - theirs[key].double()).abs().max()) for key in mine if mine[key].numel()))
    for file in sorted(one.glob("predictions/*/*.json")):
        own_scores, their_scores = (
            sorted((d["score"] for d in json.loads(path.read_text())), reverse=True) for path in (file, other / file.relative_to(one))
        )
        scores = max(scores, *(abs(x - y) for x, y in zip(own_scores, their_scores, strict=False)), 0.0)
    a, b = (dict(_numbers(json.loads((work / "reports/metrics.json").read_text())["points"])) for work in (one, other))
    sensitivity = max((abs(a[key] - b[key]) for key in a.keys() & b.keys() if key.endswith(".mean.sens_at_1fp.value")), default=0.0)
    return {"weights": weights, "detection_scores": scores, "sensitivity_at_1_FP": sensitivity}


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
    says = {
        "second": "`make run`, two trainings at once",
        "killed": f"`make run`, killed {record['killed']['kills']} times",
        "workers": "`dvc repro`, two data loading processes",
    }
    rows = [f"| {words} | {len(record[name]['differing'])} | {', '.join(record[name]['differing'])} |" for name, words in says.items()]
    apart, blind = record["threads"], record["blind"]
    moved = ", ".join(f"{name.replace('_', ' ')} {apart[name]:.3g}" for name in ("weights", "detection_scores", "sensitivity_at_1_FP"))
    return "\n".join(
        [
            "# Runs compared, byte by byte",
            "",
            f"Written by `python -m benchmarks.determinism --profile {record['profile']}`, at revision {record['revision']}.",
            f"All runs are from scratch, of {record['outputs']} outputs and reports each, and compared with one undisturbed `dvc repro`.",
            "",
            "| run | that differ | which |",
            "|---|---|---|",
            *rows,
            "",
            "With noise for every pixel of the test part after `preprocess`, of the learned outputs (hosts, pools, trainsets, models,",
            f"detections on val) {blind['learned_differing']} of {blind['learned']} differ, of the detections on test "
            f"{blind['tested_differing']} of {blind['tested']}.",
            "",
            f"{' and '.join(LISTED)} shows the params, `runtime.workers` among them.",
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
    default, profile = (read_yaml(ROOT / name) for name in ("params.yaml", f"profiles/{args.profile}.yaml"))
    threads = profile.get("runtime", {}).get("threads", default["runtime"]["threads"])
    others = 1 if threads > 1 else 2
    overlays: dict[str, dict[str, Any]] = {"workers": {"runtime": {"workers": 2}}, "threads": {"runtime": {"threads": others}}}
    folder = args.build.absolute() / "determinism" / args.profile
    works = {name: run(name, folder / name, args.profile, overlays.get(name, {})) for name in RUNS}
    found = {name: hashes(work) for name, work in works.items()}
    record: dict[str, Any] = {"profile": args.profile, "revision": revision(works["first"]), "outputs": len(found["first"])}
    for name in ("second", "killed", "workers"):
        record[name] = {"differing": differing(found["first"], found[name])}
    record["killed"]["kills"] = int((works["killed"] / "done").read_text())
    record["threads"] = {"of": [threads, others], **distances(works["first"], works["threads"])}
    record["blind"] = seen_in(found["first"], found["blind"])
    (args.build / f"determinism-{args.profile}.json").write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps(record, indent=1))
    (ROOT / "benchmarks/determinism.md").write_text(summary(record))
    wrong = [path for name in ("second", "killed") for path in record[name]["differing"]]
    wrong += [path for path in record["workers"]["differing"] if path not in LISTED]
    if record["blind"]["learned_differing"]:
        wrong += [path for path in differing(found["first"], found["blind"]) if learned(path)]
    if not record["blind"]["tested_differing"]:
        wrong.append("no detection where all test pixels differ, which must: that run shows nothing")
    sys.exit(f"these differ: {wrong}" if wrong else 0)


if __name__ == "__main__":
    main()
