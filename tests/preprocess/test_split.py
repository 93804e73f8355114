from types import SimpleNamespace

import pytest

from pipeline.errors import PipelineError
from pipeline.params import Split
from pipeline.preprocess.split import check_parts, split_patients

MANY = [f"P{k:04d}" for k in range(2000)]


def cases(patients, official="", role=""):
    return [SimpleNamespace(image_id=f"{patient}_CC", patient_id=patient, official_split=official, role=role) for patient in patients]


def split(**changes) -> Split:
    base = {"scheme": "holdout", "test": 0.26, "val": 0.14, "folds": 5, "fold": 0, "fixed_val": False, "train_fraction": 1.0}
    return Split(**(base | changes))


def members(parts, part):
    return {patient for patient, its in parts.items() if its == part}


def test_shares_are_kept():
    parts = split_patients(cases(MANY), 3, split())
    assert len(members(parts, "test")) / 2000 == pytest.approx(0.26, abs=0.03)
    assert len(members(parts, "val")) / 2000 == pytest.approx(0.14, abs=0.03)
    assert len(parts) == 2000


@pytest.mark.parametrize("scheme", ["holdout", "kfold"])
def test_new_patients_and_order_move_nobody(scheme):
    few = split_patients(cases(reversed(MANY[:300])), 3, split(scheme=scheme))
    more = split_patients(cases(MANY), 3, split(scheme=scheme))
    assert few == {patient: more[patient] for patient in MANY[:300]}


def test_another_seed_is_another_split():
    assert split_patients(cases(MANY), 3, split()) != split_patients(cases(MANY), 4, split())


def test_every_patient_is_tested_in_exactly_one_fold():
    folds = [split_patients(cases(MANY), 3, split(scheme="kfold", fold=k)) for k in range(5)]
    assert sorted(patient for fold in folds for patient in members(fold, "test")) == MANY
    for fold in folds:
        assert len(members(fold, "val")) / 2000 == pytest.approx(0.14, abs=0.03)


def test_fixed_val_patients_are_the_same_in_all_folds_and_never_tested():
    folds = [split_patients(cases(MANY), 3, split(scheme="kfold", fold=k, fixed_val=True)) for k in range(5)]
    development = members(folds[0], "val")
    assert len(development) / 2000 == pytest.approx(0.14, abs=0.03)
    assert all(members(fold, "val") == development for fold in folds)
    assert sorted(patient for fold in folds for patient in members(fold, "test")) == sorted(set(MANY) - development)


def test_training_fractions_are_nested_and_leave_the_rest_alone():
    whole, half, tenth = (split_patients(cases(MANY), 3, split(train_fraction=f)) for f in (1.0, 0.5, 0.1))
    assert members(tenth, "train") < members(half, "train") < members(whole, "train")
    assert len(members(tenth, "train")) == round(0.1 * len(members(whole, "train")))
    for part in ("val", "test"):
        assert members(whole, part) == members(half, part) == members(tenth, part)


def test_a_sound_split_passes():
    check_parts({"train": ["a", "b", "b"], "val": ["c"], "test": ["d"]}, {"train": 2, "test": 1})


def test_unsound_splits_are_refused_with_all_their_faults():
    with pytest.raises(PipelineError) as error:
        check_parts({"train": ["a", "b"], "val": [], "test": ["b"]}, {"train": 0, "test": 3})
    for fault in (
        "val holds no patient",
        "train holds no lesion that counts (preprocess.targets: malignant)",
        "patient b is in both train and test",
    ):
        assert fault in str(error.value)
    assert "test holds" not in str(error.value)


def test_no_val_part_is_fine_where_none_is_wanted():
    check_parts({"train": ["a"], "test": ["b"]}, {"train": 1, "test": 1}, wanted=("train", "test"))


def test_official_parts_are_kept_and_val_is_taken_from_train():
    source = [*cases(MANY[:1500], "train"), *cases(MANY[1500:], "test"), *cases([f"N{k}" for k in range(400)], role="normals")]
    parts = split_patients(source, 3, split(scheme="official", val=0.2))
    assert members(parts, "test") & {*MANY} == {*MANY[1500:]}
    assert len(members(parts, "val") & {*MANY}) / 1500 == pytest.approx(0.2, abs=0.03)
    assert len([p for p in members(parts, "test") if p[0] == "N"]) / 400 == pytest.approx(0.26, abs=0.07)  # no official part: by holdout


def test_patients_without_an_official_part_or_with_two_are_all_named():
    source = [*cases(["a"], "train"), *cases(["b"]), *cases(["c"], "train"), *cases(["c"], "test")]
    with pytest.raises(PipelineError, match=r"\(2\):\n.*patient b has images in no part\n.*patient c has images in test and train"):
        split_patients(source, 3, split(scheme="official"))
