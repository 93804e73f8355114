"""Adapter for a folder with a `cases.csv`: one row a mammogram, images and masks as grey PNG (or another lossless grey format).

Columns: image, mask (paths below the folder; mask empty where there is no lesion), patient_id, laterality
(L/R or LEFT/RIGHT), view (CC/MLO), pathology (malignant/benign/normal); and where known: finding (mass/normal),
density (1..4), mass_shape, mass_margins, subtlety (0..5; several lesions: ``4;3``), spacing_mm, source, official_split
(train/test), birads. One mask image may hold several lesions: its connected components.
"""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.data.canonical import read_rows
from pipeline.data.reading import Select, below, gather, in_both, read_real
from pipeline.data.records import Case, Lesion, Record, Rejected, Stored

REQUIRED = ("image", "mask", "patient_id", "laterality", "view", "pathology")
LATERALITY = {"L": "L", "LEFT": "L", "R": "R", "RIGHT": "R"}
DEPTHS = (10, 12, 14, 16)
UNKNOWN = ("", "n/a")


def cases(root: Path, select: Select = "all", done: Collection[str] = ()) -> Iterator[Record]:
    """Every row of ``root/cases.csv`` in its order; a row that cannot be used comes as Rejected with all of its faults.

    select: `normal` takes the rows of normal mammograms alone, all else every row: the table is the choice. image_id is the
    image's file name without its ending. Raises PipelineError where the table itself cannot be used.
    """
    rows = read_rows(root / "cases.csv", REQUIRED)
    both = in_both((row["patient_id"], row.get("official_split", "").lower()) for row in rows)
    for row in rows:
        image_id = Path(row["image"]).stem
        if image_id in done:
            yield Stored(image_id)
        elif select != "normal" or row["pathology"].lower() == "normal":
            yield _case(root, row, both)


def components(mask: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    """The 8-connected components of (H, W), each (H, W) bool, in the order of their first pixel by rows."""
    n, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    first = [int(np.argmax(labels.ravel() == k)) for k in range(1, n)]
    return [labels == k for k in 1 + np.argsort(first)]


def _case(root: Path, row: dict[str, str], both: set[str]) -> Case | Rejected:
    faults = [f"patient {row['patient_id']} is in both official splits"] if row["patient_id"] in both else []
    image_id = Path(row["image"]).stem
    image = _read(root, row["image"], "image", faults)
    mask = _read(root, row["mask"], "mask", faults) if row["mask"] else None
    finding = row.get("finding", "").lower()
    if finding == "mass" and not row["mask"]:
        faults.append("finding is mass, but there is no mask")
    if finding == "normal" and row["mask"]:
        faults.append("finding is normal, but there is a mask")
    if mask is not None and not mask.any():
        faults.append(f"mask {row['mask']} is empty")
    if image is not None and mask is not None and mask.shape != image.shape:
        faults.append(f"mask is {mask.shape}, the image {image.shape} (rows, columns)")
    density = _number(row, "density", int, faults)
    spacing = _number(row, "spacing_mm", float, faults)
    lesions = _lesions(mask, row, faults) if mask is not None else ()
    if faults or image is None:
        return Rejected(image_id, "; ".join(faults))
    return Case(
        image_id=image_id,
        patient_id=row["patient_id"],
        laterality=LATERALITY.get(row["laterality"].upper(), row["laterality"]),
        view=row["view"].upper(),
        pathology=row["pathology"].lower(),
        density=density,
        spacing_mm=spacing,
        source=row.get("source", ""),
        official_split=row.get("official_split", "").lower(),
        birads=row.get("birads", ""),
        image=_full_range(image),
        lesions=lesions,
    )


def _read(root: Path, name: str, what: str, faults: list[str]) -> NDArray[Any] | None:
    """The image at `name` below root; a fault and None where it is elsewhere (absolute, .., a link) or cannot be read."""
    with gather(faults, what):
        return read_real(below(root, name))
    return None


def _number(row: dict[str, str], column: str, kind: type[int] | type[float], faults: list[str]) -> Any:
    text = row.get(column, "")
    try:
        return kind(text) if text else None
    except ValueError:
        faults.append(f"{column} is {text!r}, not a number")
        return None


def _lesions(mask: NDArray[Any], row: dict[str, str], faults: list[str]) -> tuple[Lesion, ...]:
    """One lesion a component. Which word belongs to which component is not said, so words that differ are left empty."""
    words = {name: _common(row.get(name, "")) for name in ("mass_shape", "mass_margins", "subtlety")}
    subtlety = _number(words, "subtlety", int, faults)
    if subtlety is not None and not 0 <= subtlety <= 5:
        faults.append(f"subtlety is {subtlety}, not 0..5")
    parts = components(mask > mask.max() / 2)
    return tuple(Lesion(mask=one, shape=words["mass_shape"], margins=words["mass_margins"], subtlety=subtlety) for one in parts)


def _common(cell: str) -> str:
    """The one value of a cell like ``ROUND;ROUND`` in small letters; "" where values differ or none is known."""
    values = {value.strip().lower() for value in cell.split(";")}
    value = values.pop() if len(values) == 1 else ""
    return "" if value in UNKNOWN else value


def _full_range(image: NDArray[Any]) -> NDArray[Any]:
    """16-bit files often hold 10, 12 or 14 bits; stretch them to 0..65535 by the smallest depth that holds the maximum."""
    if image.dtype != np.uint16:
        return image
    top = next(2**bits - 1 for bits in DEPTHS if int(image.max()) < 2**bits)
    return ((image.astype(np.uint32) * 65535 + top // 2) // top).astype(np.uint16)
