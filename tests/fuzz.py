"""What reads files from outside, as functions of bytes: the targets of `test_fuzz.py` and of `benchmarks/fuzz.py`.

A target is called with a folder of its own and must return or raise PipelineError; anything else is a fault.
"""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.errors import PipelineError
from pipeline.io import write_png
from tests.data.cbis_files import as_in_tables
from tests.data.cbis_files import image as image_of_cbis
from tests.data.files import film, write_dicom
from tests.data.ljpeg_files import encode

Reader = Callable[[bytes, Path], None]


@dataclass(frozen=True)
class Target:
    """read: takes bytes and an empty folder. seeds: makes valid inputs, which fuzzers change."""

    read: Reader
    seeds: Callable[[Path], list[bytes]]


def survives(target: Target, data: bytes, folder: Path) -> bool:
    """Whether `data` was read (True) or refused in the documented way (False); any other exception passes through."""
    try:
        target.read(data, folder)
    except PipelineError:
        return False
    return True


def _stored(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)  # writing over a file waits for the disk
    path.write_bytes(data)
    return path


def _film(path: Path) -> None:
    """A small mammogram beside the bytes that are tried, written once: that is the slow part."""
    if not path.is_file():
        write_png(path, film(20, 12))


def image(data: bytes, folder: Path) -> None:
    from pipeline.io import read_image

    read_image(_stored(folder, "a.png", data))


def image_seeds(folder: Path) -> list[bytes]:
    import cv2

    pixels = film(20, 12)
    write_png(folder / "a.png", pixels)
    coded = [cv2.imencode(kind, pixels)[1].tobytes() for kind in (".tiff", ".pgm")]
    return [(folder / "a.png").read_bytes(), *coded, cv2.imencode(".jpg", (pixels >> 8).astype(np.uint8))[1].tobytes()]


def dicom(data: bytes, folder: Path) -> None:
    from pipeline.data.dicom import read

    path = _stored(folder, "a.dcm", data)
    for window in ("none", "voi"):
        read(path, window)


def dicom_seeds(folder: Path) -> list[bytes]:
    from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

    window = {"WindowCenter": 500, "WindowWidth": 1000, "PixelSpacing": [0.1, 0.1], "RescaleSlope": 1, "RescaleIntercept": 0}
    syntaxes = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, RLELossless)
    return [write_dicom(folder / "a.dcm", film(20, 12), syntax=syntax, **window).read_bytes() for syntax in syntaxes]


def ljpeg(data: bytes, folder: Path) -> None:
    from pipeline.data.ljpeg import decode

    decode(data)


def ljpeg_seeds(folder: Path) -> list[bytes]:
    return [encode(film(12, 8, top=4095), predictor, 12) for predictor in (1, 7)]


def coco(data: bytes, folder: Path) -> None:
    from pipeline.data.coco_source import cases

    _film(folder / "images/a.png")
    list(cases(_stored(folder, "annotations.json", data), "all"))


def coco_seeds(folder: Path) -> list[bytes]:
    from pipeline.coco import encode as rle

    mask = np.zeros((20, 12), bool)
    mask[3:9, 2:7] = True
    known = {"patient_id": "p", "laterality": "L", "view": "CC", "density": 2, "spacing_mm": 0.1, "bits": 16, "pathology": "benign"}
    shapes = ([[2, 3, 7, 3, 7, 9]], rle(mask), {"size": [20, 12], "counts": [43, 6, 191]}, None)
    annotations = [
        {"id": k, "image_id": 1, "category_id": 1, "bbox": [2, 3, 5, 6], "segmentation": s, "iscrowd": 0, "subtlety": 3}
        for k, s in enumerate(shapes)
    ]
    images = [{"id": 1, "file_name": "a.png", "height": 20, "width": 12, **known}]
    whole = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "mass"}]}
    return [json.dumps({**whole, "annotations": some}).encode() for some in (annotations, annotations[:1], [])]


def table(data: bytes, folder: Path) -> None:
    from pipeline.data.table import cases

    _film(folder / "a.png")
    if not (folder / "m.png").is_file():
        write_png(folder / "m.png", np.pad(np.full((4, 4), 255, np.uint8), ((3, 13), (3, 5))))
    _stored(folder, "cases.csv", data)
    list(cases(folder))


def table_seeds(folder: Path) -> list[bytes]:
    head = "image,mask,patient_id,laterality,view,pathology,density,spacing_mm,subtlety,mass_shape\n"
    return [(head + "a.png,m.png,p1,L,CC,malignant,2,0.1,4,ROUND;OVAL\na.png,,p2,RIGHT,MLO,normal,,,,\n").encode()]


def canonical(data: bytes, folder: Path) -> None:
    """Cases and lesions of a stored data set, joined by a line of dashes."""
    from pipeline.data.canonical import read_cases

    cases, _, lesions = data.partition(b"\n---\n")
    _stored(folder, "cases.csv", cases)
    _stored(folder, "lesions.csv", lesions)
    _film(folder / "images/a.png")
    _film(folder / "masks/a_1.png")
    read_cases(folder)


def canonical_seeds(folder: Path) -> list[bytes]:
    from pipeline.data.canonical import CASE_COLUMNS, LESION_COLUMNS

    cases = ",".join(CASE_COLUMNS) + "\na,images/a.png,p,L,CC,2,malignant,0.1,here,train,0..4095\n"
    return [(cases + "\n---\n" + ",".join(LESION_COLUMNS) + "\na,1,masks/a_1.png,1,2,3,4,round,,3\n").encode()]


