"""Copies planted in a source under another patient, who falls into another part: preprocess refuses each of them by name."""

import cv2
import numpy as np
import pytest

from pipeline.data import phantom
from pipeline.data.canonical import write
from pipeline.data.records import Case, Lesion
from pipeline.errors import PipelineError
from pipeline.params import Phantom, load
from pipeline.preprocess import crops
from pipeline.preprocess.prepare import prepare
from pipeline.preprocess.split import split_patients

PHANTOM = Phantom(n_patients=5, n_normal_patients=0, height=256, width=160)
PARAMS = load().preprocess.model_copy(update={"height": 256, "patch_px": 32, "min_lesion_px": 1})
SPLIT = load().split.model_copy(update={"scheme": "holdout", "test": 0.4, "val": 0.0})


def renamed(image):
    return image


def mirrored(image):
    return image[:, ::-1]


def cropped(image):
    """A tenth off at the top, at the bottom and at the side away from the chest wall."""
    height, width = image.shape
    wall_left = image[:, : width // 4].mean() > image[:, -width // 4 :].mean()
    piece = image[height // 10 : -height // 10]
    return piece[:, : -width // 10] if wall_left else piece[:, width // 10 :]


def half(image):
    """A half in both directions, enlarged twice."""
    height, width = image.shape
    wall_left = image[:, : width // 4].mean() > image[:, -width // 4 :].mean()
    rows = slice(height // 4, -height // 4)
    return cv2.resize(image[rows, : width // 2] if wall_left else image[rows, width // 2 :], None, fx=2, fy=2)


def turned_and_dimmed(image):
    height, width = image.shape
    turned = cv2.warpAffine(image, cv2.getRotationMatrix2D((width / 2, height / 2), 3, 1), (width, height))
    return (turned.astype(np.float32) * 0.7).astype(image.dtype)


@pytest.fixture(scope="module")
def films():
    return [phantom.render(PHANTOM, 5, f"M{k:04d}", "MLO") for k in range(1, 6)]


def planted(films, disguise):
    """The films, and a disguised copy of one of them under a patient of another part, as records of a source."""
    names = [f"M{k:04d}" for k in range(1, 6)]
    parts = split_patients([_name(name) for name in [*names, *(f"X{k}" for k in range(40))]], 1, SPLIT)
    source = names[0]
    other = next(f"X{k}" for k in range(40) if parts[f"X{k}"] != parts[source])
    for name, film in zip(names, films, strict=True):
        lesions = tuple(Lesion(mask=mask) for mask in film.masks)
        yield Case(
            image_id=f"{name}_MLO", patient_id=name, laterality="L", view="MLO", pathology="malignant", image=film.image, lesions=lesions
        )
    if disguise is not None:
        image = np.ascontiguousarray(disguise(films[0].image))
        yield Case(image_id=f"{other}_MLO", patient_id=other, laterality="R", view="MLO", pathology="normal", image=image)


def _name(patient):
    from types import SimpleNamespace

    return SimpleNamespace(image_id="", patient_id=patient, official_split="", role="")


@pytest.mark.leak
@pytest.mark.parametrize("disguise", [renamed, mirrored, cropped, half, turned_and_dimmed], ids=lambda one: one.__name__)
def test_a_copy_under_another_patient_is_refused(films, disguise, tmp_path):
    write(tmp_path / "raw", planted(films, disguise))
    with pytest.raises(PipelineError, match=r"are the same one(.|\n)*M0001_MLO in (train|test) and X\d+_MLO in (train|test)"):
        prepare(tmp_path / "raw", tmp_path / "out", PARAMS, SPLIT, seed=1, processes=1)
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.leak
def test_a_patient_whose_breasts_are_in_different_parts_is_refused(films, tmp_path):
    """The source's own division puts the left breast of the first patient into train, the right one into test."""
    sides = [("M0001", "L", "train"), ("M0001", "R", "test"), ("M0002", "L", "train"), ("M0003", "R", "test")]

    def cases():
        for (patient, laterality, part), film in zip(sides, films, strict=False):
            lesions = tuple(Lesion(mask=mask) for mask in film.masks)
            yield Case(
                image_id=f"{patient}_{laterality}", patient_id=patient, laterality=laterality, view="MLO", pathology="malignant",
                image=film.image, lesions=lesions, official_split=part,
            )  # fmt: skip

    write(tmp_path / "raw", cases())
    official = SPLIT.model_copy(update={"scheme": "official"})
    with pytest.raises(PipelineError, match=r"\(1\):\n.*patient M0001 has images in test and train"):
        prepare(tmp_path / "raw", tmp_path / "out", PARAMS, official, seed=1, processes=1)


def test_other_patients_are_not_taken_for_copies(films, tmp_path):
    write(tmp_path / "raw", planted(films, None))
    summary = prepare(tmp_path / "raw", tmp_path / "out", PARAMS, SPLIT, seed=1, processes=1)
    assert summary["same_mammogram"] == []
    drawn = [crops.features(film.image) for film in films]
    names = [str(k) for k in range(len(drawn))]
    assert crops.shared(drawn, names) == [] and crops.shared([drawn[0], drawn[0]], ["a", "a"]) == []
    assert crops.shared([drawn[0], drawn[0]], ["a", "b"])[0].points > 40
