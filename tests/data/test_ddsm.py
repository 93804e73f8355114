import numpy as np
import pytest

from pipeline.data import ddsm
from pipeline.data.canonical import read_cases, write
from pipeline.data.ddsm_overlay import abnormalities
from pipeline.data.records import Rejected
from pipeline.errors import PipelineError
from tests.data import ljpeg_files
from tests.data.files import by_id

ICS = """
ics_version 1.0
filename {name}
DATE_OF_STUDY 2 7 1995
PATIENT_AGE 42
FILM
FILM_TYPE REGULAR
DENSITY 4
DATE_DIGITIZED 7 22 1997
DIGITIZER {scanner}
SELECTED
{films}
"""
MASS = """ABNORMALITY {number}
LESION_TYPE MASS SHAPE {shape} MARGINS {margins}
ASSESSMENT 4
SUBTLETY {subtlety}
PATHOLOGY {pathology}
TOTAL_OUTLINES 2
BOUNDARY
{x} {y} 2 2 2 2 4 4 4 6 6 6 6 0 0 0  #
 CORE
{x} {y} 2 4 6 0  #
"""
HEIGHT, WIDTH = 30, 20


def mass(number=1, x=3, y=5, shape="LOBULATED", margins="MICROLOBULATED", subtlety=3, pathology="MALIGNANT"):
    return MASS.format(number=number, x=x, y=y, shape=shape, margins=margins, subtlety=subtlety, pathology=pathology)


def greys(seed=0):
    return np.random.default_rng(seed).integers(1000, 3000, (HEIGHT, WIDTH))


def case(root, name="B-3024-1", scanner="LUMISYS LASER", overlays=None, views=("LEFT_CC", "RIGHT_MLO"), **ljpeg):
    """A case folder. overlays: view -> list of abnormalities, as text."""
    overlays = overlays or {}
    folder = root / f"case{name[2:6]}"
    folder.mkdir(parents=True)
    line = "{} LINES {} PIXELS_PER_LINE {} BITS_PER_PIXEL 12 RESOLUTION 43.5 {}"
    films = [line.format(view, HEIGHT, WIDTH, "OVERLAY" if view in overlays else "NON_OVERLAY") for view in views]
    (folder / f"{name}.ics").write_text(ICS.format(name=name, scanner=scanner, films="\n".join(films)))
    for view in views:
        ljpeg_files.write(folder / f"{name.replace('-', '_')}.{view}.LJPEG", greys(), **ljpeg)
    for view, texts in overlays.items():
        (folder / f"{name.replace('-', '_')}.{view}.OVERLAY").write_text(f"TOTAL_ABNORMALITIES {len(texts)}\n" + "".join(texts))
    return folder


# Optical density of a step wedge and the mean grey level of its scan, from the calibration page of the DBA scanner.
WEDGE = [(0.21, 37201), (0.50, 18445), (0.96, 5648), (1.44, 1772), (2.07, 393), (2.52, 132), (2.99, 47)]


def test_the_dba_calibration_gives_the_measured_densities():
    measured, scanned = np.array(WEDGE).T
    assert abs(ddsm.optical_density(scanned, "MGH", "DBA") - measured).max() < 0.08  # a straight line; worst at the dark end
    assert np.isfinite(ddsm.optical_density(np.zeros(1), "MGH", "DBA")).all()


def test_scanner_and_site_choose_the_calibration():
    level = np.array([2000])
    assert ddsm.optical_density(level, "MGH", "HOWTEK")[0] == pytest.approx(3.789 - 1.89136)
    assert ddsm.optical_density(level, "ISMD", "HOWTEK")[0] == pytest.approx(3.96604095 - 1.98111615)
    # The Lumisys is set up so that 4095 is density 0 and a level is 0.001; the measured line is close to it.
    assert ddsm.optical_density(np.array([2478]), "WFU", "LUMISYS")[0] == pytest.approx(1.617, abs=0.02)
    with pytest.raises(PipelineError, match="no calibration of DBA at WFU; there are DBA at MGH"):
        ddsm.optical_density(level, "WFU", "DBA")