def params(data: bytes, folder: Path) -> None:
    from pipeline.params import load

    load(_stored(folder, "params.yaml", data))


def params_seeds(folder: Path) -> list[bytes]:
    return [(Path(__file__).parents[1] / "params.yaml").read_bytes()]


def mias(data: bytes, folder: Path) -> None:
    from pipeline.data.mini_mias import cases

    _stored(folder, "Info.txt", data)
    for number in (1, 2):
        _stored(folder, f"mdb00{number}.pgm", b"P5 8 6 255\n" + bytes(range(48)))
    list(cases(folder, "all"))


def mias_seeds(folder: Path) -> list[bytes]:
    return [b"preface\nmdb001 G CIRC B 4 3 2\nmdb002 F NORM\nmdb003 D SPIC M 4 3 2\n"]


def inbreast(data: bytes, folder: Path) -> None:
    """The XML of one image."""
    from pipeline.data.inbreast import cases

    _stored(folder, "INbreast.csv", b"Laterality;View;File Name;ACR;Bi-Rads\nL;CC;100;2;5\n")
    if not (folder / "AllDICOMs").is_dir():
        write_dicom(folder / "AllDICOMs/100_ab_MG_L_CC_ANON.dcm", film(20, 12))
    _stored(folder, "AllXML/100.xml", data)
    list(cases(folder, "all"))


def inbreast_seeds(folder: Path) -> list[bytes]:
    import plistlib

    regions = [{"Name": "Mass", "Point_px": ["(2, 3)", "(7, 3)", "(7, 9)"]}, {"Name": "Calcification", "Point_px": ["(1, 1)"]}]
    return [plistlib.dumps({"Images": [{"ROIs": regions}]})]


def ddsm(data: bytes, folder: Path) -> None:
    """Header and overlay of one case, joined by a line of dashes."""
    from pipeline.data.ddsm import cases

    header, _, overlay = data.partition(b"\n---\n")
    _stored(folder, "B-3024-1.ics", header)
    _stored(folder, "B_3024_1.LEFT_CC.OVERLAY", overlay)
    _stored(folder, "B_3024_1.LEFT_CC.LJPEG", FILM)
    list(cases(folder, "all"))


FILM = encode(film(12, 8, top=4095), 1, 12)


def ddsm_seeds(folder: Path) -> list[bytes]:
    header = (
        "filename B-3024-1\nDENSITY 2\nDIGITIZER LUMISYS LASER\n"
        "LEFT_CC LINES 12 PIXELS_PER_LINE 8 BITS_PER_PIXEL 12 RESOLUTION 50 OVERLAY\n"
    )
    overlay = (
        "TOTAL_ABNORMALITIES 1\nABNORMALITY 1\nLESION_TYPE MASS SHAPE ROUND MARGINS SPICULATED\nASSESSMENT 5\nSUBTLETY 4\n"
        "PATHOLOGY MALIGNANT\nTOTAL_OUTLINES 1\nBOUNDARY\n2 2 2 2 2 4 4 4 6 6 6 0 0 #\n"
    )
    return [f"{header}\n---\n{overlay}".encode()]


def cbis(data: bytes, folder: Path) -> None:
    """The table of masses."""
    from pipeline.data.cbis_ddsm import cases

    table = folder / CBIS
    if not table.is_file():
        as_in_tables(folder, [image_of_cbis("P_00001_LEFT_CC", (5, 5, 6), (20, 20, 5)), image_of_cbis("P_00002_RIGHT_MLO", (9, 9, 7))])
    table.write_bytes(data)
    list(cases(folder, "all"))


CBIS = "mass_case_description_train_set.csv"


def cbis_seeds(folder: Path) -> list[bytes]:
    as_in_tables(folder, [image_of_cbis("P_00001_LEFT_CC", (5, 5, 6), (20, 20, 5)), image_of_cbis("P_00002_RIGHT_MLO", (9, 9, 7))])
    return [next(folder.rglob(CBIS)).read_bytes()]


def checkpoint(data: bytes, folder: Path) -> None:
    from pipeline.training.checkpoints import load_state

    load_state(_stored(folder, "a.pth", data))


def checkpoint_seeds(folder: Path) -> list[bytes]:
    import torch

    found = []
    for zipped in (True, False):
        stream = io.BytesIO()
        torch.save({"iteration": 3, "state_dict": {"a": torch.arange(6.0).reshape(2, 3)}}, stream, _use_new_zipfile_serialization=zipped)
        found.append(stream.getvalue())
    return found


def detections(data: bytes, folder: Path) -> None:
    """Ground truth and detections for the evaluator, joined by a line of dashes."""
    from pipeline import coco as annotations
    from pipeline.evaluation.truth import detections as read
    from pipeline.evaluation.truth import truth
    from pipeline.io import read_json

    known, _, found = data.partition(b"\n---\n")
    ground = truth(annotations.read(_stored(folder, "gt.json", known)), "gt.json")
    read(read_json(_stored(folder, "found.json", found)), ground, "found.json")


def detections_seeds(folder: Path) -> list[bytes]:
    found = json.dumps([{"image_id": 1, "category_id": 1, "bbox": [2, 3, 5, 6], "score": 0.5}]).encode()
    return [known + b"\n---\n" + found for known in coco_seeds(folder)[:2]]


TARGETS = {
    name: Target(globals()[name], globals()[f"{name}_seeds"])
    for name in (
        *("image", "dicom", "ljpeg", "coco", "table", "canonical", "params", "mias", "inbreast", "ddsm"),
        "cbis",
        *("checkpoint", "detections"),
    )
}
