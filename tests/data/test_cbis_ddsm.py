import csv
import dataclasses
from pathlib import Path

import numpy as np
import pytest

from pipeline.data import cbis_ddsm, dicom
from pipeline.data.canonical import read_cases, read_rows, write
from pipeline.data.records import Case, Rejected
from pipeline.errors import PipelineError
from pipeline.io import read_image
from tests.data import cbis_files
from tests.data.cbis_files import Abnormality, Image, as_downloaded, as_in_tables, as_jpeg, image, write_table
from tests.data.files import by_id, tree, write_dicom

SAMPLE = Path(__file__).resolve().parents[3] / "shared" / "data" / "cbis-ddsm-dicom"


@pytest.fixture
def films():
    """Three patients: two masses of which one is swapped, a benign mass, a test patient with a mass of each kind."""
    mixed = image("P_00003_LEFT_CC", (2, 2, 5), (20, 30, 8), split="test", swapped=[0], seed=3)
    mixed.abnormalities[1].row["pathology"] = "BENIGN_WITHOUT_CALLBACK"
    return [
        image("P_00001_RIGHT_MLO", (5, 9, 12), (22, 40, 7), swapped=[1], seed=1),
        image("P_00002_LEFT_CC", (10, 10, 10), pathology="BENIGN", seed=2, **{"mass shape": "IRREGULAR-ARCHITECTURAL_DISTORTION"}),
        mixed,
    ]


def ingest(root, out, select="all", **options):
    write(out, cbis_ddsm.cases(root, select), **options)
    return tree(out)


def test_cases_with_their_words_and_split(tmp_path, films):
    found = by_id(cbis_ddsm.cases(as_in_tables(tmp_path, films), "all"))
    assert list(found) == ["P_00001_RIGHT_MLO", "P_00002_LEFT_CC", "P_00003_LEFT_CC"]
    first, second, third = found.values()
    assert (first.patient_id, first.laterality, first.view, first.density, first.pathology) == ("P_00001", "R", "MLO", 3, "malignant")
    assert (first.official_split, third.official_split, first.source, first.spacing_mm) == ("train", "test", "CBIS-DDSM", None)
    assert np.array_equal(first.image, films[0].pixels) and first.grey_range == "0..65535"
    assert [int(lesion.mask.sum()) for lesion in first.lesions] == [144, 49]
    assert first.lesions[1].mask[40:47, 22:29].all()
    assert (first.lesions[0].shape, first.lesions[0].margins, first.lesions[0].subtlety) == ("lobulated", "microlobulated", 4)
    assert (second.pathology, second.lesions[0].shape) == ("benign", "irregular-architectural_distortion")
    assert (third.pathology, [int(lesion.mask.sum()) for lesion in third.lesions]) == ("malignant", [25, 64])
    assert [lesion.pathology for lesion in third.lesions] == ["malignant", "benign"] and third.birads == "before 5th edition"


@pytest.mark.parametrize(("select", "kept"), [("malignant", ["P_00001_RIGHT_MLO", "P_00003_LEFT_CC"]), ("benign", ["P_00002_LEFT_CC"])])
def test_selection_by_pathology(tmp_path, films, select, kept):
    assert list(by_id(cbis_ddsm.cases(as_in_tables(tmp_path, films), select))) == kept


def test_three_layouts_give_the_same_data_set(tmp_path, films):
    canonical = ingest(as_in_tables(tmp_path / "a", films), tmp_path / "raw_a")
    assert ingest(as_downloaded(tmp_path / "b", films), tmp_path / "raw_b") == canonical
    compare_jpeg(ingest(as_jpeg(tmp_path / "c", films), tmp_path / "raw_c"), canonical, tmp_path / "raw_c", tmp_path / "raw_a", error=3)


def compare_jpeg(jpeg, canonical, folder, other, error):
    """JPEG has 8 bit and loses: masks and lesions are the same bytes, images differ by at most `error` of 255."""
    assert jpeg.keys() == canonical.keys()
    assert all(jpeg[name] == canonical[name] for name in jpeg if name.startswith(("masks/", "lesions.csv", "skipped.csv")))
    for one, reference in zip(read_cases(folder), read_cases(other), strict=True):
        same = ("image_id", "patient_id", "laterality", "view", "pathology", "density", "spacing_mm", "official_split")
        assert [getattr(one, key) for key in same] == [getattr(reference, key) for key in same]
        assert abs(read_image(one.image).astype(float) - read_image(reference.image) / 257).max() <= error


