import plistlib

import numpy as np
import pytest

from pipeline.data import inbreast
from pipeline.data.records import Case, Rejected
from pipeline.errors import PipelineError
from tests.data.files import by_id, film, write_dicom

HEADER = "Patient ID;Patient age;Laterality;View;Acquisition date;File Name;ACR;Bi-Rads"
SQUARE = [(10, 20), (19, 20), (19, 34), (10, 34)]


def region(name, points):
    """An ROI as the annotation program writes it; coordinates as text, in px."""
    texts = [f"({x:.6f}, {y:.6f})" for x, y in points]
    return {"Area": 0.1, "Name": name, "NumberOfPoints": len(points), "Point_px": texts, "Type": 15}


class Release:
    """INbreast with one file a call; images 60 x 40 px of 12 bit."""

    def __init__(self, root):
        self.root, self.rows = root, []
        (root / "AllXML").mkdir()

    def add(self, file, *regions, patient="6c613a14b80a8591", side="R", view="CC", acr="2", birads="5", **tags):
        path = self.root / "AllDICOMs" / f"{file}_{patient}_MG_{side}_{view.replace('MLO', 'ML')}_ANON.dcm"
        write_dicom(path, film(top=4095, seed=file), bits=12, **{"PixelSpacing": [0.07, 0.07], **tags})
        self.rows.append(f"removed;removed;{side};{view};201001;{file};{acr};{birads}")
        if regions:
            images = {"Images": [{"ImageIndex": 0, "NumberOfROIs": len(regions), "ROIs": list(regions)}]}
            (self.root / "AllXML" / f"{file}.xml").write_bytes(plistlib.dumps(images))
        return self.write()

    def write(self, separator=";"):
        (self.root / "INbreast.csv").write_text("\n".join([HEADER, *self.rows]).replace(";", separator) + "\n")
        return self


@pytest.fixture
def release(tmp_path):
    return Release(tmp_path)


def test_masses_normals_and_what_is_left_out(release):
    release.add(20586908, region("Mass", SQUARE), region("Calcification", [(3, 3)]), view="MLO", birads="4a")
    release.add(20586934, region("Mass", SQUARE), region("Mass", [(1, 1), (5, 1), (5, 5)]), side="L", birads="2", acr="     ")
    release.add(20586960, region("Cluster", SQUARE), birads="4b")
    release.add(20586986, patient="036aff49b8ac84f0", birads="1")
    assert list(by_id(inbreast.cases(release.root))) == ["20586908", "20586986"]
    assert list(by_id(inbreast.cases(release.root, "benign"))) == ["20586934", "20586986"]
    mass, benign, normal = by_id(inbreast.cases(release.root, "all")).values()
    assert (mass.patient_id, mass.laterality, mass.view, mass.density, mass.pathology) == ("6c613a14b80a8591", "R", "MLO", 2, "malignant")
    assert (mass.spacing_mm, mass.source, mass.grey_range) == (0.07, "INbreast", "0..4095")
    assert np.array_equal(mass.image, np.rint(film(top=4095, seed=20586908) * (65535 / 4095)))
    (lesion,) = mass.lesions
    assert int(lesion.mask.sum()) == 10 * 15 and lesion.mask[20:35, 10:20].all()
    assert (benign.laterality, benign.density, benign.pathology, len(benign.lesions)) == ("L", None, "benign", 2)
    assert (normal.patient_id, normal.pathology, normal.lesions) == ("036aff49b8ac84f0", "normal", ())


def test_a_spreadsheet_saved_from_the_xls_file(release):
    release.add(20586908, region("Mass", SQUARE)).write(",")
    text = (release.root / "INbreast.csv").read_text()
    (release.root / "INbreast.csv").write_text("\ufeff" + text.replace("20586908", "20586908.0"), encoding="utf-8")
    assert list(by_id(inbreast.cases(release.root))) == ["20586908"]


def test_an_outline_beyond_the_border_is_cut_off(release):
    release.add(1, region("Mass", [(-5, -5), (4, -5), (4, 4), (-5, 4)]))
    (case,) = inbreast.cases(release.root)
    assert int(case.lesions[0].mask.sum()) == 25


def test_unusable_images_are_named(release):
    release.add(1, region("Mass", SQUARE), birads="7")
    release.add(2, region("Mass", [(1, 1), (2, 2)]))
    release.add(3, region("Mass", SQUARE), PixelSpacing=["NaN", "NaN"], acr="two")
    release.add(4, birads="1").add(4, birads="1")
    release.add(5, region("Mass", SQUARE))
    (release.root / "AllXML" / "5.xml").write_text("<plist><dict>")
    release.add(6, birads="1")
    release.add(7, birads="1")
    release.add(8, region("Mass", [(100, 100), (120, 100), (120, 120)]))
    next((release.root / "AllDICOMs").glob("6_*")).rename(release.root / "AllDICOMs" / "6.dcm")
    next((release.root / "AllDICOMs").glob("7_*")).unlink()
    write_dicom(release.root / "AllDICOMs" / "9_abc_MG_R_CC_ANON.dcm", film())
    found = by_id(inbreast.cases(release.root, "all"))
    expected = {
        "1": "Bi-Rads is '7', not 1..6",
        "2": "a mass has 2 points, not an outline",
        "3": "PixelSpacing is nan, not a positive number; ACR is 'two', not a number",
        "4": "is there 1 times in AllDICOMs and 2 times in INbreast.csv",
        "5": "5.xml: cannot be read as contours",
        "6": "the file name 6.dcm does not name the patient",
        "7": "holds no image of it",
        "9": "has no row in INbreast.csv",
    }
    for file, reason in expected.items():
        assert isinstance(found[file], Rejected) and reason in found[file].reason
    assert isinstance(found["8"], Case) and not found["8"].lesions[0].mask.any()  # refused by `canonical.write`: the mask is empty


def test_a_folder_without_images_is_refused(tmp_path):
    with pytest.raises(PipelineError, match=r"AllDICOMs: holds no \.dcm file; point data\.root"):
        list(inbreast.cases(tmp_path))
