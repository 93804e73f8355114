"""Sets of patches to compare, all cut and scaled alike: around real masses, around inserted ones, and from untouched tissue."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline import coco
from pipeline.errors import PipelineError
from pipeline.io import read_image, to_unit
from pipeline.preprocess.geometry import resize
from pipeline.synthesis.pool import CHUNK, Made, Method

CONTEXT = 1.25  # side of what is cut, as a multiple of the padded mass: the seam of an insertion lies within it


@dataclass(frozen=True)
class Set:
    """images: (N, P, P) float32 in [0, 1]; masks: (N, P, P) bool; mm2: (N,) area of each patch; patients and names of the N."""

    images: NDArray[np.float32]
    masks: NDArray[np.bool_]
    mm2: NDArray[np.float64]
    patients: list[str]
    names: list[str]

    def __len__(self) -> int:
        return len(self.names)

    def some(self, chosen: NDArray[np.integer[Any]]) -> "Set":
        patients, names = ([texts[index] for index in chosen] for texts in (self.patients, self.names))
        return Set(self.images[chosen], self.masks[chosen], self.mm2[chosen], patients, names)


def joined(sets: Iterable[Set]) -> Set:
    parts = list(sets)
    images, masks, mm2 = (np.concatenate([getattr(one, key) for one in parts]) for key in ("images", "masks", "mm2"))
    return Set(images, masks, mm2, [p for one in parts for p in one.patients], [n for one in parts for n in one.names])


def real(prepared: Path, splits: Iterable[str], side: int) -> Set:
    """The masses of patches.csv, cut from the prepared mammograms of their parts."""
    table = pd.read_csv(prepared / "patches" / "patches.csv", dtype={"patch": str, "image_id": str, "patient_id": str})
    found = []
    for split in splits:
        dataset = coco.read(prepared / split / "annotations.json")
        lesions = coco.by_image(dataset)
        images = {image["image_id"]: image for image in dataset["images"]}
        for row in table[table["split"] == split].sort_values("patch").to_dict("records"):
            record = images[row["image_id"]]
            one = next(lesion for lesion in lesions[record["id"]] if lesion["lesion"] == row["lesion"])
            frame = (row["x"] + row["w"] / 2, row["y"] + row["h"] / 2, row["w"], row["h"])
            pixels = read_image(prepared / split / record["file_name"])
            found.append(_cut(pixels, coco.decode(one["segmentation"]), frame, record, side, str(row["patch"])))
    return _set(found, f"{prepared}/patches holds no mass of {' or '.join(splits)}")


def pool(folder: Path, n: int, side: int) -> Set:
    """The first n inserted masses of a pool."""
    dataset = coco.read(folder / "annotations.json")
    lesions = coco.by_image(dataset)
    found = []
    for image in dataset["images"][:n]:
        mask = coco.decode(next(one for one in lesions[image["id"]] if one.get("synthetic"))["segmentation"])
        found.append(_cut(read_image(folder / image["file_name"]), mask, _frame(image), image, side, image["image_id"]))
    return _set(found, f"{folder} holds no image; raise pools.gan.n")


def made(method: Method, n: int, side: int, name: str, context: float = CONTEXT) -> Set:
    """The first n places of a pool that is made here and not kept; masks are empty where nothing is annotated as synthetic."""
    found = []
    for start in range(0, n, CHUNK):
        for item, one in enumerate(method.make(range(start, min(start + CHUNK, n))), start):
            found.append(_cut(one.image, _mask(one), _frame(one.record), one.record, side, f"{name}_{item:06d}", context))
    return _set(found, f"pool {name} is empty")


def _mask(one: Made) -> NDArray[np.bool_]:
    found = [coco.decode(lesion["segmentation"]) for lesion in one.annotations if lesion.get("synthetic")]
    return found[0] if found else np.zeros(one.image.shape, bool)


def _frame(record: dict[str, Any]) -> tuple[float, float, float, float]:
    """Centre and size of an inserted patch."""
    return (*record["centre"], *record["patch_size"])


def _cut(
    image: NDArray[Any],
    mask: NDArray[np.bool_],
    frame: tuple[float, float, float, float],
    record: dict[str, Any],
    side: int,
    name: str,
    context: float = CONTEXT,
) -> tuple[Any, ...]:
    """The frame (centre x, y, width, height) enlarged by `context`; beyond the film its edge is repeated."""
    x, y, width, height = frame
    w, h = (max(4, round(context * size)) for size in (width, height))
    left, top = round(x - w / 2), round(y - h / 2)
    rows, columns = image.shape
    border = (max(0, -top), max(0, top + h - rows), max(0, -left), max(0, left + w - columns))
    padded = [cv2.copyMakeBorder(one, *border, cv2.BORDER_REPLICATE) for one in (image, mask.astype(np.uint8))]
    part = np.s_[top + border[0] : top + border[0] + h, left + border[2] : left + border[2] + w]
    pixels = resize(to_unit(padded[0])[part], (side, side))
    covered = resize(padded[1][part].astype(np.float32), (side, side))
    inside = covered >= min(0.5, float(covered.max())) if covered.any() else covered > 0
    return pixels, inside, w * h * float(record["spacing_mm"]) ** 2, str(record["patient_id"]), name


def _set(found: list[tuple[Any, ...]], message: str) -> Set:
    if not found:
        raise PipelineError(message)
    images, masks, mm2, patients, names = zip(*found, strict=True)
    return Set(np.stack(images), np.stack(masks), np.array(mm2), list(patients), list(names))