def test_calcifications_beside_a_mass_are_kept_where_their_masks_are(tmp_path, films):
    """That of P_00009 lies in an image without a mass, that of the third film has no files."""
    as_in_tables(tmp_path, films)
    beside, alone = image("P_00001_RIGHT_MLO", (30, 3, 4)), image("P_00009_LEFT_CC", (3, 3, 5))
    absent = image("P_00003_LEFT_CC", (30, 40, 6))
    table = []
    for one in (beside, alone, absent):
        for row in cbis_files.rows(one):
            moved = {key: str(value).replace("Mass-", "Calc-") if key.endswith("path") else value for key, value in row.items()}
            table.append({**moved, "abnormality type": "calcification"})
    write_table(tmp_path / "calc_case_description_train_set.csv", table)
    for name, pixels in zip(cbis_files.paths(beside, 0)[1:], cbis_files.contents(beside, 0), strict=True):
        write_dicom(tmp_path / "CBIS-DDSM" / name.replace("Mass-", "Calc-"), pixels, bits=8 * pixels.itemsize)
    found = by_id(cbis_ddsm.cases(tmp_path, "all"))
    assert list(found) == ["P_00001_RIGHT_MLO", "P_00002_LEFT_CC", "P_00003_LEFT_CC"]
    assert [(one.finding, int(one.mask.sum())) for one in found["P_00001_RIGHT_MLO"].lesions] == [
        ("mass", 144), ("mass", 49), ("calcification", 16),
    ]  # fmt: skip
    assert [one.finding for one in found["P_00003_LEFT_CC"].lesions] == ["mass", "mass"]


def test_a_mask_of_another_size_is_scaled_and_of_another_aspect_refused(tmp_path, films):
    one = films[0].abnormalities[0]
    one.mask = np.kron(one.mask, np.ones((2, 2), np.uint8))
    films[1].abnormalities[0].mask = films[1].abnormalities[0].mask[:, :30]
    found = by_id(cbis_ddsm.cases(as_in_tables(tmp_path, films), "all"))
    assert int(found["P_00001_RIGHT_MLO"].lesions[0].mask.sum()) == 144
    assert found["P_00001_RIGHT_MLO"].lesions[0].mask[9:21, 5:17].all()
    assert found["P_00002_LEFT_CC"].reason == "abnormality 1: the ROI mask is (60, 30), the image (60, 40) (rows, columns)"


def test_repeated_rows_count_once_and_contradicting_ones_are_named(tmp_path, films):
    as_in_tables(tmp_path, films)
    table = cbis_files.rows(films[0]) + cbis_files.rows(films[0]) + cbis_files.rows(films[1])
    write_table(tmp_path / "mass_case_description_train_set.csv", [*table, {**table[-1], "subtlety": "1"}])
    found = by_id(cbis_ddsm.cases(tmp_path, "all"))
    assert len(found["P_00001_RIGHT_MLO"].lesions) == 2
    assert found["P_00002_LEFT_CC"].reason == "abnormality 1 is described in two ways"


def test_a_missing_crop_does_no_harm(tmp_path, films):
    as_in_tables(tmp_path, films)
    (tmp_path / "CBIS-DDSM" / cbis_files.paths(films[1], 0)[1]).unlink()
    assert len(by_id(cbis_ddsm.cases(tmp_path, "benign"))["P_00002_LEFT_CC"].lesions) == 1


def test_line_breaks_inside_a_path(tmp_path, films):
    as_in_tables(tmp_path, films)
    table = cbis_files.rows(films[1])
    table[0]["image file path"] = table[0]["image file path"].replace("/000000", "/\r\n000000")
    write_table(tmp_path / "mass_case_description_train_set.csv", table)
    assert isinstance(by_id(cbis_ddsm.cases(tmp_path, "benign"))["P_00002_LEFT_CC"], Case)


