"""Ground truth and detections as arrays, checked: what every measure of this package starts from.

Letters in shapes: I images, L lesions, N detections, C clusters (what a bootstrap resamples).
"""

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import coco
from pipeline.errors import PipelineError, raise_all

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Boxes:
    """N boxes. image: (N,) index of the image; xyxy: (N, 4) px; area: (N,) px^2, width times height as in the file."""

    image: Ints
    xyxy: Floats
    area: Floats

    def __len__(self) -> int:
        return len(self.image)


@dataclass(frozen=True)
class Detections(Boxes):
    """N scored boxes in the order of the file. score: (N,), finite; higher is more suspicious."""

    score: Floats


@dataclass(frozen=True)
class Truth:
    """A test set.

    images, annotations: the (I,) and (L,) COCO records, for their metadata. lesions, regions: boxes to find and boxes to
    ignore (`iscrowd`). apart: images of the second source (`role`), which are in no other field: they are never pooled with
    the others. cluster: (I,) 0..C-1, the patient of an image, or the image itself where `patient_id` is missing.
    spacing: (I,) mm per px, NaN where it is missing.
    """

    images: list[dict[str, Any]]
    annotations: list[dict[str, Any]]
    lesions: Boxes
    regions: Boxes
    cluster: Ints
    spacing: Floats
    name: str
    apart: tuple[dict[str, Any], ...] = ()

    @property
    def n_clusters(self) -> int:
        return int(self.cluster.max()) + 1

    @property
    def has_lesion(self) -> Bools:
        """(I,) whether an image holds at least one lesion that is not ignored."""
        return np.bincount(self.lesions.image, minlength=len(self.images)) > 0

    @property
    def is_normal(self) -> Bools:
        """(I,) whether an image holds neither a lesion nor an ignored region: one with a benign mass alone is not normal."""
        return ~self.has_lesion & (np.bincount(self.regions.image, minlength=len(self.images)) == 0)

    @property
    def n_patients(self) -> int | None:
        """None where some image lacks a patient."""
        return self.n_clusters if self.resampled == "patients" else None

    @property
    def resampled(self) -> str:
        """What one cluster is: `patients`, `images`, or both where only some images name their patient."""
        unknown = sum(missing(image.get("patient_id")) for image in self.images)
        if not unknown:
            return "patients"
        return "images" if unknown == len(self.images) else f"patients, and {unknown} images without patient_id one by one"


def missing(value: Any) -> bool:
    """Whether a metadata value says nothing: absent, null, empty or NaN."""
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def truth(dataset: dict[str, Any], name: str = "ground truth") -> Truth:
    """Truth from a COCO data set (a plain dict).

    Raises PipelineError for no images, repeated image ids, annotations of unknown images, several categories, a spacing
    that is not positive, and boxes that are not four finite numbers with positive width and height.
    """
    annotations = list(dataset["annotations"])
    images, apart = ([image for image in dataset["images"] if bool(image.get("role")) == second] for second in (False, True))
    if not images:
        raise PipelineError(f"{name}: has no images; nothing can be evaluated")
    raise_all([f"image number {n}" for n, image in enumerate(images) if "id" not in image], f"{name}: images without id")
    index = _index(images, name)
    raise_all(
        [
            f"annotation {one.get('id')}: image_id {one.get('image_id')!r} is not in images"
            for one in annotations
            if one.get("image_id") not in index
        ],
        f"{name}: annotations of unknown images",
    )
    _one_category(dataset, name)
    boxes = _boxes([one.get("bbox") for one in annotations], lambda i: f"annotation {annotations[i].get('id')}", name, smallest=math.ulp(0))
    image = np.array([index[one["image_id"]] for one in annotations], np.int64)
    crowd = np.array([bool(one.get("iscrowd", 0)) for one in annotations], bool)
    lesions, regions = (_take(image, boxes, np.flatnonzero(keep)) for keep in (~crowd, crowd))
    return Truth(
        images,
        [a for a, c in zip(annotations, crowd, strict=True) if not c],
        lesions,
        regions,
        clusters(images),
        _spacing(images, name),
        name,
        tuple(apart),
    )


def to_choose_on(path: Path) -> Truth | None:
    """Truth of the validation part, None where it holds no lesion to find: then nothing can be chosen on it."""
    dataset = coco.read(path)
    return truth(dataset, str(path)) if any(not one.get("iscrowd") for one in dataset["annotations"]) else None


