"""Statistics of masses whose values are known, and copies that are known to be copies."""

import numpy as np
import pytest
from scipy import ndimage

from pipeline.evaluation.similarity import Lpips
from pipeline.realism import copies, lesions
from pipeline.realism.sets import Set
from tests import imagenet

SIDE = 64


def disc(radius, x=32.0, y=32.0):
    rows, columns = np.mgrid[:SIDE, :SIDE]
    return (columns - x) ** 2 + (rows - y) ** 2 <= radius**2


def patches(images, masks):
    names = [f"n{item}" for item in range(len(images))]
    return Set(np.stack(images).astype(np.float32), np.stack(masks), np.full(len(images), 100.0), names, names)


def test_statistics_of_a_disc_by_hand():
    mask = disc(12)
    found = {key: value[0] for key, value in lesions.statistics(patches([np.where(mask, 0.7, 0.4)], [mask])).items()}
    assert found["area_mm2"] == pytest.approx(100 * np.pi * 12**2 / SIDE**2, rel=0.03)
    assert found["contrast"] == pytest.approx(0.3, rel=1e-5)
    assert 0.85 < found["circularity"] <= 1.0 and found["solidity"] > 0.93
    assert found["glcm_contrast"] == 0 and found["glcm_homogeneity"] == pytest.approx(1)


def test_blurred_edges_are_less_sharp_and_notched_outlines_less_solid():
    mask = disc(12)
    sharp = np.where(mask, 0.7, 0.4)
    found = lesions.statistics(patches([sharp, ndimage.gaussian_filter(sharp, 3), sharp], [mask, mask, mask & ~disc(7, 44)]))
    assert found["sharpness"][0] > 2 * found["sharpness"][1] > 0
    assert found["solidity"][2] < 0.9 and found["circularity"][2] < found["circularity"][0]


def test_texture_of_noise_against_a_slope():
    """Noise has unlike neighbours, a slope like ones; what lies outside of the mask does not count."""
    mask, rng = disc(15), np.random.default_rng(0)
    slope = np.linspace(0, 1, SIDE)[None].repeat(SIDE, 0)
    noise = rng.random((SIDE, SIDE))
    found = lesions.statistics(patches([noise, slope, np.where(mask, slope, noise)], [mask] * 3))
    assert found["glcm_contrast"][0] > 10 * found["glcm_contrast"][1] and found["glcm_correlation"][1] > 0.95
    assert found["glcm_contrast"][1] == found["glcm_contrast"][2]


def test_comparison_of_equal_and_of_distinct_sets():
    masks = [disc(r) for r in range(6, 14)]
    real = lesions.statistics(patches([np.where(m, 0.7, 0.4) for m in masks], masks))
    brighter = lesions.statistics(patches([np.where(m, 0.9, 0.4) for m in masks], masks))
    assert {row["ks"] for row in lesions.compare(real, real).values()} == {0.0}
    rows = lesions.compare(real, brighter)
    assert rows["contrast"]["ks"] == 1.0 and rows["area_mm2"]["ks"] == 0.0 and rows["area_mm2"]["n"] == [8, 8]
    with pytest.raises(ValueError, match="without a mass"):
        lesions.statistics(patches([np.zeros((SIDE, SIDE))], [np.zeros((SIDE, SIDE), bool)]))


def test_turned_copies_in_other_tissue_are_found_and_new_masses_are_not(tmp_path_factory):
    lpips, rng = Lpips(imagenet.folder(tmp_path_factory)), np.random.default_rng(3)

    def mass():
        lumps = ndimage.gaussian_filter(rng.normal(size=(SIDE, SIDE)), 4)
        mask = ndimage.gaussian_filter(rng.normal(size=(SIDE, SIDE)), 8) * disc(20) > 0.002
        return 0.6 + 3 * lumps, mask | disc(9)

    def set_of(pairs):
        tissue = [0.4 + 0.05 * ndimage.gaussian_filter(rng.normal(size=(SIDE, SIDE)), 1) for _ in pairs]
        return patches([np.where(m, i, t) for (i, m), t in zip(pairs, tissue, strict=True)], [m for _, m in pairs])

    known = [mass() for _ in range(12)]
    training, held = set_of(known), set_of([mass() for _ in range(14)])
    bank = copies.alone(training)
    turned = set_of([(np.rot90(i, 1 + k % 3), np.rot90(m, 1 + k % 3)) for k, (i, m) in enumerate(known)])
    where, distance = copies.nearest(lpips, turned, bank)
    floor = copies.nearest(lpips, held, bank)[1]
    assert where.tolist() == list(range(12))
    found, new = copies.share(distance, floor), copies.share(copies.nearest(lpips, set_of([mass() for _ in range(14)]), bank)[1], floor)
    assert found["share"] == 1.0 and sorted(found["flagged"]) == list(range(12))
    assert new["share"] <= 0.25