def test_every_unusable_image_is_named_in_one_error(tmp_path, films):
    extra = [image(f"P_0001{k}_LEFT_CC", (10, 10, 10), seed=10 + k) for k in range(6)]
    extra[2].abnormalities[0].mask[:] = 0
    extra[4].abnormalities[0].mask = extra[4].abnormalities[0].crop
    extra[5].abnormalities[0].row["pathology"] = "UNKNOWN"
    leak = image("P_00003_RIGHT_CC", (3, 3, 9), seed=4)
    as_in_tables(tmp_path, [*films, *extra, leak])
    top = tmp_path / "CBIS-DDSM"
    (top / cbis_files.paths(extra[0], 0)[0]).unlink()
    (top / cbis_files.paths(extra[1], 0)[0]).write_bytes(b"no DICOM")
    write_dicom(top / cbis_files.paths(extra[3], 0)[0], extra[3].pixels, PixelSpacing=["NaN", "NaN"])
    with pytest.raises(PipelineError) as error:
        ingest(tmp_path, tmp_path / "raw", "malignant")
    lines = str(error.value).splitlines()
    assert lines[0].startswith("images that cannot be used") and lines[0].endswith("(8):")
    expected = {
        "P_00003_LEFT_CC": "patient P_00003 is in both official splits",
        "P_00003_RIGHT_CC": "patient P_00003 is in both official splits",
        "P_00010_LEFT_CC": "no such file, nor any in its case folder Mass-Training_P_00010_LEFT_CC",
        "P_00011_LEFT_CC": "cannot be read as DICOM",
        "P_00012_LEFT_CC": "the ROI mask in",
        "P_00013_LEFT_CC": "PixelSpacing is nan, not a positive number",
        "P_00014_LEFT_CC": "there is no ROI mask among",
        "P_00015_LEFT_CC": "pathology is 'UNKNOWN', not one of MALIGNANT, BENIGN",
    }
    for line, (name, reason) in zip(lines[1:], sorted(expected.items()), strict=True):
        assert line.startswith(f"  - {name}: ") and reason in line
    assert not (tmp_path / "raw").exists()
    ingest(tmp_path, tmp_path / "raw", "malignant", on_error="skip")
    assert [row["image_id"] for row in read_rows(tmp_path / "raw" / "skipped.csv", ["reason"])] == sorted(expected)
    assert [case.image_id for case in read_cases(tmp_path / "raw")] == ["P_00001_RIGHT_MLO"]


@pytest.mark.attack
@pytest.mark.parametrize("way", ["..", "absolute", "link", "jpeg"])
def test_no_path_leaves_the_data_folder(tmp_path, films, way):
    root = (as_jpeg if way == "jpeg" else as_in_tables)(tmp_path / "root", films[1:2])
    outside = write_dicom(tmp_path / "outside" / "a.dcm", films[1].pixels)
    table = cbis_files.rows(films[1])
    if way == "link":
        (root / "CBIS-DDSM" / "way").symlink_to(outside.parent)
    cells = {"..": "../outside/a.dcm", "absolute": str(outside), "link": "way/a.dcm", "jpeg": table[0]["image file path"]}
    table[0]["image file path"] = cells[way]
    write_table(root / ("csv" if way == "jpeg" else "") / "mass_case_description_train_set.csv", table)
    if way == "jpeg":
        text = (root / "csv" / "dicom_info.csv").read_text()
        (root / "csv" / "dicom_info.csv").write_text(text.replace("CBIS-DDSM/jpeg/", "../outside/", 1))
    (found,) = cbis_ddsm.cases(root, "all")
    assert isinstance(found, Rejected) and "does not lie in" in found.reason


def test_a_folder_without_tables_is_refused(tmp_path):
    with pytest.raises(PipelineError, match=r"holds neither mass_case_description_train_set\.csv nor .*point data\.root"):
        list(cbis_ddsm.cases(tmp_path))


@pytest.mark.skipif(not SAMPLE.is_dir(), reason="the DICOM sample of CBIS-DDSM is not at ../shared/data")
def test_the_real_sample(tmp_path):
    canonical = ingest(SAMPLE, tmp_path / "raw")
    stored = read_cases(tmp_path / "raw")
    assert (len(stored), sum(len(case.lesions) for case in stored)) == (12, 17)
    films = [_image(case) for case in stored]
    assert sum(one.swapped for film in films for one in film.abnormalities) == 4
    assert ingest(as_downloaded(tmp_path / "b", films), tmp_path / "raw_b") == canonical
    compare_jpeg(ingest(as_jpeg(tmp_path / "c", films), tmp_path / "raw_c"), canonical, tmp_path / "raw_c", tmp_path / "raw", error=3)


def _image(case) -> Image:
    """A case of the sample with the files and rows that it was read from."""
    with open(SAMPLE / "mass_case_description_train_set.csv", newline="") as file:
        table = [row for row in csv.DictReader(file) if "_".join(list(row.values())[i] for i in (0, 2, 3)) == case.image_id]
    abnormalities = []
    for row in table:
        cells = [row[f"{name} file path"].strip() for name in ("cropped image", "ROI mask")]
        crop, mask = (dicom.stored(SAMPLE / "CBIS-DDSM" / cell) for cell in cells)
        swapped = crop.size > mask.size
        words = {key: row[key] for key in ("mass shape", "mass margins", "pathology", "breast_density", "subtlety")}
        abnormalities.append(Abnormality(*((crop, mask) if swapped else (mask, crop)), swapped=swapped, row=words))
    return dataclasses.replace(Image(case.image_id, read_image(case.image), abnormalities))
