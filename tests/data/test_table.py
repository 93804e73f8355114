"""The table adapter on a made folder with every kind of fault, and on CBIS-DDSM where it is at hand."""

import csv
from pathlib import Path

import numpy as np
import pytest

from pipeline.coco import bounding_box
from pipeline.data.canonical import write
from pipeline.data.records import Case
from pipeline.data.table import cases, components
from pipeline.errors import PipelineError
from pipeline.io import write_png
from tests.code_deps import ROOT

CBIS = ROOT.parent / "shared/data/cbis-ddsm"
COLUMNS = (
    *("image", "mask", "patient_id", "laterality", "view", "pathology", "finding", "density"),
    *("mass_shape", "mass_margins", "subtlety", "source", "spacing_mm", "official_split", "birads"),
)
ROW = {"patient_id": "P1", "laterality": "LEFT", "view": "CC", "pathology": "MALIGNANT", "finding": "mass", "source": "made"}


def folder(root: Path, *rows: dict) -> Path:
    """A source: image a.png with mask a.png (two components and one pixel), and rows that differ from ROW."""
    image = np.arange(600, dtype=np.uint16).reshape(30, 20)
    mask = np.zeros((30, 20), np.uint8)
    mask[20:25, 2:6], mask[3:9, 10:14], mask[28, 18] = 255, 255, 255
    write_png(root / "images/a.png", image)
    write_png(root / "masks/a.png", mask)
    write_png(root / "masks/empty.png", mask * 0)
    write_png(root / "masks/small.png", mask[:10])
    with open(root / "cases.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows({**ROW, "image": "images/a.png", "mask": "masks/a.png", **row} for row in rows)
    return root


def test_a_row_becomes_a_case_with_one_lesion_a_component(tmp_path):
    words = {
        "density": "3",
        "mass_shape": "ROUND;ROUND;ROUND",
        "mass_margins": "OBSCURED;SPICULATED;OBSCURED",
        "subtlety": "4",
        "spacing_mm": "0.3",
    }
    (one,) = cases(folder(tmp_path, words))
    assert isinstance(one, Case)
    assert (one.image_id, one.patient_id, one.laterality, one.view, one.pathology) == ("a", "P1", "L", "CC", "malignant")
    assert (one.density, one.spacing_mm, one.source) == (3, 0.3, "made")
    assert [int(lesion.mask.sum()) for lesion in one.lesions] == [24, 20, 1], "in the order of their first row"
    assert {(lesion.shape, lesion.margins, lesion.subtlety) for lesion in one.lesions} == {("round", "", 4)}


def test_diagonal_neighbours_are_one_component():
    mask = np.zeros((4, 4), bool)
    mask[0, 0] = mask[1, 1] = mask[3, 3] = True
    assert [int(one.sum()) for one in components(mask)] == [2, 1]


def test_ten_bit_values_are_stretched_to_sixteen(tmp_path):
    (one,) = cases(folder(tmp_path, {}))
    assert one.image.dtype == np.uint16
    assert one.image[29, 19] == round(599 * 65535 / 1023) and one.image[0, 0] == 0


def test_every_fault_of_every_row_is_in_one_error(tmp_path):
    outside = tmp_path / "outside.png"
    write_png(outside, np.zeros((30, 20), np.uint8))
    root = tmp_path / "source"
    wrong = {
        "'../outside.png' does not lie in": {"image": "../outside.png", "mask": "", "finding": ""},
        f"'{outside}' does not lie in": {"image": str(outside), "mask": "", "finding": ""},
        "'images/link.png' does not lie in": {"image": "images/link.png"},
        "none.png: no such image": {"image": "images/none.png"},
        "broken.png: cannot be decoded": {"image": "images/broken.png"},
        "mask is (10, 20), the image (30, 20)": {"mask": "masks/small.png"},
        "masks/empty.png is empty": {"mask": "masks/empty.png"},
        "there is no mask": {"mask": ""},
        "finding is normal, but there is a mask": {"finding": "normal"},
        "density is 'dense', not a number": {"density": "dense"},
        "subtlety is 9, not 0..5": {"subtlety": "9"},
    }
    folder(root, {}, *wrong.values())
    (root / "images/link.png").symlink_to(outside)
    (root / "images/broken.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing")
    with pytest.raises(PipelineError) as error:
        write(tmp_path / "raw", cases(root))
    for words in wrong:
        assert words in str(error.value)
    assert f"({len(wrong)})" in str(error.value)
    done = write(tmp_path / "raw", cases(root), "skip")
    assert (done.cases, done.skipped) == (1, len(wrong))


@pytest.mark.parametrize("bad", [{"laterality": "X"}, {"view": "LAT"}, {"pathology": "MAYBE"}, {"spacing_mm": "nan"}, {"spacing_mm": "0"}])
def test_values_outside_of_their_range_are_refused(tmp_path, bad):
    with pytest.raises(PipelineError, match=next(iter(bad))):
        write(tmp_path / "raw", cases(folder(tmp_path / "source", bad)))


def test_a_patient_in_both_official_splits_is_refused_and_one_part_is_kept(tmp_path):
    both = [{"patient_id": "P1", "official_split": part} for part in ("train", "TEST")]
    first, second, third = cases(folder(tmp_path, *both, {"patient_id": "P2", "official_split": "Test", "birads": "5"}))
    assert first.reason == second.reason == "patient P1 is in both official splits"
    assert (third.official_split, third.birads) == ("test", "5")


def test_a_table_without_its_columns_is_refused(tmp_path):
    (tmp_path / "cases.csv").write_text("image,mask\n")
    with pytest.raises(PipelineError, match="lacks the columns patient_id, laterality, view, pathology"):
        list(cases(tmp_path))


@pytest.mark.slow
@pytest.mark.skipif(not CBIS.is_dir(), reason="needs the shared CBIS-DDSM images beside the repository")
def test_cbis_ddsm():
    sides, seen = [], []
    for case in cases(CBIS):
        assert isinstance(case, Case), case
        seen.append((case.image_id, case.patient_id, case.laterality, case.view))
        sides.extend(bounding_box(lesion.mask)[2:] for lesion in case.lesions)
    ids, patients, lateralities, views = zip(*seen, strict=True)
    assert len(set(ids)) == len(ids) == 587 and len(set(patients)) == 340
    assert lateralities.count("L") == 299 and views.count("MLO") == 315
    assert len(sides) == 620 and np.abs(np.median(sides, 0) - [48, 49]).max() <= 1
    assert np.corrcoef(np.transpose(sides))[0, 1] == pytest.approx(0.87, abs=0.02)
