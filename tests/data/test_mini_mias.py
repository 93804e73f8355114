import cv2
import numpy as np
import pytest

from pipeline.data import mini_mias
from pipeline.data.canonical import write
from pipeline.data.records import Rejected
from pipeline.errors import PipelineError
from tests.data.files import by_id

INFO = """THE MINI-MIAS DATABASE OF MAMMOGRAMS
REFNUM BG CLASS SEVERITY X Y RADIUS
mdb001 G CIRC B 30 20 5
mdb002 G SPIC M 10 90 4
mdb002 G MISC M 60 50 3
mdb003 D NORM
mdb004 D CALC M 20 20 9
mdb005 F CIRC B 50 40 6
mdb005 F MISC M 50 60 6
"""


@pytest.fixture
def root(tmp_path):
    (tmp_path / "Info.txt").write_text(INFO)
    for number in range(1, 6):
        image = np.random.default_rng(number).integers(0, 256, (100, 100)).astype(np.uint8)
        assert cv2.imwrite(str(tmp_path / f"mdb00{number}.pgm"), image)
    return tmp_path


def test_circles_become_masks_from_the_lower_left_corner(root):
    found = by_id(mini_mias.cases(root, "all"))
    assert list(found) == ["mdb001", "mdb002", "mdb003", "mdb005"]
    circle = found["mdb001"].lesions[0].mask
    rows, columns = np.nonzero(circle)
    # y = 20 from below is row 99 - 20 of 100.
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (74, 84, 25, 35)
    assert int(circle.sum()) == sum(x * x + y * y <= 25 for x in range(-5, 6) for y in range(-5, 6)) == 81
    second = found["mdb002"]
    assert [lesion.margins for lesion in second.lesions] == ["spiculated", "ill-defined"]
    assert second.lesions[0].mask[9, 10] and second.lesions[1].mask[49, 60]


def test_what_is_known_of_an_image(root):
    found = by_id(mini_mias.cases(root, "all"))
    first, second, third = (found[f"mdb00{k}"] for k in (1, 2, 3))
    assert (first.patient_id, second.patient_id, third.patient_id) == ("mias001", "mias001", "mias002")
    assert (first.laterality, second.laterality, first.view) == ("R", "L", "MLO")
    assert (first.pathology, second.pathology, third.pathology) == ("benign", "malignant", "normal")
    assert (first.spacing_mm, first.density, first.source) == (0.2, None, "mini-MIAS")
    assert np.array_equal(first.image, cv2.imread(str(root / "mdb001.pgm"), cv2.IMREAD_UNCHANGED))


def test_selection(root):
    malignant, benign = by_id(mini_mias.cases(root, "malignant")), by_id(mini_mias.cases(root, "benign"))
    assert list(malignant) == ["mdb002", "mdb003", "mdb005"] and list(benign) == ["mdb001", "mdb003"]
    lesions = {lesion.pathology: lesion for lesion in malignant["mdb005"].lesions}
    assert lesions["malignant"].mask[99 - 60, 50] and lesions["benign"].mask[99 - 40, 50]


def test_another_finding_beside_a_mass_is_kept_by_its_name(root):
    (root / "Info.txt").write_text(INFO + "mdb001 G CALC B 70 70 8\n")
    lesions = by_id(mini_mias.cases(root, "benign"))["mdb001"].lesions
    assert [(one.finding, one.margins, int(one.mask.sum())) for one in lesions] == [
        ("mass", "circumscribed", 81),
        ("calcification", "", 197),
    ]


def test_unusable_images_are_named_at_once(root):
    more = ["mdb006 F CIRC B *NOTE 3*", "mdb007 G MASS B 1 1 1", "mdb008 G NORM", "mdb009 F CIRC B 900 900 5"]
    (root / "Info.txt").write_text(INFO + "\n".join([*more, "mdb010 G NORM", "mdb010 G CIRC M 9 9 3"]))
    for name in ("mdb006", "mdb007", "mdb009", "mdb010"):
        (root / f"{name}.pgm").write_bytes((root / "mdb001.pgm").read_bytes())
    with pytest.raises(PipelineError) as error:
        write(root / "raw", mini_mias.cases(root, "all"))
    reasons = [
        "CIRC: Info.txt gives no circle (B *NOTE 3*)",
        "class MASS is none of NORM",
        "no such image",
        "mask 1 is empty",
        "is both normal",
    ]
    lines = str(error.value).splitlines()[1:]
    assert len(lines) == 5
    for line, number, reason in zip(lines, range(6, 11), reasons, strict=True):
        assert line.startswith(f"  - mdb{number:03d}: ") and reason in line


@pytest.mark.attack
@pytest.mark.parametrize("digits", [20, 400, 5000])
def test_a_circle_far_away_is_refused(root, digits):
    (root / "Info.txt").write_text(f"mdb001 G CIRC B {'6' * digits} 20 5\nmdb002 G SPIC M 10 90 {'9' * digits}\n")
    found = list(mini_mias.cases(root, "all"))
    assert all(isinstance(one, Rejected) and "an ellipse has coordinates that are no numbers" in one.reason for one in found)
    assert len(found) == 2


@pytest.mark.attack
def test_a_link_out_of_the_folder_is_refused(root, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "mdb003.pgm"
    (root / "mdb003.pgm").rename(outside)
    (root / "mdb003.pgm").symlink_to(outside)
    found = by_id(mini_mias.cases(root, "all"))["mdb003"]
    assert isinstance(found, Rejected) and "does not lie in" in found.reason


def test_a_folder_without_the_list_is_refused(tmp_path):
    with pytest.raises(PipelineError, match=r"Info\.txt: no such file; point data\.root"):
        list(mini_mias.cases(tmp_path))
