"""The phantom's measures on images whose answers are known."""

import numpy as np
import pytest

from benchmarks import measures
from pipeline.data.phantom.fields import power_law


def disc(radius, at=(64, 64), shape=(128, 128)):
    y, x = np.indices(shape)
    return np.hypot(y - at[0], x - at[1]) <= radius


def test_contrast_to_noise_of_a_disc_in_a_checkerboard():
    """Mass .8; ring of .4 and .6 in equal parts: mean .5, deviation .1: (.8 - .5) / .1 = 3."""
    image = np.where(np.indices((128, 128)).sum(0) % 2, 0.4, 0.6).astype(np.float32)
    mask = disc(10)
    image[mask] = 0.8
    assert measures.contrast_to_noise(image, mask, np.ones_like(mask)) == pytest.approx(3, abs=0.05)
    assert np.isnan(measures.contrast_to_noise(image, mask, mask))


@pytest.mark.parametrize("beta", [1.5, 2.5, 3.5])
def test_the_exponent_of_power_law_noise_is_found(beta):
    found = [measures.spectral_exponent(power_law(np.random.default_rng(i), (256, 256), beta), np.ones((256, 256), bool)) for i in range(4)]
    assert np.mean(found) == pytest.approx(beta, abs=0.25)
    assert np.isnan(measures.spectral_exponent(np.zeros((64, 64), np.float32), disc(20, (32, 32), (64, 64))))


def test_blobs_are_found_with_their_size():
    image = 0.3 + 0.4 * disc(12, (40, 50)).astype(np.float32) + 0.2 * disc(6, (95, 90))
    found = measures.log_blobs(image.astype(np.float32), np.ones(image.shape, bool), 8)
    for box, (y, x, radius) in zip(found.boxes[:2], [(40, 50, 12), (95, 90, 6)], strict=True):
        np.testing.assert_allclose(box, [x - radius, y - radius, x + radius + 1, y + radius + 1], atol=2.5)
    assert (np.diff(found.scores) <= 0).all()


def test_sensitivity_counts_lesions_once_and_false_positives_per_image():
    """Two images, three lesions. By falling score: hit, hit again, false, hit, false, false, hit."""
    lesions = [np.array([[0, 0, 10, 10], [50, 50, 60, 60]], float), np.array([[20, 20, 30, 30]], float)]
    away = [80, 80, 90, 90]
    first = measures.Blobs(np.array([[0, 0, 10, 10], [1, 0, 11, 10], away, [50, 50, 60, 60]], float), np.array([9, 8, 7, 6.0]))
    second = measures.Blobs(np.array([away, away, [20, 20, 30, 30]], float), np.array([5, 4, 3.0]))
    for fp, iou, expected in [(0, 0.5, 1 / 3), (0.5, 0.5, 2 / 3), (1, 0.5, 2 / 3), (1.5, 0.5, 1), (0.5, None, 2 / 3), (0, 0.9, 1 / 3)]:
        assert measures.sensitivity_at([first, second], lesions, fp, iou) == pytest.approx(expected)
    assert np.isnan(measures.sensitivity_at([first], [np.zeros((0, 4))], 1, 0.5))
