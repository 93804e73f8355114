import numpy as np
import pytest

from pipeline.preprocess.trilabel import margin, tri_label


def square(size: int, top: int, left: int, side: int) -> np.ndarray:
    mask = np.zeros((size, size), bool)
    mask[top : top + side, left : left + side] = True
    return mask


def test_square_of_16_grows_to_20_at_scale_1_25():
    expected = square(32, 6, 6, 20) & ~square(32, 8, 8, 16)
    assert np.array_equal(margin(square(32, 8, 8, 16), 1.25), expected)


def test_frame_of_256_becomes_296():
    ring = margin(square(300, 22, 22, 256))
    assert ring.sum() == 296**2 - 256**2
    assert np.array_equal(np.flatnonzero(ring.any(0)), np.arange(2, 298))


def test_enlarges_about_the_mask_not_the_patch():
    ring = margin(square(20, 2, 10, 2), 2)
    assert np.array_equal(ring, square(20, 1, 9, 4) & ~square(20, 2, 10, 2))


def test_parts_outside_of_the_patch_are_cut_off():
    assert np.array_equal(margin(square(8, 0, 0, 4), 2), square(8, 0, 0, 6) & ~square(8, 0, 0, 4))
    assert not margin(np.ones((8, 8), bool), 2).any()


def test_odd_mask_of_one_pixel():
    assert np.array_equal(margin(square(5, 2, 2, 1), 3), square(5, 1, 1, 3) & ~square(5, 2, 2, 1))


def test_hole_of_a_mask_is_margin_where_the_enlarged_mask_covers_it():
    mask = square(16, 4, 4, 8) & ~square(16, 6, 6, 4)
    assert np.array_equal(margin(mask, 1.5), (square(16, 2, 2, 12) & ~square(16, 5, 5, 6)) & ~mask)


def test_batch_equals_one_by_one():
    masks = np.stack([square(16, 1, 2, 5), square(16, 6, 8, 7), square(16, 0, 0, 1)])
    assert np.array_equal(margin(masks, 1.4), np.stack([margin(mask, 1.4) for mask in masks]))


def test_margin_refuses_an_empty_mask_and_a_small_scale():
    masks = np.stack([square(8, 2, 2, 3), np.zeros((8, 8), bool)])
    with pytest.raises(ValueError, match="mask 1 of 2 is empty"):
        margin(masks)
    for scale in (1, 0.5):
        with pytest.raises(ValueError, match="above 1"):
            margin(masks[0], scale)


def test_tri_label_by_hand():
    tissue, noise, mask = np.full((4, 4), 0.25), np.full((4, 4), 0.75), square(4, 1, 1, 2)
    label = tri_label(tissue, mask, noise, margin_scale=2)
    assert label.shape == (3, 4, 4) and label.dtype == np.float32
    assert np.array_equal(label[0], [[0.25] * 4, [0.25, 0.75, 0.75, 0.25], [0.25, 0.75, 0.75, 0.25], [0.25] * 4])
    assert np.array_equal(label[1], mask)
    assert np.array_equal(label[2], ~mask)


def test_two_channels_are_the_first_two_of_a_batch():
    rng = np.random.default_rng(0)
    tissue, noise = rng.random((2, 3, 8, 8), np.float32)
    masks = np.stack([square(8, k, k, 4) for k in range(3)])
    three, two = tri_label(tissue, masks, noise), tri_label(tissue, masks, noise, "two")
    assert three.shape == (3, 3, 8, 8) and two.shape == (3, 2, 8, 8)
    assert np.array_equal(two, three[:, :2])
    assert np.array_equal(three[:, 0][masks], noise[masks]) and np.array_equal(three[:, 0][~masks], tissue[~masks])


def test_tri_label_refuses_other_labels_and_shapes():
    tissue, mask = np.zeros((4, 4)), square(4, 1, 1, 2)
    with pytest.raises(ValueError, match="tri or two"):
        tri_label(tissue, mask, tissue, "one")
    with pytest.raises(ValueError, match="shapes differ"):
        tri_label(tissue, mask, np.zeros((5, 5)))


def test_what_the_noise_replaces():
    tissue, noise, mask = np.full((6, 6), 0.25), np.full((6, 6), 0.75), square(6, 2, 2, 2)
    wide = tri_label(tissue, mask, noise, margin_scale=2, noise_in="mask+margin")
    assert np.array_equal(wide[0] == 0.75, square(6, 1, 1, 4))
    assert np.array_equal(wide[1:], tri_label(tissue, mask, noise, margin_scale=2)[1:])
    assert np.array_equal(tri_label(tissue, mask, noise, "two", noise_in="none")[0], np.where(mask, 0.5, 0.25))
    with pytest.raises(ValueError, match="would show it"):
        tri_label(tissue, mask, noise, "two", noise_in="mask+margin")
