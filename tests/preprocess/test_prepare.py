import csv
import json
import shutil
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from pipeline import coco
from pipeline.data.canonical import read_cases, write
from pipeline.data.records import Case, Lesion
from pipeline.errors import PipelineError
from pipeline.io import read_image, write_png
from pipeline.params import Preprocess, Split
from pipeline.preprocess import patches
from pipeline.preprocess.lesions import n_targets
from pipeline.preprocess.prepare import prepare
from pipeline.preprocess.split import split_patients

PARAMS = Preprocess(height=200, patch_px=32, pad_mm=6.0, pad_px=None, film_height_mm=240.0, min_lesion_px=10, targets="malignant")
SPLIT = Split(scheme="holdout", test=0.3, val=0.3, folds=5, fold=0, fixed_val=False, train_fraction=1.0)


def square(top, left, side, shape=(400, 260)):
    mask = np.zeros(shape, bool)
    mask[top : top + side, left : left + side] = True
    return mask


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """Twelve patients. P1: recorded on the wrong side. P2: benign. P3: a speck beside its mass. P4: a speck alone. P5: 16 bit, spacing.
    P6: a benign mass and a calcification beside its mass."""
    from tests.preprocess.conftest import draw

    def cases():
        for k in range(12):
            flipped = k % 2 == 1
            image, _, _ = draw(flipped=flipped, seed=k, texture=20)
            left = 160 if flipped else 80
            masks = [square(240, left, 20)]
            if k == 3:
                masks = [square(240, left, 20) | square(300, left, 3)]
            if k == 4:
                masks = [square(300, left, 3)]
            lesions = [Lesion(mask=mask, shape="oval", margins="obscured", subtlety=3) for mask in masks]
            if k == 6:
                lesions.append(Lesion(mask=square(200, left, 12), pathology="benign"))
                lesions.append(Lesion(mask=square(300, left, 12), finding="calcification"))
            yield Case(
                image_id=f"P{k}_MLO",
                patient_id=f"P{k}",
                laterality="L" if flipped == (k == 1) else "R",
                view="MLO",
                pathology="benign" if k == 2 else "malignant",
                spacing_mm=0.3 if k == 5 else None,
                image=image.astype(np.uint16) * 257 if k == 5 else image,
                lesions=tuple(lesions),
                density=1 + k % 4,
                source="drawn",
                birads="5th edition",
            )

    root = tmp_path_factory.mktemp("data") / "raw"
    write(root, cases())
    return root


@pytest.fixture(scope="module")
def prepared(raw):
    out = raw.parent / "prepared"
    prepare(raw, out, PARAMS, SPLIT, seed=1, processes=1)
    return out


def records(prepared):
    """COCO image with its annotations and its part, by image_id."""
    found = {}
    for part in ("train", "val", "test"):
        dataset = coco.read(prepared / part / "annotations.json")
        lesions = coco.by_image(dataset)
        found |= {image["image_id"]: (image, lesions[image["id"]], part) for image in dataset["images"]}
    return found


def patch_rows(prepared):
    with open(prepared / "patches" / "patches.csv", newline="") as file:
        return {row["patch"]: row for row in csv.DictReader(file)}


def test_every_mammogram_faces_one_way_and_is_stored_beside_its_record(prepared):
    for image, _, part in records(prepared).values():
        pixels, regions = (
            read_image(prepared / part / image["file_name"]),
            read_image(prepared / part / "regions" / f"{image['image_id']}.png"),
        )
        assert pixels.shape == regions.shape == (image["height"], image["width"]) == (200, image["width"])
        assert set(np.unique(regions)) == {0, 1, 2}
        assert regions[20, 2] == 2 and regions[20, -1] == 0
        assert not pixels[:, -1].any() and pixels[100, :10].all()


def test_recorded_side_that_differs_from_the_pixels_is_flagged(prepared):
    summary = json.loads((prepared / "patches" / "preprocess.json").read_text())
    assert summary["laterality_mismatch"] == ["P1_MLO"]
    image = records(prepared)["P1_MLO"][0]
    assert image["laterality"] == "L" and image["flipped"] is True


def test_boxes_lead_back_to_the_source(prepared):
    for name, (image, lesions, _) in records(prepared).items():
        x, y, w, h = lesions[0]["bbox"]
        assert (w, h) == pytest.approx((10, 10), abs=1) and y == pytest.approx(120, abs=1)
        turned = 80 if not image["flipped"] else 260 - 160 - 20
        assert x / image["scale"] + image["crop_x"] == pytest.approx(turned, abs=2), name


