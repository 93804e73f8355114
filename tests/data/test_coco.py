import json

import cv2
import numpy as np
import pytest
from pycocotools import mask as rle

from pipeline import coco
from pipeline.data import coco_source
from pipeline.data.canonical import write
from pipeline.data.records import Rejected
from pipeline.errors import PipelineError
from pipeline.io import write_png
from tests.data.files import by_id, film, write_dicom

WHO = {"patient_id": "p1", "laterality": "L", "view": "CC", "pathology": "malignant"}
MASK = np.zeros((60, 40), bool)
MASK[10:20, 5:12] = True


class DataSet:
    """A COCO file with one image an `add`; images 60 x 40 px."""

    def __init__(self, root):
        self.root = root
        self.data = {"images": [], "annotations": [], "categories": [{"id": 3, "name": "Mass"}, {"id": 8, "name": "calcification"}]}

    def add(self, *annotations, name=None, pixels=None, folder="", **image):
        number = len(self.data["images"]) + 1
        name = name or f"m{number}.png"
        pixels = np.arange(2400).reshape(60, 40).astype(np.uint8) if pixels is None else pixels
        (self.root / folder).mkdir(exist_ok=True)
        if name.endswith(".png") and ".." not in name:
            assert cv2.imwrite(str(self.root / folder / name), pixels)
        self.data["images"].append({"id": number, "file_name": name, "height": 60, "width": 40, **WHO, **image})
        for one in annotations:
            self.data["annotations"].append({"id": len(self.data["annotations"]) + 1, "image_id": number, "category_id": 3, **one})
        return self

    def write(self):
        (self.root / "annotations.json").write_text(json.dumps(self.data))
        return self.root


@pytest.fixture
def dataset(tmp_path):
    return DataSet(tmp_path)


def uncompressed(mask):
    """COCO's RLE as a list of counts, down the columns, beginning with zeros."""
    flat = mask.T.ravel().astype(int)
    ends = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *ends, flat.size]).tolist()
    return {"size": list(mask.shape), "counts": counts if not flat[0] else [0, *counts]}


def test_masks_in_every_form(dataset):
    compressed = coco.encode(MASK)
    polygon = [[5, 10, 12, 10, 12, 20, 5, 20]]
    forms = (compressed, uncompressed(MASK), polygon)
    assert rle.area(compressed) == 70
    dataset.add(*({"segmentation": form, "bbox": [5, 10, 7, 10]} for form in forms))
    (case,) = coco_source.cases(dataset.write())
    for lesion in case.lesions:
        assert np.array_equal(lesion.mask, MASK)


def test_a_box_without_a_mask_becomes_its_ellipse(dataset):
    dataset.add({"bbox": [10, 20, 9, 15]}, {"bbox": [2.0, 40.0, 12.0, 6.0], "segmentation": []})
    (case,) = coco_source.cases(dataset.write())
    assert coco.bounding_box(case.lesions[0].mask) == (10, 20, 9, 15)
    assert coco.bounding_box(case.lesions[1].mask) == (2, 40, 12, 6)
    assert int(case.lesions[0].mask.sum()) == pytest.approx(np.pi / 4 * 9 * 15, rel=0.05)
    assert case.lesions[0].mask[27, 14] and not case.lesions[0].mask[20, 10]


def test_what_is_known_of_an_image(dataset):
    words = {"shape": "oval", "margins": "obscured", "subtlety": 3}
    known = {"density": 2, "spacing_mm": 0.1, "source": "clinic", "official_split": "test", "image_id": "case-7"}
    dataset.add({"segmentation": coco.encode(MASK), **words}, **known)
    dataset.add(pathology=None, patient_id="p2", laterality="R", view="MLO")
    case, normal = coco_source.cases(dataset.write())
    assert (case.image_id, case.patient_id, case.density, case.spacing_mm, case.source) == ("case-7", "p1", 2, 0.1, "clinic")
    assert (case.official_split, case.pathology, case.image.dtype) == ("test", "malignant", np.uint8)
    assert (case.lesions[0].shape, case.lesions[0].margins, case.lesions[0].subtlety) == ("oval", "obscured", 3)
    assert (normal.image_id, normal.laterality, normal.view, normal.pathology, normal.lesions) == ("m2", "R", "MLO", "normal", ())


def test_selection_by_the_pathology_of_annotation_or_image(dataset):
    box = {"bbox": [5, 5, 9, 9]}
    dataset.add({**box, "pathology": "benign"}, {**box, "pathology": "malignant"}, pathology=None)
    dataset.add(box, pathology="benign").add({**box, "category_id": 8}, pathology="benign").add(pathology=None)
    root = dataset.write()
    assert [(one.image_id, len(one.lesions)) for one in coco_source.cases(root)] == [("m1", 2), ("m4", 0)]
    assert [one.pathology for one in next(coco_source.cases(root)).lesions] == ["benign", "malignant"]
    assert [one.image_id for one in coco_source.cases(root, "benign")] == ["m2", "m4"]
    assert [one.image_id for one in coco_source.cases(root, "all")] == ["m1", "m2", "m4"]


def test_images_of_16_bit_and_dicom(dataset):
    greys = film(top=4095)
    dataset.add(pixels=greys, pathology=None).add(pixels=greys, pathology=None, bits=16, folder="images")
    write_dicom(dataset.root / "m3.dcm", greys, bits=12, PixelSpacing=[0.05, 0.05])
    dataset.add(name="m3.dcm", pathology=None)
    found = by_id(coco_source.cases(dataset.write()))
    assert np.array_equal(found["m1"].image, np.rint(greys * (65535 / 4095)))
    assert np.array_equal(found["m2"].image, greys)
    assert np.array_equal(found["m3"].image, found["m1"].image) and found["m3"].spacing_mm == 0.05
    assert [found[name].grey_range for name in ("m1", "m2", "m3")] == ["0..4095", "0..65535", "0..4095"]


