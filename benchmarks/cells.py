"""Trainings of a detector with their detections, each in a process of its own; what is done is not done again.

python -m benchmarks.cells FOLDER    (what `run_all` starts: the cell that FOLDER/cell.json describes)

FOLDER gets model/, detections.json and, last of all, done.json. An interrupted training goes on from its checkpoint.
"""

import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pipeline.params import Params, check


@dataclass(frozen=True)
class Cell:
    """trainset, on: annotations.json to learn from and to detect in. backbone: folder of ImageNet weights. seed: as of study.seeds."""

    trainset: Path
    on: Path
    backbone: Path
    params: Params
    seed: int

    @cached_property
    def fingerprint(self) -> str:
        """Of all that decides what is found: settings, annotations (a trainset's hold the hashes of its images), code."""
        from pipeline import coco
        from pipeline.detection.train import CODE
        from pipeline.resume import fingerprint

        detector = self.params.detector.model_dump()
        if not any(image.get("synthetic") for image in coco.read(self.trainset)["images"]):
            del detector["synthetic"]  # without images of pools a training is the same in every mode
        settings = [detector, self.params.detect.model_dump(), self.params.runtime.model_dump(exclude={"workers"})]
        return fingerprint([*settings, self.params.seed, self.seed], [self.trainset, self.on, *CODE])


def done(cell: Cell, folder: Path) -> bool:
    from pipeline.io import read_json

    return (folder / "done.json").is_file() and read_json(folder / "done.json")["fingerprint"] == cell.fingerprint


def run(cell: Cell, folder: Path) -> None:
    """Train and detect, in this process. cpu_seconds of done.json: of the training, null where it went on from an earlier process's."""
    from pipeline.detection import detect
    from pipeline.detection.train import train
    from pipeline.io import read_json, write_json
    from pipeline.rng import integer

    if done(cell, folder):
        return
    state, params = folder / ".resume", cell.params
    # a model without done.json is that of this cell if it is marked as such: then only the detection was interrupted
    marker = folder / "trained.json"
    if not (marker.is_file() and read_json(marker)["fingerprint"] == cell.fingerprint):
        straight, began = not any(state.rglob("*.pth")), time.process_time()
        seed = integer(params.seed, "detector", cell.seed)
        train(cell.trainset, folder / "model", params.detector, params.runtime, seed, state, cell.backbone)
        seconds = round(time.process_time() - began, 1) if straight else None
        write_json(marker, {"fingerprint": cell.fingerprint, "cpu_seconds": seconds})
    detect.write(folder / "model", {folder / "detections.json": cell.on}, params.detect, params.runtime)
    marker.replace(folder / "done.json")


def run_all(cells: Sequence[tuple[Cell, Path]], jobs: int) -> None:
    """Run those that are not done, `jobs` at a time. Raises PipelineError that names the folders of those that failed."""
    from pipeline.errors import raise_all
    from pipeline.schedule import module

    every = {folder: cell for cell, folder in cells}  # two arms may ask for the same cell
    waiting = {folder: cell for folder, cell in every.items() if not done(cell, folder)}
    for folder, cell in waiting.items():
        describe(cell, folder)
    with ThreadPoolExecutor(jobs) as pool:
        codes = list(pool.map(lambda folder: module("benchmarks.cells", str(folder), lines=True), waiting))
    raise_all([f"{folder}: exit code {code}" for folder, code in zip(waiting, codes, strict=True) if code], "trainings that failed")


def describe(cell: Cell, folder: Path) -> None:
    """Write FOLDER/cell.json, by which a process of its own knows what to do."""
    from pipeline.io import write_json

    paths = {name: str(getattr(cell, name)) for name in ("trainset", "on", "backbone")}
    write_json(folder / "cell.json", {**paths, "params": cell.params.model_dump(mode="json"), "seed": cell.seed})


def described(folder: Path) -> Cell:
    """The cell of FOLDER/cell.json."""
    from pipeline.io import read_json

    said: dict[str, Any] = read_json(folder / "cell.json")
    trainset, on, backbone = (Path(said[name]) for name in ("trainset", "on", "backbone"))
    return Cell(trainset, on, backbone, check(said["params"], f"{folder}/cell.json"), said["seed"])


if __name__ == "__main__":
    from pipeline.cli import guarded

    guarded(lambda: run(described(Path(sys.argv[1])), Path(sys.argv[1])))
