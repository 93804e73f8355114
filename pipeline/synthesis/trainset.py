"""A trainset: one annotations.json over images that lie elsewhere, with their hashes."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pipeline import coco, leaks, version
from pipeline.errors import PipelineError
from pipeline.io import read_json, sha256


def assemble(train: Path, pools: Path, mixture: dict[str, int], out: Path) -> dict[str, Any]:
    """All real training images with a lesion plus the first n of each named pool, as COCO.

    train: prepared training mammograms; pools: folder of the pools; mixture: pool -> n; out: the folder that the
    file names are relative to. `info.patients` lists everybody whose pixels are in it, or from whom a model of a pool learned.
    Raises PipelineError where a pool holds fewer images than asked for, or saw others than training patients.
    """
    seen = {f"pool {pool}": _seen(pools / pool) for pool in mixture}
    training = leaks.patients(coco.read(train / "annotations.json"))
    leaks.require_training(seen, training)
    parts = [(train, [(image, lesions) for image, lesions in _pairs(train) if coco.has_target(lesions)])]
    for pool, n in mixture.items():
        pairs = _pairs(pools / pool)
        if len(pairs) < n:
            raise PipelineError(f"{n} images of pool {pool} are needed, which holds {len(pairs)}; raise pools.{pool}.n")
        parts.append((pools / pool, pairs[:n]))
    images = [(folder / image["file_name"], image, lesions) for folder, part in parts for image, lesions in part]
    with ThreadPoolExecutor(2) as threads:
        hashes = threads.map(sha256, [file for file, _, _ in images])
        dataset = coco.assemble(
            ({**image, "file_name": Path(os.path.relpath(file, out)).as_posix(), "sha256": digest}, [dict(one) for one in lesions])
            for (file, image, lesions), digest in zip(images, hashes, strict=True)
        )
    dataset["info"] = {**dataset["info"], "patients": sorted(leaks.patients(dataset).union(*seen.values()))}
    return dataset


def _seen(pool: Path) -> set[str]:
    """Patients whose pixels a pool holds, or from whom the models learned that made it, by its manifest."""
    path = pool / "manifest.json"
    manifest = read_json(path)
    with version.reading(path, manifest):
        return {*manifest["patients"], *manifest.get("learned_from", ())}


def _pairs(folder: Path) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Images of the folder's annotations.json, each with its annotations."""
    dataset = coco.read(folder / "annotations.json")
    lesions = coco.by_image(dataset)
    return [(image, lesions[image["id"]]) for image in dataset["images"]]
