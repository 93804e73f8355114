"""Speed and memory of preprocess, with the set repeated, so that memory can be seen to stay flat.

    python -m benchmarks.preprocess ../shared/data/cbis-ddsm ../shared/data/normals --images 100 658 5000

Each folder is one of the table form (docs/data-formats.md). For each number of images the set is repeated under other
names (links to the same pixels, other patients) or cut, and prepared in a process of its own at 800 px. Printed: images
a second of wall time with the processes, CPU seconds an image, and the largest resident memory of the parent and of a
worker. The goal: at least 15 images a second on two cores, and below 1.5 GB together at any number of images.
"""

import argparse
import csv
import multiprocessing
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from pipeline.data.canonical import write
from pipeline.data.records import Record
from pipeline.data.table import cases
from pipeline.params import load
from pipeline.preprocess.prepare import prepare

GOAL_IMAGES, GOAL_GB = 15.0, 1.5


def repeated(raw: Path, out: Path, n: int) -> None:
    """A canonical folder of n mammograms: those of `raw` again and again, pixels linked, images renamed."""
    tables = {}
    for name in ("cases.csv", "lesions.csv"):
        with open(raw / name, newline="", encoding="utf-8") as file:
            tables[name] = list(csv.DictReader(file))
    lesions: dict[str, list[dict[str, str]]] = {}
    for row in tables["lesions.csv"]:
        lesions.setdefault(row["image_id"], []).append(row)
    (out / "images").mkdir(parents=True)
    (out / "masks").mkdir()
    rows, masks = [], []
    for k in range(n):
        case, turn = tables["cases.csv"][k % len(tables["cases.csv"])], k // len(tables["cases.csv"])
        name = f"r{turn}_{case['image_id']}"
        os.link(raw / case["image"], out / f"images/{name}.png")
        rows.append(case | {"image_id": name, "image": f"images/{name}.png"})
        for one in lesions.get(case["image_id"], []):
            mask = f"masks/{name}_{one['lesion']}.png"
            os.link(raw / one["mask"], out / mask)
            masks.append(one | {"image_id": name, "mask": mask})
    for name, table in (("cases.csv", rows), ("lesions.csv", masks)):
        with open(out / name, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(tables[name][0]))
            writer.writeheader()
            writer.writerows(table)


def measure(folder: Path, processes: int) -> dict[str, float]:
    """Seconds, CPU seconds and peak memory (GB, of this process and of its largest worker) of preparing `folder`/raw."""
    params = load()
    began = time.perf_counter()
    prepare(folder / "raw", folder / "out", params.preprocess.model_copy(update={"height": 800}), params.split, params.seed, processes)
    seconds = time.perf_counter() - began
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    cpu = sum(one.ru_utime + one.ru_stime for one in (own, children))
    return {"seconds": seconds, "cpu": cpu, "parent": own.ru_maxrss / 2**20, "worker": children.ru_maxrss / 2**20}


def _all(folders: list[Path]) -> Iterator[Record]:
    for folder in folders:
        yield from cases(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", type=Path, nargs="+", help="folders with cases.csv")
    parser.add_argument("--images", type=int, nargs="+", default=[100, 658, 5000], help="numbers of images (default: 100 658 5000)")
    parser.add_argument("--processes", type=int, default=2, help="at once (default: 2)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        write(top / "raw", _all(args.sources), "skip")
        for n in args.images:
            work = top / str(n)
            repeated(top / "raw", work / "raw", n)
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                found = pool.submit(measure, work, args.processes).result()
            speed, memory = n / found["seconds"], found["parent"] + args.processes * found["worker"]
            print(
                f"{n} images: {speed:.1f} images/s with {args.processes} processes, {found['cpu'] / n:.3f} CPU s an image, "
                f"memory at most {memory:.2f} GB (parent {found['parent']:.2f}, a worker {found['worker']:.2f}); "
                f"goals {'met' if speed >= GOAL_IMAGES and memory < GOAL_GB else 'missed'}"
            )
            shutil.rmtree(work)


if __name__ == "__main__":
    main()
