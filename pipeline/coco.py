"""COCO annotations: one category `mass`, masks as RLE, ids in the order of image_id.

Boxes are xywh (pixels, x and y of the left upper corner) on disk and xyxy in memory.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as rle

from pipeline.errors import PipelineError
from pipeline.io import read_json, write_json

CATEGORIES = [{"id": 1, "name": "mass"}]


def encode(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """(H, W) bool to a COCO RLE with `counts` as text."""
    coded = rle.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": [int(n) for n in coded["size"]], "counts": coded["counts"].decode("ascii")}


def decode(segmentation: dict[str, Any]) -> NDArray[np.bool_]:
    """COCO RLE to (H, W) bool."""
    return np.asarray(rle.decode(segmentation), bool)


def bounding_box(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """xywh of the smallest box around a mask (H, W). Raises ValueError where it is empty."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not rows.size:
        raise ValueError("an empty mask has no box")
    return int(columns[0]), int(rows[0]), int(columns[-1] - columns[0] + 1), int(rows[-1] - rows[0] + 1)


def annotation(mask: NDArray[np.bool_], **more: Any) -> dict[str, Any]:
    """The COCO annotation of one lesion mask (H, W), without ids; box, area and RLE come from the mask."""
    return {"category_id": 1, "bbox": list(bounding_box(mask)), "area": int(mask.sum()), "segmentation": encode(mask), "iscrowd": 0, **more}


def assemble(records: Iterable[tuple[dict[str, Any], list[dict[str, Any]]]]) -> dict[str, Any]:
    """A COCO data set of (image, annotations) pairs; ids are given in the order of image_id, from 1.

    image: file_name, height, width, image_id (text) and any metadata. annotations: as `annotation` makes them.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, (image, lesions) in enumerate(sorted(records, key=lambda record: record[0]["image_id"]), 1):
        images.append({**image, "id": number})
        for lesion in lesions:
            annotations.append({**lesion, "id": len(annotations) + 1, "image_id": number})
    return {"info": {"description": "mammograms with masses"}, "images": images, "annotations": annotations, "categories": CATEGORIES}


def write(path: Path, dataset: dict[str, Any]) -> None:
    write_json(path, dataset)


def read(path: Path) -> dict[str, Any]:
    """A COCO data set, checked for the keys that are used here."""
    dataset = read_json(path)
    missing = [key for key in ("images", "annotations", "categories") if key not in dataset] if isinstance(dataset, dict) else ["images"]
    if missing:
        raise PipelineError(f"{path}: no COCO data set, it lacks {', '.join(missing)}")
    return dict(dataset)


def by_image(dataset: dict[str, Any]) -> dict[int, list[dict[str, Any]]]:
    """Annotations of each image id; images without any have an empty list."""
    grouped: dict[int, list[dict[str, Any]]] = {image["id"]: [] for image in dataset["images"]}
    for one in dataset["annotations"]:
        grouped[one["image_id"]].append(one)
    return grouped


def has_target(annotations: Iterable[dict[str, Any]]) -> bool:
    """Whether any of an image's annotations is a lesion to find, not an ignored region."""
    return any(not one["iscrowd"] for one in annotations)


def xyxy(xywh: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """(..., 4) boxes xywh to xyxy: the one conversion."""
    boxes = np.asarray(xywh, float)
    return np.concatenate([boxes[..., :2], boxes[..., :2] + boxes[..., 2:]], -1)
