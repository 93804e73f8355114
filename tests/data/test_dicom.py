import numpy as np
import pydicom
import pytest
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from pipeline.data import dicom
from pipeline.data.canonical import read_cases, write
from pipeline.data.records import Case
from pipeline.errors import PipelineError
from pipeline.io import read_image
from tests.data.files import NATIVE, film, tree, write_dicom

COMPRESSED = (uid.JPEGLosslessSV1, uid.JPEGLSLossless, uid.JPEG2000Lossless, uid.RLELossless)


@pytest.mark.parametrize("syntax", NATIVE + COMPRESSED, ids=lambda syntax: syntax.name)
def test_every_lossless_transfer_syntax_gives_the_same_pixels(tmp_path, syntax):
    greys = film(top=4095)
    path = write_dicom(tmp_path / "a.dcm", greys, bits=12, syntax=syntax)
    assert np.array_equal(dicom.stored(path), greys)
    assert np.array_equal(dicom.read(path).image, np.rint(greys * (65535 / 4095)).astype(np.uint16))


@pytest.mark.parametrize("syntax", [uid.JPEGBaseline8Bit, uid.JPEG2000], ids=lambda syntax: syntax.name)
def test_lossy_transfer_syntaxes_are_near(tmp_path, syntax):
    greys = np.add.outer(np.arange(64), np.arange(48)).astype(np.uint8) * 2
    image = dicom.read(write_dicom(tmp_path / "a.dcm", greys, bits=8, syntax=syntax)).image
    assert abs(image / 257 - greys).max() <= 4


