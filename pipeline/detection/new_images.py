"""A trained detector on mammograms from outside: cleaned as in training, boxes brought back to px of the files."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline import coco
from pipeline.data import dicom
from pipeline.detection.detect import load_detector, predict, prepare
from pipeline.errors import PipelineError, raise_all
from pipeline.io import atomic_folder, read_image, to_unit, write_json
from pipeline.params import Detect, Runtime
from pipeline.preprocess.breast import chest_wall_right
from pipeline.preprocess.cleaning import clean
from pipeline.preprocess.geometry import Geometry
from pipeline.progress import track

GREY = (".png", ".tif", ".tiff", ".pgm", ".bmp")
DICOM = (".dcm", ".dicom")
OVERLAY = 1024  # px: the longer side of an overlay
COLOUR = (60, 20, 220)  # blue, green, red
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reading:
    """How files are read and prepared: params `preprocess.height`, `data.window` and `data.on_error`."""

    height: int | None
    window: dicom.Window
    on_error: Literal["fail", "skip"]


def write(detector: Path, images: Path, out: Path, how: Reading, settings: Detect, runtime: Runtime, shown: float) -> list[dict[str, Any]]:
    """Detect masses in all mammograms below `images` and write the folder `out`; returns the results.

    results.json: COCO results, boxes xywh in px of the files. images.json: the COCO data set they refer to, without
    annotations, file names relative to `images`. overlays/: each image at 8 bit with its boxes of at least the score `shown`.
    Raises PipelineError where there is no image, where `out` lies below `images`, and for all files that cannot be used
    (with `on_error: skip` these are logged and left out).
    """
    if out.resolve().is_relative_to(images.resolve()):
        raise PipelineError(f"{out} lies below {images}, whose images are read; name another --out")
    files = mammograms(images)
    model = load_detector(detector)
    prepare(model, settings, runtime)
    records: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    faults: list[str] = []
    with atomic_folder(out) as made:
        for number, file in enumerate(track(files, "detect"), 1):
            try:
                image = read(file, how.window)
                found = _detect(model, image, how.height, settings, runtime)
            except (PipelineError, ValueError) as error:
                faults.append(str(error) if str(file) in str(error) else f"{file}: {error}")
                continue
            name = file.relative_to(images)
            records.append({"id": number, "file_name": name.as_posix(), "height": image.shape[0], "width": image.shape[1]})
            results += [{"image_id": number, "category_id": 1, **one} for one in found]
            _draw(made / "overlays" / name.with_name(f"{name.name}.png"), image, [one for one in found if one["score"] >= shown])
        if how.on_error == "fail" or not records:
            raise_all(faults, f"images of {images} that cannot be used; take them out, or set data.on_error: skip")
        for fault in faults:
            log.warning("left out: %s", fault)
        write_json(made / "results.json", results)
        write_json(made / "images.json", {"images": records, "annotations": [], "categories": coco.CATEGORIES})
    return results


def mammograms(folder: Path) -> list[Path]:
    """Image files below a folder, sorted: PNG and other lossless grey formats, and DICOM, also without an ending."""
    if not folder.is_dir():
        raise PipelineError(f"{folder}: no such folder")
    files = sorted(file for file in folder.rglob("*") if file.is_file() and (file.suffix.lower() in GREY or is_dicom(file)))
    if not files:
        raise PipelineError(f"{folder}: holds no images ({', '.join(GREY)} or DICOM)")
    return files


def is_dicom(file: Path) -> bool:
    """By its ending, or for a file without one by its preamble (PS3.10, 7.1)."""
    if file.suffix.lower() in DICOM:
        return True
    if file.suffix:
        return False
    with open(file, "rb") as stream:
        return stream.read(132)[128:] == b"DICM"


def read(file: Path, window: dicom.Window) -> NDArray[Any]:
    """(H, W) uint8 or uint16 over the type's full range."""
    return dicom.read(file, window).image if is_dicom(file) else read_image(file)


def _detect(model: Any, image: NDArray[Any], height: int | None, settings: Detect, runtime: Runtime) -> list[dict[str, Any]]:
    """{bbox, score} of an image as it is in its file, best first."""
    cleaned = clean(image)
    geometry = Geometry.of(cleaned.breast, chest_wall_right(cleaned.breast), height)
    boxes, scores = predict(model, to_unit(geometry.apply(cleaned.image)), settings, runtime)
    found = []
    for box, score in zip(boxes, scores, strict=True):
        corners = geometry.to_source(box.reshape(2, 2)).clip(0, image.shape[::-1])
        low, high = corners.min(0), corners.max(0)
        if score >= settings.score_min:
            found.append({"bbox": [round(float(value), 2) for value in (*low, *(high - low))], "score": round(float(score), 6)})
    return found


def _draw(path: Path, image: NDArray[Any], found: list[dict[str, Any]]) -> None:
    scale = min(1.0, OVERLAY / max(image.shape))
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    grey = np.rint(cv2.resize(to_unit(image), size, interpolation=cv2.INTER_AREA) * 255).astype(np.uint8)
    shown = cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)
    for one in found:
        x, y, width, height = (round(value * scale) for value in one["bbox"])
        cv2.rectangle(shown, (x, y), (x + width, y + height), COLOUR, 2)
        cv2.putText(shown, f"{one['score']:.2f}", (x, max(12, y - 4)), cv2.FONT_HERSHEY_SIMPLEX, 0.5, COLOUR, 1, cv2.LINE_AA)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", shown)[1].tobytes())