def test_benign_lesions_are_crowd_without_patches(prepared):
    found, rows = records(prepared), patch_rows(prepared)
    assert [lesion["iscrowd"] for lesion in found["P2_MLO"][1]] == [1]
    assert {name for name, row in rows.items()} == {f"{name}_1" for name, (_, lesions, _) in found.items() if not lesions[0]["iscrowd"]}
    beside = [(one["iscrowd"], one["pathology"], one["finding"], one["area"]) for one in found["P6_MLO"][1]]
    assert beside == [(0, "malignant", "mass", 100), (1, "benign", "mass", 36), (1, "malignant", "calcification", 36)]
    assert all(rows[f"{name}_1"]["split"] == part for name, (_, _, part) in found.items() if f"{name}_1" in rows)


def test_words_of_lesion_and_case_reach_coco(prepared):
    image, lesions, _ = records(prepared)["P7_MLO"]
    assert (lesions[0]["shape"], lesions[0]["margins"], lesions[0]["subtlety"]) == ("oval", "obscured", 3)
    assert (image["density"], image["source"], image["birads"], image["official_split"]) == (4, "drawn", "5th edition", "")


@pytest.mark.parametrize(("targets", "found"), [("malignant", 11), ("benign", 2), ("all", 13)])
def test_what_counts_is_chosen(raw, targets, found):
    """P2 and the second mass of P6 are benign; a calcification never counts."""
    assert sum(n_targets(case, targets) for case in read_cases(raw)) == found


def test_balance_is_reported(prepared):
    summary = json.loads((prepared / "patches" / "preprocess.json").read_text())
    found = records(prepared)
    for part, balance in summary["balance"].items():
        mine = [image for image, lesions, where in found.values() if where == part and not all(one["iscrowd"] for one in lesions)]
        assert sum(balance["density"].values()) == len(mine) == balance["view"]["MLO"]
        assert balance["density"].get("2", 0) == sum(image["density"] == 2 for image in mine)
        assert balance["size_mm_quartiles"][1] == pytest.approx(12, abs=1)


def test_the_sheet_shows_every_image_worst_first(prepared):
    rows = json.loads((prepared / "qc" / "qc.json").read_text())
    assert sorted(row["image_id"] for row in rows) == sorted(f"P{k}_MLO" for k in range(12))
    flags = {row["image_id"]: row["flags"] for row in rows}
    assert flags["P4_MLO"] == ["left out: no lesion of it remains", "1 components of masks dropped"]
    assert flags["P1_MLO"] == ["faces the other side than recorded"] and flags["P8_MLO"] == []
    assert [len(row["flags"]) for row in rows] == sorted((len(row["flags"]) for row in rows), reverse=True)
    kinds = {row["image_id"]: [kind for kind, _ in row["outlines"]] for row in rows}
    assert kinds["P6_MLO"] == ["breast", "muscle", "lesion", "ignored", "ignored"]
    x, y = np.reshape(next(row for row in rows if row["image_id"] == "P7_MLO")["outlines"][2][1], (-1, 2)).T
    assert (x.min(), x.max()) == pytest.approx((160 * 0.32, 180 * 0.32), abs=0.5) and y.min() == pytest.approx(240 * 0.32, abs=0.5)


def test_specks_are_dropped_and_listed(prepared):
    summary = json.loads((prepared / "patches" / "preprocess.json").read_text())
    assert [(one["image_id"], one["lesion"], one["px"]) for one in summary["dropped_components"]] == [("P3_MLO", 1, 9), ("P4_MLO", 1, 9)]
    assert summary["images_left_out"] == ["P4_MLO"] and "P4_MLO" not in records(prepared)
    assert records(prepared)["P3_MLO"][1][0]["area"] == pytest.approx(100, abs=10)


def test_depth_and_spacing(prepared):
    found = records(prepared)
    image, _, part = found["P5_MLO"]
    assert read_image(prepared / part / image["file_name"]).dtype == np.uint16
    assert image["spacing_mm"] == pytest.approx(0.6) and image["spacing_assumed"] is False
    assert read_image(prepared / "patches" / "images" / "P5_MLO_1.png").dtype == np.uint16
    other = found["P6_MLO"][0]
    assert other["spacing_mm"] == pytest.approx(240 / 200) and other["spacing_assumed"] is True


def test_patches_are_padded_boxes(prepared):
    found, rows = records(prepared), patch_rows(prepared)
    for name, pad in (("P5_MLO", 10), ("P7_MLO", 5)):  # 6 mm at 0.6 and at 1.2 mm a px
        x, y, w, h = found[name][1][0]["bbox"]
        row = rows[f"{name}_1"]
        assert [int(row[key]) for key in "xywh"] == [x - pad, y - pad, w + 2 * pad, h + 2 * pad]
        mask = read_image(prepared / "patches" / "masks" / f"{name}_1.png")
        assert mask.shape == (32, 32) and set(np.unique(mask)) == {0, 255}
        assert (mask > 0).mean() == pytest.approx(w * h / ((w + 2 * pad) * (h + 2 * pad)), rel=0.15)


