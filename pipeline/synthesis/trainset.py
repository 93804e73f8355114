"""A trainset: one annotations.json over images that lie elsewhere, with their hashes."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pipeline import coco
from pipeline.errors import PipelineError
from pipeline.io import sha256


def assemble(train: Path, pools: Path, mixture: dict[str, int], out: Path) -> dict[str, Any]:
    """All real training images with a lesion plus the first n of each named pool, as COCO.

    train: prepared training mammograms; pools: folder of the pools; mixture: pool -> n; out: the folder that the
    file names are relative to. Raises PipelineError where a pool holds fewer images than asked for.
    """
    parts = [(train, _with_lesion(coco.read(train / "annotations.json")))]
    for pool, n in mixture.items():
        dataset = coco.read(pools / pool / "annotations.json")
        if len(dataset["images"]) < n:
            raise PipelineError(f"{n} images of pool {pool} are needed, which holds {len(dataset['images'])}; raise pools.{pool}.n")
        lesions = coco.by_image(dataset)
        parts.append((pools / pool, [(image, lesions[image["id"]]) for image in dataset["images"][:n]]))
    images = [(folder / image["file_name"], image, lesions) for folder, part in parts for image, lesions in part]
    with ThreadPoolExecutor(2) as threads:
        hashes = threads.map(sha256, [file for file, _, _ in images])
        return coco.assemble(
            ({**image, "file_name": Path(os.path.relpath(file, out)).as_posix(), "sha256": digest}, [dict(one) for one in lesions])
            for (file, image, lesions), digest in zip(images, hashes, strict=True)
        )


def _with_lesion(dataset: dict[str, Any]) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    return list(_pairs(dataset))


def _pairs(dataset: dict[str, Any]) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    lesions = coco.by_image(dataset)
    for image in dataset["images"]:
        if any(not one["iscrowd"] for one in lesions[image["id"]]):
            yield image, lesions[image["id"]]
