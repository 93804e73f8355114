"""CBIS-DDSM in its three layouts, as small as a test needs it, with the archive's faults."""

import csv
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from tests.data.files import film, write_dicom

COLUMNS = (
    *("patient_id", "breast_density", "left or right breast", "image view", "abnormality id", "abnormality type", "mass shape"),
    *("mass margins", "assessment", "pathology", "subtlety", "image file path", "cropped image file path", "ROI mask file path"),
)


@dataclass
class Abnormality:
    mask: np.ndarray
    crop: np.ndarray
    swapped: bool = False
    row: dict = field(default_factory=dict)


@dataclass
class Image:
    name: str  # P_00001_LEFT_CC
    pixels: np.ndarray
    abnormalities: list[Abnormality]
    split: str = "train"

    @property
    def folder(self) -> str:
        return f"Mass-{'Training' if self.split == 'train' else 'Test'}_{self.name}"


def image(name, *boxes, pathology="MALIGNANT", split="train", swapped=(), seed=0, **row) -> Image:
    """A film with one square mass a box (x, y, side); swapped: indices whose crop and mask lie under each other's column."""
    pixels = film(seed=seed)
    abnormalities = []
    for index, (x, y, side) in enumerate(boxes):
        mask = np.zeros(pixels.shape, np.uint8)
        mask[y : y + side, x : x + side] = 255
        words = {
            "mass shape": "LOBULATED",
            "mass margins": "MICROLOBULATED",
            "pathology": pathology,
            "breast_density": "3",
            "subtlety": "4",
            **row,
        }
        abnormalities.append(Abnormality(mask, pixels[y : y + side, x : x + side], index in swapped, words))
    return Image(name, pixels, abnormalities, split)


def uid(image: Image, index: int, what: str) -> str:
    return f"1.3.6.{int.from_bytes(f'{image.folder}{index}{what}'.encode(), 'big')}"


def paths(image: Image, index: int) -> tuple[str, str, str]:
    """Full mammogram, crop and mask as the tables name them; the crop has the smaller number, in the columns' order."""
    full = f"{image.folder}/{uid(image, 0, 'study')}/{uid(image, 0, 'full')}/000000.dcm"
    folder = f"{image.folder}_{index + 1}/{uid(image, index, 'study')}/{uid(image, index, 'roi')}"
    return full, f"{folder}/000000.dcm", f"{folder}/000001.dcm"


def contents(image: Image, index: int) -> tuple[np.ndarray, np.ndarray]:
    """What lies under the columns of the crop and of the mask."""
    one = image.abnormalities[index]
    return (one.mask, one.crop) if one.swapped else (one.crop, one.mask)


def rows(image: Image) -> list[dict]:
    patient, side, view = image.name.rsplit("_", 2)
    common = {"patient_id": patient, "left or right breast": side, "image view": view, "abnormality type": "mass", "assessment": "4"}
    found = []
    for index, one in enumerate(image.abnormalities):
        full, crop, mask = paths(image, index)
        files = {"image file path": full, "cropped image file path": crop, "ROI mask file path": f"{mask}\n"}
        found.append({**common, "abnormality id": str(index + 1), **files, **one.row})
    return found


def write_tables(folder: Path, images: list[Image]) -> None:
    for split in {image.split for image in images}:
        write_table(
            folder / f"mass_case_description_{split}_set.csv", [row for image in images if image.split == split for row in rows(image)]
        )


def write_table(path: Path, table: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(table)


def as_in_tables(root: Path, images: list[Image]) -> Path:
    write_tables(root, images)
    for one in images:
        for index in range(len(one.abnormalities)):
            full, crop, mask = paths(one, index)
            for name, pixels in zip((full, crop, mask), (one.pixels, *contents(one, index)), strict=True):
                _dicom(root / "CBIS-DDSM" / name, pixels)
    return root


def as_downloaded(root: Path, images: list[Image]) -> Path:
    """The downloader's folders: <case>/<date-study>/<series>/1-1.dcm, ROI files in one series or in two."""
    write_tables(root, images)
    for one in images:
        top = root / "CBIS-DDSM"
        _dicom(top / one.folder / "07-20-2016-DDSM-NA-30288" / "1.000000-full mammogram images-24515" / "1-1.dcm", one.pixels)
        for index in range(len(one.abnormalities)):
            study = top / f"{one.folder}_{index + 1}" / "08-30-2017-DDSM-NA-96009"
            names = ("1.000000-cropped images-1/1-1.dcm", "1.000000-ROI mask images-2/1-1.dcm")
            if index % 2:
                names = ("1.000000-ROI mask images-2/1-1.dcm", "1.000000-ROI mask images-2/1-2.dcm")
            for name, pixels in zip(names, contents(one, index), strict=True):
                _dicom(study / name, pixels)
    return root


def as_jpeg(root: Path, images: list[Image], quality=100) -> Path:
    """The JPEG copy: csv/ with dicom_info.csv, jpeg/<SeriesInstanceUID>/1-*.jpg of 8 bit."""
    write_tables(root / "csv", images)
    table = []
    for one in images:
        table.append(_jpeg(root, one.folder, uid(one, 0, "full"), "1-001.jpg", one.pixels, "full mammogram images", quality))
        for index in range(len(one.abnormalities)):
            series = uid(one, index, "roi")
            for number, pixels in enumerate(contents(one, index), 1):
                case = f"{one.folder}_{index + 1}"
                table.append(_jpeg(root, case, series, f"{number}-{number:03d}.jpg", pixels, "", quality))
    with open(root / "csv" / "dicom_info.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, table[0])
        writer.writeheader()
        writer.writerows(table)
    return root


def _dicom(path: Path, pixels: np.ndarray) -> None:
    write_dicom(path, pixels, bits=8 * pixels.itemsize, PatientName="Mass-Training")


def _jpeg(root: Path, case: str, series: str, name: str, pixels: np.ndarray, what: str, quality: int) -> dict:
    path = root / "jpeg" / series / name
    path.parent.mkdir(parents=True, exist_ok=True)
    eight = pixels if pixels.dtype == np.uint8 else np.rint(pixels / 257).astype(np.uint8)
    assert cv2.imwrite(str(path), eight, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return {
        "file_path": f"CBIS-DDSM/dicom/{series}/1-1.dcm",
        "image_path": f"CBIS-DDSM/jpeg/{series}/{name}",
        "PatientID": case,
        "SeriesDescription": what,
        "SeriesInstanceUID": series,
    }