@pytest.mark.parametrize(
    ("name", "scanner", "slope", "offset"),
    [("A-1141-1", "HOWTEK 43.5", -0.00094568, 3.789), ("D-4606-1", "HOWTEK 43.5", -0.00099055807612, 3.96604095240593)],
)
def test_images_are_optical_density_with_clear_film_white(tmp_path, name, scanner, slope, offset):
    case(tmp_path, name, scanner)
    first, _ = ddsm.cases(tmp_path)
    density = offset + slope * greys()
    assert first.image.dtype == np.uint16 and first.grey_range == "OD 4..0"
    assert abs(first.image - 65535 * (1 - density / 4)).max() <= 0.5


def test_what_is_known_of_an_image(tmp_path):
    folder = case(tmp_path, overlays={"LEFT_CC": [mass(), mass(2, x=12, y=20, pathology="BENIGN")]})
    found, _ = ddsm.cases(tmp_path)
    assert (found.image_id, found.patient_id, found.laterality, found.view) == ("B_3024_1_LEFT_CC", "B_3024_1", "L", "CC")
    assert (found.pathology, found.density, found.spacing_mm, found.source) == ("malignant", 4, 0.0435, "DDSM")
    lesion, benign = found.lesions
    assert (lesion.pathology, benign.pathology, found.birads) == ("malignant", "benign", "before 5th edition")
    assert (lesion.shape, lesion.margins, lesion.subtlety) == ("lobulated", "microlobulated", 3)
    # The chain runs 4 right, 3 down, 4 left, 3 up from (3, 5): 5 x 4 px with its outline; the core is not a lesion of its own.
    assert int(lesion.mask.sum()) == 20 and lesion.mask[5:9, 3:8].all()
    write(tmp_path / "raw", ddsm.cases(tmp_path))
    assert read_cases(tmp_path / "raw")[0].lesions[0].box == (3, 5, 5, 4)
    assert (folder / "B_3024_1.LEFT_CC.LJPEG").is_file()


def test_all_eight_directions():
    (one,) = abnormalities("TOTAL_ABNORMALITIES 1\n" + mass().replace("2 2 2 2 4 4 4 6 6 6 6 0 0 0", "0 1 2 3 4 5 6 7", 1))
    assert one.outline.tolist() == [[3, 5], [3, 4], [4, 3], [5, 3], [6, 4], [6, 5], [5, 6], [4, 6], [3, 5]]


def test_width_and_height_exchanged_in_the_header(tmp_path):
    case(tmp_path / "a")
    case(tmp_path / "b", size=(WIDTH, HEIGHT))
    for right, exchanged in zip(ddsm.cases(tmp_path / "a"), ddsm.cases(tmp_path / "b"), strict=True):
        assert np.array_equal(right.image, exchanged.image)


def test_which_images_count(tmp_path):
    calcification = mass().replace("LESION_TYPE MASS SHAPE LOBULATED MARGINS MICROLOBULATED", "LESION_TYPE CALCIFICATION TYPE PLEOMORPHIC")
    both = mass(pathology="BENIGN_WITHOUT_CALLBACK").replace("LESION_TYPE", "LESION_TYPE CALCIFICATION TYPE COARSE\nLESION_TYPE", 1)
    # The other view of a breast with an outline is neither mass nor normal; the other breast is normal.
    case(tmp_path, "A-0001-1", "DBA", {"LEFT_CC": [mass()]}, ("LEFT_CC", "LEFT_MLO", "RIGHT_MLO"))
    case(tmp_path, "A-0002-1", "DBA", {"LEFT_CC": [both], "RIGHT_MLO": [calcification]})
    case(tmp_path, "A-0003-1", "DBA", {"LEFT_CC": [mass(pathology="UNPROVEN")]}, ("LEFT_CC", "LEFT_MLO"))
    case(tmp_path, "A-0004-1", "DBA")
    kept = {select: [(one.image_id, one.pathology) for one in ddsm.cases(tmp_path, select)] for select in ("malignant", "benign", "all")}
    other = ("A_0001_1_RIGHT_MLO", "normal")
    malignant, benign, unproven = (("A_0001_1_LEFT_CC", "malignant"), ("A_0002_1_LEFT_CC", "benign"), ("A_0003_1_LEFT_CC", ""))
    normals = [("A_0004_1_LEFT_CC", "normal"), ("A_0004_1_RIGHT_MLO", "normal")]
    assert kept == {
        "malignant": [malignant, other, *normals],
        "benign": [other, benign, *normals],
        "all": [malignant, other, benign, unproven, *normals],
    }


