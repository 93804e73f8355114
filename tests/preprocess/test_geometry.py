import numpy as np
import pytest

from pipeline.params import Preprocess
from pipeline.preprocess import patches
from pipeline.preprocess.geometry import Geometry, resize


def breast_between(first: int, last: int, height: int = 400, width: int = 300) -> np.ndarray:
    mask = np.zeros((height, width), bool)
    mask[50:350, first : last + 1] = True
    return mask


def test_columns_are_cut_to_the_breast_and_a_margin():
    geometry = Geometry.of(breast_between(10, 189), False, None)
    assert (geometry.crop_x, geometry.crop_width) == (10, 184)  # 180 columns and 1 % of 400 px
    assert (geometry.height, geometry.width, geometry.scale) == (400, 184, 1.0)
    mirrored = Geometry.of(breast_between(110, 289), True, 200)
    assert (mirrored.crop_x, mirrored.crop_width, mirrored.width, mirrored.scale) == (10, 184, 92, 0.5)


def test_margin_ends_at_the_film_edge():
    geometry = Geometry.of(breast_between(200, 299), False, None)
    assert (geometry.crop_x, geometry.crop_width) == (200, 100)


@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize("height", [150, 267, 400, 613])
def test_prepared_points_lead_back_to_the_source_within_a_pixel(flipped, height):
    breast = breast_between(37, 251)
    geometry = Geometry.of(breast, flipped, height)
    for x, y, side in ((60, 70, 24), (200, 300, 30)):
        mark = np.zeros(breast.shape, np.float32)
        mark[y : y + side, x : x + side] = 1
        rows, columns = np.nonzero(geometry.apply_mask(mark > 0))
        centre = np.array([columns.mean() + 0.5, rows.mean() + 0.5])
        assert np.abs(geometry.to_source(centre) - (x + side / 2, y + side / 2)).max() < 1


def test_image_and_mask_go_the_same_way():
    image = np.zeros((400, 300), np.uint16)
    image[100:180, 100:200] = 60000
    geometry = Geometry.of(breast_between(37, 251), True, 200)
    prepared = geometry.apply(image)
    assert prepared.dtype == np.uint16 and prepared.shape == (200, geometry.width)
    assert np.array_equal(prepared > 30000, geometry.apply_mask(image > 0))


def test_resize_takes_the_mean_where_a_side_shrinks_and_keeps_the_type():
    image = np.array([[0, 100, 20, 40], [100, 200, 40, 60]], np.uint8)
    assert np.array_equal(resize(image, (1, 2)), [[100, 40]])
    assert np.array_equal(resize(image, (2, 2)), [[50, 30], [150, 50]])
    mixed = resize(image, (4, 2))
    assert mixed.dtype == np.uint8 and np.array_equal(mixed[[0, -1]], [[50, 30], [150, 50]])
    assert resize(image, (2, 4)) is image


def params(**changes) -> Preprocess:
    base = {
        "height": None,
        "patch_px": 32,
        "pad_mm": None,
        "pad_px": 5.0,
        "film_height_mm": 240.0,
        "min_lesion_px": 10,
        "targets": "malignant",
    }
    return Preprocess(**(base | changes))


def test_padding_in_mm_and_in_px_of_the_source():
    assert patches.padding(params(pad_mm=4.5, pad_px=None), 0.5, 0.25) == 9
    assert patches.padding(params(pad_px=100.0), 0.5, 0.25) == 25


def test_frame_is_padded_and_clipped_but_never_shifted():
    mask = np.zeros((100, 80), bool)
    mask[40:50, 30:45] = True
    assert patches.frame(mask, 6) == (24, 34, 27, 22)
    mask = np.zeros((100, 80), bool)
    mask[95:100, 2:6] = True
    assert patches.frame(mask, 6) == (0, 89, 12, 11)


def test_patch_is_the_frame_scaled_to_a_square():
    image = np.zeros((100, 80), np.uint8)
    mask = np.zeros((100, 80), bool)
    image[40:50, 30:40], mask[40:50, 30:40] = 200, True
    tissue, inside = patches.cut(image, mask, patches.frame(mask, 5), 40)  # 20 px to 40 px
    assert tissue.shape == inside.shape == (40, 40) and tissue.dtype == np.uint8
    expected = np.zeros((40, 40), bool)
    expected[10:30, 10:30] = True
    assert np.array_equal(inside, expected) and np.array_equal(tissue >= 100, expected)
