"""INbreast (Moreira et al. 2012, doi 10.1016/j.acra.2011.09.014): DICOM, contours as XML property lists, a spreadsheet.

Folder: ``AllDICOMs/<file>_<patient>_MG_<side>_<view>_ANON.dcm``, ``AllXML/<file>.xml`` (absent where nothing was marked)
and ``INbreast.csv``, the spreadsheet as it is distributed or saved from the XLS file, with ``;`` or ``,`` between cells.
The patient is the code in the DICOM file's name; the spreadsheet has none. The database gives assessments, not pathology:
here BI-RADS 4 to 6 is malignant and 1 to 3 benign, of the whole image.
"""

import plistlib
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.data import dicom
from pipeline.data.canonical import read_rows
from pipeline.data.reading import BEFORE_5TH, Mammogram, Select, below, choose, gather, number
from pipeline.data.records import Case, Lesion, Record, Rejected, Stored
from pipeline.data.shapes import polygon
from pipeline.errors import PipelineError

COLUMNS = ("Laterality", "View", "File Name", "ACR", "Bi-Rads")
NAME = re.compile(r"(?P<file>\d+)_(?P<patient>[0-9A-Za-z]+)_MG_.*\.dcm")
BIRADS = re.compile(r"[1-6][abc]?")
Contour = NDArray[np.float64]
Row = dict[str, str]


def cases(root: Path, select: Select = "malignant", window: dicom.Window = "none", done: Collection[str] = ()) -> Iterator[Record]:
    """The mammograms with a mass that `select` keeps, and those with nothing marked (normal), in the order of their file numbers.

    Images with other findings only (calcifications, asymmetry, distortion) are left out. Raises PipelineError where the
    spreadsheet or the folder of images cannot be used.
    """
    images = _images(root)
    rows = _rows(root / "INbreast.csv")
    for file in sorted(images.keys() | rows.keys()):
        if file in done:
            yield Stored(file)
        elif file in images and file in rows:
            case = _case(root, file, images[file], rows[file], select, window)
            if case is not None:
                yield case
        else:
            yield Rejected(file, "has no row in INbreast.csv" if file in images else f"{root / 'AllDICOMs'} holds no image of it")


def _images(root: Path) -> dict[str, list[Path]]:
    """File number -> its DICOM files."""
    images: dict[str, list[Path]] = {}
    for path in sorted((root / "AllDICOMs").glob("*.dcm")):
        match = NAME.fullmatch(path.name)
        images.setdefault(match["file"] if match else path.stem, []).append(path)
    if not images:
        raise PipelineError(f"{root / 'AllDICOMs'}: holds no .dcm file; point data.root at the folder that holds AllDICOMs")
    return images


def _rows(path: Path) -> dict[str, list[Row]]:
    """File number -> its rows. Spreadsheet programs may have added ``.0`` to the number."""
    delimiter = ";" if path.is_file() and b";" in path.read_bytes().split(b"\n")[0] else ","
    rows: dict[str, list[Row]] = {}
    for row in read_rows(path, COLUMNS, delimiter):
        if row["File Name"]:
            rows.setdefault(row["File Name"].removesuffix(".0"), []).append(row)
    return rows


def _case(root: Path, file: str, images: list[Path], rows: list[Row], select: Select, window: dicom.Window) -> Case | Rejected | None:
    row, faults = rows[0], list(_doubts(images, rows))
    findings: list[tuple[str, Contour]] = []
    with gather(faults):
        findings = _contours(root, file)
    masses = [points for name, points in findings if name == "mass"]
    assessed = "malignant" if row["Bi-Rads"][:1] in ("4", "5", "6") else "benign"
    pathology = choose([assessed] * len(masses), select) if masses else "normal"
    if not faults and (pathology is None or (findings and not masses)):
        return None
    read: Mammogram | None = None
    with gather(faults):
        read = dicom.read(below(root, images[0].relative_to(root)), window)
    density = None
    with gather(faults):
        density = number(row["ACR"], "ACR")
    lesions: list[Lesion] = []
    with gather(faults):
        if read is not None:
            height, width = read.image.shape
            outlined = [(name, points) for name, points in findings if len(points) > 2]
            lesions = [Lesion(mask=polygon(points, (height, width)), finding=name) for name, points in outlined]
    match = NAME.fullmatch(images[0].name)
    if faults or read is None or match is None or pathology is None:
        return Rejected(file, "; ".join(faults))
    return Case(
        image_id=file,
        patient_id=match["patient"],
        laterality=row["Laterality"],
        view="MLO" if row["View"] == "ML" else row["View"],
        pathology=pathology,
        density=density,
        spacing_mm=read.spacing_mm,
        source="INbreast",
        grey_range=read.grey_range,
        birads=BEFORE_5TH,
        image=read.image,
        lesions=tuple(lesions),
    )


def _doubts(images: list[Path], rows: list[Row]) -> Iterator[str]:
    if len(images) > 1 or len(rows) > 1:
        yield f"is there {len(images)} times in AllDICOMs and {len(rows)} times in INbreast.csv"
    if not NAME.fullmatch(images[0].name):
        yield f"the file name {images[0].name} does not name the patient (<file>_<patient>_MG_..)"
    if not BIRADS.fullmatch(rows[0]["Bi-Rads"].lower()):
        yield f"Bi-Rads is {rows[0]['Bi-Rads']!r}, not 1..6 (4a, 4b, 4c)"


def _contours(root: Path, file: str) -> list[tuple[str, Contour]]:
    """Name and outline, (N, 2) x, y in px, of what is marked: nothing where there is no XML. Other findings than a mass may be points."""
    path = below(root, f"AllXML/{file}.xml")
    if not path.is_file():
        return []
    try:
        with open(path, "rb") as stream:
            regions = [region for image in plistlib.load(stream, fmt=plistlib.FMT_XML)["Images"] for region in image["ROIs"]]
        findings = [(str(region["Name"]).strip().lower(), _points(region["Point_px"])) for region in regions]
    except Exception as error:  # plistlib raises whatever its parts do
        raise PipelineError(f"{path}: cannot be read as contours ({type(error).__name__}: {error})") from None
    for name, points in findings:
        if name == "mass" and len(points) < 3:
            raise PipelineError(f"{path}: a mass has {len(points)} points, not an outline")
    return findings


def _points(texts: list[Any]) -> Contour:
    """``(x, y)`` texts to (N, 2)."""
    return np.array([[float(value) for value in str(text).strip("() ").split(",")] for text in texts], float).reshape(-1, 2)
