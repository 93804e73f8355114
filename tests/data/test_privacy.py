"""What DICOM tags say of a patient reaches no output, no list of skipped images, no message."""

import json
import logging

import numpy as np
import pydicom
import pytest
from pydicom.uid import ExplicitVRLittleEndian, JPEGLosslessSV1

from pipeline.data.canonical import write
from pipeline.data.coco_source import cases
from pipeline.data.dicom import TAGS
from pipeline.params import load
from pipeline.preprocess.prepare import prepare
from tests.data.files import tree, write_dicom
from tests.preprocess.conftest import draw

SECRETS = {
    "PatientName": "Zebra^Quagga",
    "PatientID": "HOSPITAL-4711",
    "PatientBirthDate": "19600229",
    "PatientAddress": "Okapi Street 5",
    "OtherPatientIDs": "OTHER-0815",
    "InstitutionName": "Clinic of Pangolins",
    "ReferringPhysicianName": "Narwhal^Ada",
    "OperatorsName": "Axolotl^Ben",
    "AccessionNumber": "ACC99887766",
    "StudyDate": "20191231",
    "StudyDescription": "Screening of Zebra",
    "ImageComments": "sister of Gnu",
    "StationName": "OKAPI1",
}
WORDS = (
    *("Zebra", "Quagga", "HOSPITAL", "19600229", "Okapi", "OTHER-0815", "Pangolin", "Narwhal", "Axolotl"),
    *("ACC99887766", "20191231", "Gnu", "OKAPI1", "PRIVATE-SECRET"),
)


def add_private(path):
    """A private block, and a sequence with a name in it."""
    dataset = pydicom.dcmread(path)
    block = dataset.private_block(0x0011, "ACME", create=True)
    block.add_new(1, "LO", "PRIVATE-SECRET")
    inner = pydicom.Dataset()
    inner.PatientName = "Zebra^Quagga"
    dataset.RequestAttributesSequence = [inner]
    dataset.save_as(path)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Eight films of eight patients, uncompressed and compressed, and four that are damaged in other ways."""
    root = tmp_path_factory.mktemp("dicom")
    images, annotations = [], []
    for k in range(12):
        film = draw(300, 200, seed=k, texture=20)[0]
        path = write_dicom(root / f"f{k}.dcm", film, bits=8, syntax=JPEGLosslessSV1 if k % 2 else ExplicitVRLittleEndian, **SECRETS)
        add_private(path)
        data = path.read_bytes()
        if k == 8:
            path.write_bytes(data[: len(data) // 2])
        if k == 9:
            path.write_bytes(data[:400] + data[400:].replace(b"\x28\x00\x04\x00", b"\x28\x00\x05\x00"))
        if k == 10:
            path.write_bytes(data.replace(b"MONOCHROME2", b"Zebra^Quagg"))
        if k == 11:
            path.write_bytes(data.replace(b"HOSPITAL-4711", b"\xff" * 13)[:-500])
        images.append({"id": k + 1, "file_name": path.name, "patient_id": f"p{k}", "laterality": "L", "view": "MLO"})
        if k != 3:
            annotations.append({"id": k + 1, "image_id": k + 1, "category_id": 1, "bbox": [60, 180, 30, 30], "pathology": "malignant"})
    whole = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "mass"}]}
    (root / "annotations.json").write_text(json.dumps(whole))
    return root


def test_no_output_or_message_holds_what_the_tags_say(source, tmp_path, caplog, capfd):
    assert all(any(word.encode() in path.read_bytes() for word in WORDS) for path in source.glob("f?.dcm"))
    caplog.set_level(logging.DEBUG)
    written = write(tmp_path / "raw", cases(source, "all"), "skip")
    assert (written.cases, written.skipped) == (8, 4)
    params = load().preprocess.model_copy(update={"height": 150, "patch_px": 32, "min_lesion_px": 1})
    split = load().split.model_copy(update={"scheme": "holdout", "test": 0.4, "val": 0.0})
    prepare(tmp_path / "raw", tmp_path / "prepared", params, split, seed=3, processes=1)
    said = {"messages": (caplog.text + "".join(capfd.readouterr())).encode()}
    found = [(name, word) for name, data in {**tree(tmp_path), **said}.items() for word in WORDS if word.encode() in data]
    assert not found
    skipped = (tmp_path / "raw/skipped.csv").read_text()
    assert all(f"f{k}" in skipped for k in range(8, 12))


def test_only_tags_of_pixels_are_read():
    groups = {pydicom.datadict.tag_for_keyword(name) >> 16 for name in TAGS}
    assert groups <= {0x0018, 0x0028, 0x7FE0}
    assert not any(word in name for name in TAGS for word in ("Patient", "Institution", "Physician", "Date", "Name", "Study"))


def test_metadata_of_pixels_alone_is_kept(source):
    from pipeline.data import dicom

    dataset, pixels = dicom._load(source / "f0.dcm")
    assert {element.keyword for element in dataset} <= set(TAGS) and np.asarray(pixels).shape == (300, 200)
