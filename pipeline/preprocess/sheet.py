"""What the QC sheet shows of a mammogram: a small copy of the source and the outlines that were found in it; worst first."""

import base64
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.io import to_unit
from pipeline.preprocess.cleaning import Cleaned

HEIGHT = 128  # px of the small copy
QUALITY = 50  # of its JPEG
SMOOTH = 0.4  # px by which an outline may be simplified
Masks = Mapping[int, NDArray[np.bool_]]


def entry(image: NDArray[Any], cleaned: Cleaned, masks: Masks, ignored: Iterable[int]) -> dict[str, Any]:
    """One mammogram of the sheet, as the source has it, before cleaning.

    image: (H, W); masks: number -> (H, W) bool of each lesion; ignored: numbers of those that are not to be found.
    Returns width and height in px, jpeg (base64), and outlines [[kind, [x, y, x, y, ..]], ..] in px of the small copy.
    """
    height, width = image.shape
    size = max(1, round(width * HEIGHT / height)), HEIGHT
    grey = np.rint(to_unit(cv2.resize(image, size, interpolation=cv2.INTER_AREA)) * 255).astype(np.uint8)
    _, jpeg = cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    kinds = [("breast", cleaned.breast), *([("muscle", cleaned.pectoral)] if cleaned.pectoral is not None else [])]
    kinds += [("ignored" if number in set(ignored) else "lesion", mask) for number, mask in masks.items()]
    outlines = [[kind, points] for kind, mask in kinds for points in _outlines(mask, HEIGHT / height)]
    return {"width": size[0], "height": HEIGHT, "jpeg": base64.b64encode(jpeg.tobytes()).decode(), "outlines": outlines}


def _outlines(mask: NDArray[np.bool_], scale: float) -> Iterator[list[float]]:
    found, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    for points in found:
        scaled = ((points[:, 0] + 0.5) * scale).astype(np.float32)
        yield [round(float(value), 1) for value in cv2.approxPolyDP(scaled[:, None], SMOOTH, True).ravel()]


def flags(notes: Mapping[str, Any], left_out: bool) -> list[str]:
    """What is doubtful about a mammogram, in words; px are of the source."""
    found = {
        "left out: no lesion of it remains": left_out,
        "faces the other side than recorded": notes["laterality_mismatch"],
        f"{notes['outside']} px of lesions outside of the breast": notes["outside"],
        "no muscle found in this MLO view": notes["no_muscle"],
        f"{len(notes['dropped'])} components of masks dropped": notes["dropped"],
    }
    return [text for text, holds in found.items() if holds]


def badness(row: Mapping[str, Any]) -> tuple[float, ...]:
    """Sorts rows of the sheet, worst first: by flags, lesion px lost, share of the film that was bright and removed."""
    return -len(row["flags"]), -row["outside"], -row["removed"], row["image_id"]
