"""Ingest, preprocess and pools at 800 px and at the full 4,000 px: images a second, and how near that is to PNG and networks alone.

    python -m benchmarks.images

The bytes of PNG that are read and written are counted, and the time in decoder and encoder; the floor is that time alone, and for
the pool of the GAN the operations of its generator too, at the measured speed of a plain convolution (`benchmarks.machine`).

Mammograms are phantoms enlarged to the size, with 12 bits of noise, in a folder of the table form. One process, one thread:
preprocess and ingest use as many processes as there are cores. Memory at any number of images: `benchmarks.preprocess`.
"""

import argparse
import csv
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.machine import convolution, flops

WRITE, READ = "imencode", "imdecode"
PATCH = 64  # px of the patches that the GAN paints


@dataclass
class Coded:
    """What went through cv2's encoder or decoder: CPU seconds over all threads, and bytes of PNG."""

    seconds: float = 0.0
    size: int = 0


@contextmanager
def codecs_counted() -> Iterator[dict[str, Coded]]:
    """Counts of encoder and decoder while it is open."""
    spent = {WRITE: Coded(), READ: Coded()}
    kept = {name: getattr(cv2, name) for name in spent}

    def counted(name: str) -> Callable[..., Any]:
        def call(*given: Any, **how: Any) -> Any:
            begun, one = time.thread_time(), spent[name]
            made = kept[name](*given, **how)
            one.seconds += time.thread_time() - begun
            one.size += (made[1] if name == WRITE else given[0]).nbytes
            return made

        return call

    for name in spent:
        setattr(cv2, name, counted(name))
    try:
        yield spent
    finally:
        for name, function in kept.items():
            setattr(cv2, name, function)