@pytest.mark.parametrize(("bits", "dtype"), [(8, np.uint8), (10, np.uint16), (12, np.uint16), (14, np.uint16), (16, np.uint16)])
def test_the_range_of_the_bits_becomes_the_full_range(tmp_path, bits, dtype):
    top = 2**bits - 1
    greys = np.array([[0, 1, top // 2, top]], dtype)
    read = dicom.read(write_dicom(tmp_path / "a.dcm", greys, bits))
    assert read.image.dtype == np.uint16
    assert read.image[0, 0] == 0 and read.image[0, 3] == 65535
    assert read.image[0, 1] == round(65535 / top) and read.image[0, 2] == round(top // 2 * 65535 / top)
    assert read.grey_range == f"0..{top}"


def test_signed_values(tmp_path):
    read = dicom.read(write_dicom(tmp_path / "a.dcm", np.array([[-2048, 0, 2047]], np.int16), bits=12))
    assert read.image.tolist() == [[0, round(2048 * 65535 / 4095), 65535]]
    assert read.grey_range == "-2048..2047"


def test_monochrome1_is_inverted(tmp_path):
    read = dicom.read(write_dicom(tmp_path / "a.dcm", np.array([[0, 1, 4095]], np.uint16), bits=12, photometric="MONOCHROME1"))
    assert read.image.tolist() == [[65535, round(4094 * 65535 / 4095), 0]]
    assert read.grey_range == "4095..0"


def test_window_of_the_file(tmp_path):
    greys = np.array([[0, 1535, 1536, 2047, 2048, 2559, 2560, 4095]], np.uint16)
    path = write_dicom(tmp_path / "a.dcm", greys, bits=12, WindowCenter="2048", WindowWidth="1025")
    # PS3.3 C.11.2.1.2.1: with centre 2047.5 and width 1024, x maps to (x - 2047.5) / 1024 + 0.5 of the range, cut at its ends.
    expected = [round(65535 * min(1, max(0, (x - 2047.5) / 1024 + 0.5))) for x in greys[0].tolist()]
    assert dicom.read(path, "voi").image[0].tolist() == expected
    assert expected[1] == 0 and expected[6] == 65535 and expected[3] == round(65535 * (0.5 - 0.5 / 1024))
    assert dicom.read(path, "none").image[0, 1] == round(1535 * 65535 / 4095)


def test_modality_transform_comes_before_the_window(tmp_path):
    tags = {"RescaleSlope": "2", "RescaleIntercept": "-100", "WindowCenter": "101", "WindowWidth": "101"}
    path = write_dicom(tmp_path / "a.dcm", np.array([[50, 75, 100, 125, 4095]], np.uint16), bits=12, **tags)
    # Values 0, 50, 100, 150, 8090; centre 100.5, width 100: 50.5 is black, 150.5 white.
    assert dicom.read(path, "voi").image[0].tolist() == [0, 0, round(0.495 * 65535), round(0.995 * 65535), 65535]


def test_voi_lut_of_the_file(tmp_path):
    lut = Dataset()
    lut.add_new("LUTDescriptor", "US", [4, 1, 10])
    lut.add_new("LUTData", "US", [0, 100, 500, 1023])
    tags = {"VOILUTSequence": Sequence([lut]), "WindowCenter": "2", "WindowWidth": "2"}
    path = write_dicom(tmp_path / "a.dcm", np.array([[0, 1, 2, 3, 4, 9]], np.uint16), bits=12, photometric="MONOCHROME1", **tags)
    looked_up = np.array([0, 0, 100, 500, 1023, 1023])
    assert dicom.read(path, "voi").image[0].tolist() == np.rint((1023 - looked_up) * (65535 / 1023)).tolist()


def test_view_without_lut_or_window_is_refused(tmp_path):
    with pytest.raises(PipelineError, match=r"a\.dcm: has neither a VOI LUT nor a window; set data\.window: none"):
        dicom.read(write_dicom(tmp_path / "a.dcm", film()), "voi")


@pytest.mark.parametrize(
    ("tags", "spacing"),
    [
        ({}, None),
        ({"PixelSpacing": [0.07, 0.07], "ImagerPixelSpacing": [0.1, 0.1]}, 0.07),
        ({"ImagerPixelSpacing": [0.1, 0.1], "NominalScannedPixelSpacing": [0.2, 0.2]}, 0.1),
        ({"NominalScannedPixelSpacing": [0.05, 0.05]}, 0.05),
    ],
)
def test_pixel_spacing(tmp_path, tags, spacing):
    assert dicom.read(write_dicom(tmp_path / "a.dcm", film(), **tags)).spacing_mm == spacing


@pytest.mark.parametrize(
    ("spacing", "message"),
    [(["NaN", "NaN"], "is nan, not a positive"), ([0, 0], "is 0.0, not a positive"), ([0.1, 0.2], r"is \[0.1, 0.2\], not that of square")],
)
def test_unusable_spacing_is_named(tmp_path, spacing, message):
    path = write_dicom(tmp_path / "a.dcm", film(), PixelSpacing=spacing)
    with pytest.raises(PipelineError, match=rf"a\.dcm: PixelSpacing {message}"):
        dicom.read(path)


def test_unusable_files_are_named(tmp_path):
    (tmp_path / "text.dcm").write_text("no image")
    whole = write_dicom(tmp_path / "whole.dcm", film())
    (tmp_path / "cut.dcm").write_bytes(whole.read_bytes()[:-1000])
    write_dicom(tmp_path / "colour.dcm", np.zeros((4, 5, 3), np.uint8), bits=8, photometric="RGB")
    write_dicom(tmp_path / "frames.dcm", np.zeros((8, 5), np.uint8), bits=8, NumberOfFrames=2, Rows=4)
    header = pydicom.dcmread(whole)
    del header.PixelData
    header.save_as(tmp_path / "header.dcm")
    expected = {
        "text": "cannot be read as DICOM",
        "cut": "its pixels cannot be decoded",
        "colour": "is RGB, not MONOCHROME1",
        "frames": "holds 2 frames",
        "header": "holds no pixels",
        "none": "no such file",
    }
    for name, message in expected.items():
        with pytest.raises(PipelineError, match=rf"{name}\.dcm: {message}"):
            dicom.read(tmp_path / f"{name}.dcm")


def test_nothing_about_the_patient_reaches_the_outputs(tmp_path):
    tags = {"PatientName": "Secret^Name", "PatientBirthDate": "19600229", "PatientID": "HOSPITAL-77", "InstitutionName": "Secret Clinic"}
    read = dicom.read(write_dicom(tmp_path / "a.dcm", film(), **tags))
    case = Case(image_id="a", patient_id="p", laterality="L", view="CC", image=read.image, grey_range=read.grey_range)
    write(tmp_path / "raw", [case])
    for content in tree(tmp_path / "raw").values():
        assert not any(word in content for word in (b"Secret", b"19600229", b"HOSPITAL"))
    (stored,) = read_cases(tmp_path / "raw")
    assert stored.grey_range == "0..65535" and np.array_equal(read_image(stored.image), film())