def detections(results: Any, of: Truth, name: str = "detections", second: bool = False) -> Detections:
    """Detections from COCO results, a list of {image_id, category_id, bbox (xywh), score}; an empty list is fine.

    Those in images of the second source are left out; second: those alone, with indices into `of.apart`.

    Raises PipelineError for unknown image ids, scores that are not finite numbers and boxes that are not four finite
    numbers or have a negative side, naming entries by their place in the list (from 0).
    """
    coco.check_entries(results, ("image_id", "category_id"), f"{name}: COCO results {{image_id, category_id, bbox, score}}")
    index = {image["id"]: i for i, image in enumerate((*of.images, *of.apart))}
    image = np.array([index.get(one.get("image_id"), -1) for one in results], np.int64)
    raise_all(
        [f"entry {i}: image_id {results[i].get('image_id')!r}" for i in np.flatnonzero(image < 0)],
        f"{name}: image_id is not in {of.name}",
    )
    known = {one["category_id"] for one in of.annotations if "category_id" in one}
    found = {one.get("category_id") for one in results} - {None}
    if known and found - known:
        raise PipelineError(f"{name}: category_id {sorted(found - known, key=str)} is not that of {of.name}, {sorted(known, key=str)}")
    score = _numbers([one.get("score") for one in results], 1)[:, 0]
    raise_all(
        [f"entry {i}: score {results[i].get('score')!r}" for i in np.flatnonzero(~np.isfinite(score))],
        f"{name}: scores must be finite numbers",
    )
    boxes = _boxes([one.get("bbox") for one in results], lambda i: f"entry {i}", name, smallest=0.0)
    mine = (image >= len(of.images)) == second
    image, boxes, score = image[mine] - second * len(of.images), boxes[mine], score[mine]
    return Detections(image, coco.xyxy(boxes), boxes[:, 2] * boxes[:, 3], score)


def read(gt: Any, results: Any) -> tuple[Truth, Detections]:
    """Truth and detections from a COCO file and a COCO results file (paths). Raises PipelineError as the functions above."""
    from pipeline.io import read_json

    known = truth(coco.read(gt), str(gt))
    return known, detections(read_json(results), known, str(results))


def _index(images: Sequence[dict[str, Any]], name: str) -> dict[Any, int]:
    index: dict[Any, int] = {}
    repeated = []
    for i, image in enumerate(images):
        if image["id"] in index:
            repeated.append(f"id {image['id']!r}")
        index[image["id"]] = i
    raise_all(repeated, f"{name}: image ids that occur twice")
    return index


def _one_category(dataset: dict[str, Any], name: str) -> None:
    found = sorted({one["category_id"] for one in dataset["annotations"] if "category_id" in one}, key=str)
    if len(found) > 1:
        raise PipelineError(f"{name}: annotations have the categories {found}; one is evaluated at a time, keep the annotations of one")


def clusters(images: Sequence[dict[str, Any]]) -> Ints:
    """(I,) 0..C-1: the patient of each image, or the image itself where `patient_id` is missing."""
    keys = [("image", i) if missing(image.get("patient_id")) else ("patient", image["patient_id"]) for i, image in enumerate(images)]
    number = {key: n for n, key in enumerate(dict.fromkeys(keys))}
    return np.array([number[key] for key in keys], np.int64)


def _spacing(images: Sequence[dict[str, Any]], name: str) -> Floats:
    values = [image.get("spacing_mm") for image in images]
    spacing = _numbers([math.nan if missing(value) else value for value in values], 1)[:, 0]
    bad = [i for i, value in enumerate(values) if not missing(value) and not (0 < spacing[i] < math.inf)]
    raise_all([f"image {images[i]['id']!r}: {values[i]!r}" for i in bad], f"{name}: spacing_mm must be a positive number or null")
    return spacing


def _boxes(values: Sequence[Any], who: Callable[[int], str], name: str, smallest: float) -> Floats:
    boxes = _numbers(values, 4)
    good = np.isfinite(boxes).all(1) & (boxes[:, 2:] >= smallest).all(1)
    sides = "not negative" if smallest == 0 else "positive"
    raise_all(
        [f"{who(int(i))}: bbox {values[i]!r}" for i in np.flatnonzero(~good)],
        f"{name}: a bbox is x, y, width, height, finite, the sides {sides}",
    )
    return boxes


def _numbers(values: Sequence[Any], width: int) -> Floats:
    """(N, width) float; a row that is no list of `width` numbers becomes NaN."""
    try:
        return np.array(values, np.float64).reshape(len(values), width)
    except (TypeError, ValueError, OverflowError):
        return np.array([_row(value, width) for value in values], np.float64).reshape(len(values), width)


def _row(value: Any, width: int) -> list[float]:
    row = value if isinstance(value, list) else [value]
    good = len(row) == width and all(isinstance(one, int | float) and abs(one) <= sys.float_info.max for one in row)
    return [float(one) for one in row] if good else [math.nan] * width


def _take(image: Ints, boxes: Floats, rows: Ints) -> Boxes:
    chosen = boxes[rows]
    return Boxes(image[rows], coco.xyxy(chosen), chosen[:, 2] * chosen[:, 3])
