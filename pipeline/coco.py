"""COCO annotations: one category `mass`, masks as RLE, ids in the order of image_id.

Boxes are xywh (pixels, x and y of the left upper corner) on disk and xyxy in memory.
"""

import operator
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as rle

from pipeline.errors import PipelineError, raise_all
from pipeline.io import check_size, read_json, write_json

LISTS = {"images": ("id", "patient_id"), "annotations": ("id", "image_id", "category_id"), "categories": ("id",)}  # and their ids
CATEGORIES = [{"id": 1, "name": "mass"}]


def encode(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """(H, W) bool to a COCO RLE with `counts` as text."""
    coded = rle.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": [int(n) for n in coded["size"]], "counts": coded["counts"].decode("ascii")}


def decode(segmentation: dict[str, Any]) -> NDArray[np.bool_]:
    """COCO RLE, its `counts` as text or as a list, to (H, W) bool.

    Raises PipelineError where size or counts are none, or the runs do not fill the mask: pycocotools would leave the rest
    of the mask as it found it in memory.
    """
    try:
        height, width = map(operator.index, segmentation["size"])
        counts = segmentation["counts"]
        runs = np.array(counts, np.int64) if isinstance(counts, list) else _runs(counts)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise PipelineError(f"no run-length encoded mask ({type(error).__name__}: {error})") from None
    if min(height, width) < 0 or runs.ndim != 1 or (runs < 0).any() or (runs > height * width).any() or runs.sum() != height * width:
        raise PipelineError(f"the runs do not fill a mask of {height} x {width} px")
    check_size("a mask", height, width)
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(width, height).T


def _runs(text: str | bytes) -> NDArray[np.int64]:
    """Lengths of the runs of a compressed RLE: numbers of 5-bit digits from 48, lowest first, bit 5 set on all but the last,
    signed; from the third on, each is the difference to the one before the last (pycocotools, maskApi.c)."""
    codes = np.frombuffer(text.encode("ascii") if isinstance(text, str) else text, np.uint8).astype(np.int64) - 48
    if not codes.size:
        return codes
    ends = (codes & 32) == 0
    places = np.arange(len(codes)) - np.concatenate([[0], np.flatnonzero(ends) + 1])[np.concatenate([[0], np.cumsum(ends)[:-1]])]
    if codes.min() < 0 or codes.max() > 63 or not ends[-1] or places.max() > 8:
        raise ValueError("the counts are no compressed text")
    starts = np.concatenate([[0], np.flatnonzero(ends)[:-1] + 1])
    values = np.add.reduceat((codes & 31) << 5 * places, starts)
    values -= ((codes[ends] & 16) != 0) * (np.int64(1) << 5 * (places[ends] + 1))
    for first in (1, 2):  # from the third on every other one: odd ones follow 1, even ones 2
        values[first::2] = np.cumsum(values[first::2])
    return values


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
    """A COCO data set, checked for the keys that are used here: lists of entries, whose ids are numbers or texts."""
    dataset = read_json(path)
    missing = [key for key in LISTS if key not in dataset] if isinstance(dataset, dict) else ["images"]
    if missing:
        raise PipelineError(f"{path}: no COCO data set, it lacks {', '.join(missing)}")
    for key, ids in LISTS.items():
        check_entries(dataset[key], ids, f"{path}: {key}")
    return dict(dataset)


def check_entries(entries: Any, ids: Iterable[str], what: str) -> None:
    """Refuse what is no list of JSON objects whose `ids`, where there are any, can be looked up. Raises PipelineError."""
    if not isinstance(entries, list) or not all(isinstance(one, dict) for one in entries):
        raise PipelineError(f"{what}: is no list of entries in braces")
    raise_all(
        [f"entry {n}: {key}" for n, one in enumerate(entries) for key in ids if isinstance(one.get(key), list | dict)],
        f"{what}: ids that are no number or text",
    )


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
