"""A pool: a folder of training mammograms made one way. Image i depends on (seed, i, the models) alone."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import coco, version
from pipeline.errors import PipelineError
from pipeline.io import atomic_folder, write_json, write_png, write_text
from pipeline.progress import track

CHUNK = 16  # images made at once; networks always see batches of this size, so that image i does not depend on n


@dataclass(frozen=True)
class Made:
    """One synthetic mammogram: image (H, W), its COCO image record, annotations without ids, and the patients in it."""

    image: NDArray[Any]
    record: dict[str, Any]
    annotations: list[dict[str, Any]]
    patients: frozenset[str]


@dataclass(frozen=True)
class Method:
    """A way to make mammograms: make(items) gives one Made for each item; manifest: what else identifies it, the same for any n."""

    make: Callable[[Sequence[int]], list[Made]]
    manifest: dict[str, Any] = field(default_factory=dict)


def write(
    name: str, method: Method, n: int, seed: int, out: Path, masks: bool = False, files: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Write images/, annotations.json and manifest.json of the pool's first n images; `out` is complete or untouched.

    Every image says that it is synthetic, and how it was made: a PNG text and keys of its COCO record, both with `origin`.
    masks: whether masks/ are written too, 0 and 255, of the synthetic mass of each image. files: name and text of further files.
    """
    records: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []
    patients: set[str] = set()
    made_by = origin(name, seed, method.manifest)
    with atomic_folder(out) as folder, ThreadPoolExecutor(2) as threads:
        writing = []
        for item, made in enumerate(track(_all(method, n), f"pool {name}", n)):
            _check(made, f"{name} {item}")
            file = f"images/{item:06d}.png"
            mark = f"pool {name}, image {item}, seed {seed}, origin {made_by}"
            writing.append(threads.submit(write_png, folder / file, made.image, mark=mark))
            if masks:
                writing.append(threads.submit(write_png, folder / f"masks/{item:06d}.png", _mask(made), mark=mark))
            size = {"height": made.image.shape[0], "width": made.image.shape[1]}
            identity = {"file_name": file, "image_id": f"{name}_{item:06d}", "synthetic": True, "pool": name, "origin": made_by}
            records.append(({**made.record, **identity, **size}, made.annotations))
            patients |= made.patients
            while len(writing) > 2 * CHUNK:
                writing.pop(0).result()
        for one in writing:
            one.result()
        for file, text in files.items():
            write_text(folder / file, text)
        coco.write(folder / "annotations.json", coco.assemble(records))
        described = {"pool": name, "seed": seed, **method.manifest, version.KEY: version.VERSION}
        write_json(folder / "manifest.json", {**described, "origin": made_by, "n": n, "patients": sorted(patients)})


def _mask(made: Made) -> NDArray[np.uint8]:
    """(H, W) uint8: 255 on the synthetic mass, 0 elsewhere."""
    whole = np.zeros(made.image.shape, np.uint8)
    for one in made.annotations:
        if one.get("synthetic"):
            whole[coco.decode(one["segmentation"])] = 255
    return whole


def origin(name: str, seed: int, manifest: dict[str, Any]) -> str:
    """SHA-256 of the manifest less what depends on n: the same in a pool and in a larger one."""
    described = json.dumps({"pool": name, "seed": seed, **manifest}, sort_keys=True, allow_nan=False)
    return hashlib.sha256(described.encode()).hexdigest()


def _all(method: Method, n: int) -> Iterator[Made]:
    for start in range(0, n, CHUNK):
        yield from method.make(range(start, min(start + CHUNK, n)))


def _check(made: Made, what: str) -> None:
    """A pool whose boxes and masks disagree, or whose masks leave the image, is never written."""
    for one in made.annotations:
        mask = coco.decode(one["segmentation"])
        if mask.shape != made.image.shape or list(coco.bounding_box(mask)) != one["bbox"] or int(mask.sum()) != one["area"]:
            raise PipelineError(f"pool image {what}: box {one['bbox']} does not fit its mask of {mask.shape}")
