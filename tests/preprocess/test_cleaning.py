import numpy as np
import pytest

from pipeline.preprocess.breast import chest_wall_right
from pipeline.preprocess.cleaning import clean


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


@pytest.mark.parametrize("flipped", [False, True])
def test_breast_and_muscle_are_found_on_either_side(drawn, flipped):
    image, breast, muscle = drawn(flipped=flipped)
    cleaned = clean(image, "MLO")
    assert dice(cleaned.breast, breast) > 0.98
    assert dice(cleaned.pectoral, muscle) > 0.95
    assert chest_wall_right(cleaned.breast) == flipped
    assert not (cleaned.pectoral & ~cleaned.breast).any()


def test_pixels_of_the_breast_stay_and_all_else_is_zero(drawn):
    image, _, _ = drawn()
    cleaned = clean(image)
    assert np.array_equal(cleaned.image[cleaned.breast], image[cleaned.breast])
    assert not cleaned.image[~cleaned.breast].any()


def test_label_tape_and_white_border_are_removed(drawn):
    image, breast, _ = drawn()
    dirty = image.copy()
    dirty[20:60, 200:245] = 255  # label
    dirty[300:390, 235:241] = 90  # tape
    dirty[:, :5] = dirty[-6:] = 255  # film borders, one along the chest wall
    cleaned = clean(dirty)
    inner = np.s_[:-6, 5:]
    assert dice(cleaned.breast[inner], breast[inner]) > 0.98
    assert not cleaned.image[:, :5].any() and not cleaned.image[-6:].any()
    assert not cleaned.image[20:60, 200:245].any() and not cleaned.image[300:390, 235:241].any()


def test_grey_border_at_the_top_is_not_breast(drawn):
    image, breast, _ = drawn()
    image[:10] = 120
    cleaned = clean(image)
    assert not cleaned.breast[:10].any()
    assert dice(cleaned.breast[10:], breast[10:]) > 0.98


def test_dark_notch_at_the_chest_wall_is_breast(drawn):
    image, breast, _ = drawn()
    image[230:240, :80] = 8
    assert dice(clean(image).breast, breast) > 0.98


def test_both_depths_give_the_same_masks(drawn):
    image, _, _ = drawn(height=700, width=400)
    eight, sixteen = clean(image, "MLO"), clean(image.astype(np.uint16) * 257, "MLO")
    assert np.array_equal(eight.breast, sixteen.breast) and np.array_equal(eight.pectoral, sixteen.pectoral)
    assert sixteen.image.dtype == np.uint16 and np.array_equal(sixteen.image, eight.image.astype(np.uint16) * 257)


def test_muscle_is_looked_for_in_mlo_only_and_not_invented(drawn):
    image, breast, _ = drawn()
    assert clean(image, "CC").pectoral is None
    plain = np.where(breast, 118, 8).astype(np.uint8)
    assert clean(plain, "MLO").pectoral is None


def test_nothing_on_the_film_is_refused():
    with pytest.raises(ValueError, match="no breast"):
        clean(np.zeros((100, 60), np.uint8))
    with pytest.raises(ValueError, match="no breast"):
        clean(np.full((100, 60), 9, np.uint16))
