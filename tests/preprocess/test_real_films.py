import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.cleaning import tissue_dice
from pipeline.io import read_image
from pipeline.preprocess import duplicates
from pipeline.preprocess.breast import chest_wall_right
from pipeline.preprocess.cleaning import clean
from pipeline.preprocess.geometry import Geometry

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
NORMALS, CBIS = DATA / "normals", DATA / "cbis-ddsm"


@pytest.mark.skipif(not (NORMALS / "tissue").is_dir(), reason=f"{NORMALS}/tissue is absent: no films with tissue truth")
def test_breast_and_muscle_of_films_with_tissue_truth():
    breast, muscle = np.array([row[1:] for row in tissue_dice(NORMALS)]).T
    assert len(breast) == 33
    assert breast.mean() >= 0.97 and breast.min() >= 0.90
    assert muscle.mean() >= 0.85


def print_of(image):
    cleaned = clean(image)
    return duplicates.print_of(Geometry.of(cleaned.breast, chest_wall_right(cleaned.breast), 400).apply(cleaned.image))


@pytest.mark.slow
@pytest.mark.skipif(not CBIS.is_dir(), reason=f"{CBIS} is absent: no real films")
def test_no_two_of_587_films_are_one_and_a_copy_in_disguise_is_found():
    with open(CBIS / "cases.csv", newline="", encoding="utf-8") as file:
        films = [CBIS / row["image"] for row in csv.DictReader(file)]
    prints = [print_of(read_image(film)) for film in films]
    assert len(prints) == 587 and duplicates.pairs(prints) == []
    copies = []
    for film in films[::60]:
        small = cv2.resize(read_image(film)[:, ::-1], None, fx=0.7, fy=0.7, interpolation=cv2.INTER_AREA)
        jpeg = cv2.imencode(".jpg", np.rint(0.8 * small + 12).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 60])[1]
        copies.append(print_of(cv2.imdecode(jpeg, cv2.IMREAD_GRAYSCALE)))
    found = {(pair.first, pair.second) for pair in duplicates.pairs([*prints, *copies])}
    expected = {(60 * k, 587 + k) for k in range(len(copies))}
    assert found <= expected and len(found) >= 9  # one of ten may be cleaned another way