def source(folder: Path, patients: int, height: int) -> None:
    """A table of two views a patient, every other patient without a mass."""
    from pipeline.data.phantom import cases
    from pipeline.io import write_png
    from pipeline.params import load

    base = load().phantom
    drawn = cases(base.model_copy(update={"n_patients": (patients + 1) // 2, "n_normal_patients": patients // 2}), 5, workers=1)
    rows: list[dict[str, str]] = []
    for case in drawn:
        size = (round(case.image.shape[1] * height / case.image.shape[0]), height)
        rng = np.random.default_rng(len(rows))
        large = cv2.resize(case.image.astype(np.float32) / np.iinfo(case.image.dtype).max, size, interpolation=cv2.INTER_LINEAR)
        grey = np.where(large > 0.02, large * 4000 + rng.normal(0, 12, large.shape), 0).clip(0, 4095).astype(np.uint16) * 16
        write_png(folder / f"images/{case.image_id}.png", grey)
        mask = ""
        if case.lesions:
            mask = f"masks/{case.image_id}.png"
            whole = np.any([one.mask for one in case.lesions], 0).astype(np.uint8) * 255
            write_png(folder / mask, cv2.resize(whole, size, interpolation=cv2.INTER_NEAREST))
        rows.append(
            {"image": f"images/{case.image_id}.png", "mask": mask, "patient_id": case.patient_id, "laterality": case.laterality,
             "view": case.view, "pathology": "malignant" if mask else "normal",
             "finding": "mass" if mask else "normal", "spacing_mm": f"{240 / height:.5f}"}
        )  # fmt: skip
    with open(folder / "cases.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def stages(top: Path, height: int, pool: int) -> Iterator[tuple[str, int, Callable[[], Any]]]:
    """Name, number of images and call of each stage, in their order."""
    from pipeline.data import canonical, table
    from pipeline.params import load
    from pipeline.preprocess.prepare import prepare
    from pipeline.synthesis import inserting
    from pipeline.synthesis import pool as pools
    from pipeline.synthesis.sources import Sources
    from pipeline.synthesis.traditional import traditional

    params = load()
    n = len((top / "source/cases.csv").read_text(encoding="utf-8").splitlines()) - 1
    prepared = top / "prepared"
    yield "ingest", n, lambda: canonical.write(top / "raw", table.cases(top / "source"))
    settings = params.preprocess.model_copy(update={"height": height})
    yield "preprocess", n, lambda: prepare(top / "raw", prepared, settings, params.split, params.seed, 1)

    def pasted() -> None:
        sources = Sources(prepared / "train", prepared / "patches", params.seed, top / "hosts")
        method = inserting.copy_paste(sources, sources.placer("normals", params.synth.sizes, params.synth.position))
        pools.write("copy_paste", method, pool, params.seed, top / "pools/copy_paste")

    def turned() -> None:
        pools.write("traditional", traditional(prepared / "train", params.seed), pool, params.seed, top / "pools/traditional")

    def painted() -> None:
        sources = Sources(prepared / "train", prepared / "patches", params.seed, top / "hosts")
        placer = sources.placer("normals", params.synth.sizes, params.synth.position)
        method = inserting.gan(sources, placer, untrained(params.gen), inserting.real_masks(sources), params.synth.blend)
        pools.write("gan", method, pool, params.seed, top / "pools/gan")

    yield "pool traditional", pool, turned
    yield "pool copy_paste", pool, pasted
    yield "pool gan", pool, painted


def untrained(gen: Any) -> Any:
    """The infilling GAN of params.yaml with random weights, which is as quick as a trained one."""
    import torch

    from pipeline.gan import infill
    from pipeline.gan.patchgan import PatchGAN
    from pipeline.preprocess.trilabel import CHANNELS

    network = infill.build(gen.arch, gen.labels, PATCH, getattr(gen, gen.arch).width, gen.noise)
    judge = PatchGAN(CHANNELS[gen.labels], PATCH, gen.train.discriminator_width)
    meta = {**gen.model_dump(include={"arch", "labels", "margin", "noise", "grain"}), "patch_px": PATCH, "patients": []}
    return infill.Infiller(network.to(memory_format=torch.channels_last), meta, judge)


def painting(gen: Any, peak: float) -> float:
    """Seconds that the generator's operations for one patch take at peak, floating point operations per second."""
    import torch

    from pipeline.preprocess.trilabel import CHANNELS

    network = untrained(gen).network
    given = torch.rand(1, CHANNELS[gen.labels], PATCH, PATCH)
    with torch.no_grad():
        return flops(lambda: network(given)) / peak


def section(heights: dict[int, int]) -> list[str]:
    """Markdown table. heights: px of the images -> patients."""
    import torch

    from pipeline.params import load

    paint = painting(load().gen, 1e9 * convolution(torch.float32))
    lines = [
        "| stage | px | images | images a CPU second | MB read, written an image | decoding, encoding | floor, images/s | share of it |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for height, patients in heights.items():
        with tempfile.TemporaryDirectory() as name:
            top = Path(name)
            source(top / "source", patients, height)
            for stage, n, call in stages(top, height, 2 * patients):
                begun = time.process_time()
                with codecs_counted() as spent:
                    call()
                seconds = time.process_time() - begun
                least = spent[READ].seconds + spent[WRITE].seconds + (n * paint if stage == "pool gan" else 0.0)
                sizes, shares = ((spent[READ].size, spent[WRITE].size), (spent[READ].seconds, spent[WRITE].seconds))
                lines.append(
                    f"| {stage} | {height} | {n} | {n / seconds:.1f} | {', '.join(f'{size / n / 1e6:.2f}' for size in sizes)} "
                    f"| {', '.join(f'{share / seconds:.0%}' for share in shares)} | {n / least:.1f} | {least / seconds:.0%} |"
                )
    return lines


def main() -> None:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--patients", type=int, nargs=2, default=(40, 14), metavar=("N", "N"), help="at 800 and at 4,000 px (default: 40 14)")
    args = made.parse_args()
    import torch

    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    print("\n".join(section(dict(zip((800, 4000), args.patients, strict=True)))))


if __name__ == "__main__":
    main()