def test_a_lesion_at_the_films_edge_gets_a_clipped_frame_around_it_never_a_shifted_one():
    mask = square(380, 2, 20)  # on the last rows, 2 px from the left edge
    x, y, w, h = patches.frame(mask, 30)
    assert (x, y, x + w, y + h) == (0, 350, 52, 400)
    tissue, inside = patches.cut(np.where(mask, 200, 10).astype(np.uint8), mask, (x, y, w, h), 32)
    assert tissue.shape == (32, 32) and (tissue[inside] > 100).all() and inside[-1].any()
    assert inside.mean() == pytest.approx(400 / (52 * 50), rel=0.1)  # all of the mass is in the patch


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_processes_do_not_change_a_byte(raw, prepared, tmp_path):
    prepare(raw, tmp_path / "again", PARAMS, SPLIT, seed=1, processes=2)
    assert files(tmp_path / "again") == files(prepared)


def test_unusable_images_are_all_named_and_nothing_is_written(raw, tmp_path):
    broken = tmp_path / "raw"
    shutil.copytree(raw, broken)
    (broken / "images" / "P6_MLO.png").write_bytes(b"no png")
    write_png(broken / "images" / "P7_MLO.png", np.zeros((400, 260), np.uint8))
    write_png(broken / "masks" / "P8_MLO_1.png", np.full((10, 10), 255, np.uint8))
    with pytest.raises(PipelineError) as error:
        prepare(broken, tmp_path / "out", PARAMS, SPLIT, seed=1, processes=1)
    for fault in ("P6_MLO.png: cannot be decoded", "P7_MLO: no breast", "P8_MLO: mask 1 is (10, 10)"):
        assert fault in str(error.value)
    assert not list((tmp_path / "out").iterdir())


def disguised(image):
    """The same film mirrored, half as large, with less contrast, a label, and another depth."""
    small = cv2.resize(image[:, ::-1], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    small = (small * 0.8 + 10).astype(np.uint8)
    wall_right = small[:, -5:].mean() > 50
    wide = np.pad(small, ((0, 0), (30, 0) if wall_right else (0, 30)), constant_values=12)
    wide[5:15, slice(10, 25) if wall_right else slice(-25, -10)] = 255
    return wide.astype(np.uint16) * 257


def test_one_mammogram_under_two_names_is_refused_across_parts_and_listed_within(raw, tmp_path):
    cases = read_cases(raw)
    original = next(case for case in cases if case.image_id == "P7_MLO")
    names = [SimpleNamespace(image_id="", patient_id=f"Q{k}", official_split="", role="") for k in range(99)]
    parts = split_patients([*cases, *names], 1, SPLIT)
    train, val = (next(f"Q{k}" for k in range(99) if parts[f"Q{k}"] == part) for part in ("train", "val"))
    assert parts["P7"] == "val"

    def more(names):
        for case in cases:
            masks = tuple(Lesion(mask=read_image(one.mask) > 0) for one in case.lesions)
            yield Case(image_id=case.image_id, patient_id=case.patient_id, laterality=case.laterality, view="MLO", pathology=case.pathology,
                       image=read_image(case.image), lesions=masks)  # fmt: skip
        for name in names:
            yield Case(image_id=f"{name}_MLO", patient_id=name, laterality="L", view="MLO", pathology="normal", role="normals",
                       image=disguised(read_image(original.image)))  # fmt: skip

    write(tmp_path / "within", more([val]))
    summary = prepare(tmp_path / "within", tmp_path / "a", PARAMS, SPLIT, seed=1, processes=1)
    assert summary["same_mammogram"] == [["P7_MLO", f"{val}_MLO"]]
    images = {image["image_id"]: image for image in coco.read(tmp_path / "a/val/annotations.json")["images"]}
    assert images[f"{val}_MLO"]["role"] == "normals" and "role" not in images["P7_MLO"]
    write(tmp_path / "across", more([train]))
    with pytest.raises(PipelineError, match=rf"P7_MLO in val and {train}_MLO in train: correlation 0\.9"):
        prepare(tmp_path / "across", tmp_path / "b", PARAMS, SPLIT, seed=1, processes=1)
    assert not list((tmp_path / "b").iterdir())


def test_split_without_a_part_is_refused_before_any_work(raw, tmp_path):
    with pytest.raises(PipelineError, match="test holds no patient"):
        prepare(raw, tmp_path / "out", PARAMS, SPLIT.model_copy(update={"test": 0.0}), seed=1, processes=1)
    assert not (tmp_path / "out").exists()