def test_unusable_images_are_named_at_once(tmp_path):
    case(tmp_path, "B-0001-1", "DBA")
    (case(tmp_path, "B-0002-1") / "B_0002_1.LEFT_CC.LJPEG").unlink()
    (case(tmp_path, "B-0003-1") / "B_0003_1.LEFT_CC.LJPEG").write_bytes(b"nothing")
    case(tmp_path, "B-0004-1", size=(HEIGHT // 2, WIDTH * 2))  # as many px: the .ics file is right
    ljpeg_files.write(case(tmp_path, "B-0005-1", views=("LEFT_CC",)) / "B_0005_1.LEFT_CC.LJPEG", greys()[:7])
    (case(tmp_path, "B-0006-1", overlays={"LEFT_CC": [mass()]}) / "B_0006_1.LEFT_CC.OVERLAY").unlink()
    case(tmp_path, "B-0007-1", overlays={"LEFT_CC": [mass(pathology="LIKELY")]})
    case(tmp_path, "B-0008-1", overlays={"LEFT_CC": [mass().replace("#", "")]})
    case(tmp_path, "B-0009-1", overlays={"LEFT_CC": [mass().replace("2 2 2 2", "2 2 9 2")]})
    case(tmp_path, "B-0010-1", overlays={"LEFT_CC": [mass(x=100, y=100)]})
    header = case(tmp_path, "B-0011-1") / "B-0011-1.ics"
    header.write_text(header.read_text().replace("RESOLUTION 43.5", "RESOLUTION nan"))
    twice = case(tmp_path, "B-0012-1", overlays={"LEFT_CC": [mass(), mass(2)]}) / "B_0012_1.LEFT_CC.OVERLAY"
    twice.write_text(twice.read_text().replace("TOTAL_ABNORMALITIES 2", "TOTAL_ABNORMALITIES 3"))
    with pytest.raises(PipelineError) as error:
        write(tmp_path / "raw", ddsm.cases(tmp_path))
    expected = {
        "B-0001-1": "no calibration of DBA at WFU",
        "B_0002_1_LEFT_CC": "LEFT_CC.LJPEG: no such file",
        "B_0003_1_LEFT_CC": "does not begin as a JPEG file",
        "B_0005_1_LEFT_CC": "is (7, 20), the .ics file says (30, 20)",
        "B_0006_1_LEFT_CC": "OVERLAY: no such file",
        "B_0007_1_LEFT_CC": "PATHOLOGY is 'LIKELY'",
        "B_0008_1_LEFT_CC": "has no BOUNDARY that ends in #",
        "B_0009_1_LEFT_CC": "is no chain code",
        "B_0010_1_LEFT_CC": "mask 1 is empty",
        "B-0011-1": "RESOLUTION is nan, not a positive number",
        "B_0012_1_LEFT_CC": "TOTAL_ABNORMALITIES is 3, but 2 are described",
    }
    lines = str(error.value).splitlines()[1:]
    assert len(lines) == len(expected)
    for line, (name, reason) in zip(lines, expected.items(), strict=True):
        assert line.startswith(f"  - {name}: ") and reason in line


@pytest.mark.attack
def test_a_link_out_of_the_folder_is_refused(tmp_path):
    folder = case(tmp_path / "root", views=("LEFT_CC",))
    (folder / "B_3024_1.LEFT_CC.LJPEG").rename(tmp_path / "away.LJPEG")
    (folder / "B_3024_1.LEFT_CC.LJPEG").symlink_to(tmp_path / "away.LJPEG")
    (found,) = by_id(ddsm.cases(tmp_path / "root")).values()
    assert isinstance(found, Rejected) and "does not lie in" in found.reason


def test_a_folder_without_cases_is_refused(tmp_path):
    with pytest.raises(PipelineError, match=r"holds no \.ics file; point data\.root"):
        list(ddsm.cases(tmp_path))