def test_a_file_of_the_pipeline_itself_is_read_again(dataset):
    """COCO as `pipeline.coco` writes it is a source, too."""
    dataset.add(name="x.png")
    record = {"file_name": "x.png", "height": 60, "width": 40, "image_id": "x", **WHO}
    ignored = coco.annotation(MASK, iscrowd=1, pathology="benign", finding="mass"), coco.annotation(MASK, iscrowd=1, finding="asymmetry")
    coco.write(dataset.root / "other.json", coco.assemble([(record, [coco.annotation(MASK), *ignored])]))
    (case,) = coco_source.cases(dataset.root / "other.json")
    assert np.array_equal(case.lesions[0].mask, MASK)
    assert [(one.pathology, one.finding) for one in case.lesions] == [("", "mass"), ("benign", "mass"), ("", "asymmetry")]


def test_unusable_images_are_named_at_once(dataset):
    good = {"segmentation": coco.encode(MASK)}
    dataset.add(good, patient_id=None, view="").add(good, laterality="X").add({"bbox": [50, 70, 5, 5]}).add({"bbox": None})
    dataset.add({**good, "iscrowd": 1}).add({"segmentation": coco.encode(MASK[:, :30])}).add(good, spacing_mm=float("nan"))
    dataset.add(good, name="../m1.png").add({"segmentation": [[1, 2, 3]]}).add(good, pathology="odd").add(good, image_id="m2")
    dataset.add(good, patient_id="p2", official_split="train").add(good, patient_id="p2", official_split="test")
    dataset.add(pathology="malignant").add(good).add(good, pixels=film(), bits=0).add({**good, "subtlety": "4"})
    (dataset.root / "m15.png").unlink()
    with pytest.raises(PipelineError) as error:
        write(dataset.root / "raw", coco_source.cases(dataset.write(), "all"))
    reasons = [
        "m1: lacks patient_id; lacks view",
        "m2: laterality is 'X', not one of L, R",
        "m3: annotation 3: its mask is empty, or lies outside of the image",
        "m4: annotation 4: has neither a mask nor a box",
        "m5: annotation 5: is a crowd",
        "m6: annotation 6: its mask is (60, 30), the image (60, 40)",
        "m7: spacing_mm is nan, not a positive number",
        "m1: '../m1.png' does not lie in",
        "m9: annotation 9: a polygon is no list of x, y, x, y, ...",
        "m10: pathology is 'odd'",
        "m12: patient p2 is in both official splits",
        "m13: patient p2 is in both official splits",
        "m14: pathology is 'malignant', but nothing is annotated",
        "m15: m15.png: no such file",
        "m16: bits is 0, not a whole number from 8 to 16",
        "m17: annotation 16: subtlety is '4', not a whole number from 0 to 5",
    ]
    lines = str(error.value).splitlines()[1:]
    assert len(lines) == len(reasons)
    for line, reason in zip(lines, reasons, strict=True):
        assert line.startswith(f"  - {reason}")


def test_an_unsound_file_is_refused_with_all_of_its_faults(dataset):
    dataset.add({"bbox": [1, 1, 5, 5]}, {"bbox": [1, 1, 5, 5], "image_id": 77}).add()
    dataset.data["images"][1]["id"] = dataset.data["annotations"][1]["id"] = 1
    dataset.data["categories"] = [{"id": 1, "name": "cat"}, {"id": 3, "name": "dog"}]
    with pytest.raises(PipelineError) as error:
        list(coco_source.cases(dataset.write()))
    text = str(error.value)
    for part in (
        "(4)",
        "images: the id 1 occurs 2 times",
        "annotations: the id 1",
        "of image 77",
        "no category has mass in its name: cat, dog",
    ):
        assert part in text


@pytest.mark.attack
@pytest.mark.parametrize("name", ["/etc/hostname.png", "link.png"])
def test_no_path_leaves_the_data_folder(dataset, tmp_path_factory, name):
    outside = tmp_path_factory.mktemp("outside") / "x.png"
    cv2.imwrite(str(outside), film())
    (dataset.root / "link.png").symlink_to(outside)
    dataset.data["images"].append({"id": 1, "file_name": name, **WHO})
    dataset.data["images"][0]["pathology"] = None
    (found,) = coco_source.cases(dataset.write())
    assert isinstance(found, Rejected) and "does not lie in" in found.reason


def test_synthetic_images_are_refused_as_real_data(dataset):
    """By the key of the record, and by the mark in the file, wherever it was copied to."""
    good = {"segmentation": coco.encode(MASK)}
    dataset.add(good, synthetic=True).add(good).add(good)
    write_png(dataset.root / "m2.png", np.zeros((60, 40), np.uint8), mark="pool gan, image 2, seed 17")
    dataset.write()
    found = list(coco_source.cases(dataset.root, "all", "none"))
    reasons = [one.reason for one in found if isinstance(one, Rejected)]
    assert len(found) == 3 and len(reasons) == 2
    assert (
        "its annotation says so" in reasons[0] and "is synthetic (pool gan, image 2, seed 17) and cannot serve as real data" in reasons[1]
    )
