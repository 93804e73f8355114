"""Real, pooled and in-memory patches are cut alike, at the scale of their mammograms."""

import numpy as np

from pipeline.realism import sets
from pipeline.realism.measure import halves
from pipeline.synthesis import inserting
from pipeline.synthesis.pool import write
from tests.synthesis.conftest import SIDE, prepared, sources  # noqa: F401 (fixtures)
from tests.synthesis.test_pools import Inverter


def test_real_patches_lie_about_their_masses(prepared):  # noqa: F811
    found = sets.real(prepared, ["train"], SIDE)
    assert found.names == [f"mass{k}_1" for k in range(4)] and found.patients == ["p0", "p0", "p1", "p1"]
    assert all(image[mask].mean() > 0.85 > image[~mask].mean() + 0.2 for image, mask in zip(found.images, found.masks, strict=True))
    # A disc of radius 5 px at 2.5 mm per px, drawn on whole px, however the patch is scaled.
    assert np.allclose(found.masks.mean((1, 2)) * found.mm2, np.pi * 25 * 2.5**2, rtol=0.15)


def test_pools_on_disk_and_in_memory_are_the_same_set(sources, tmp_path):  # noqa: F811
    method = inserting.gan(sources, sources.placer("normals", "paper", "breast"), Inverter(), inserting.real_masks(sources), "feather")
    write("gan", method, 20, 3, tmp_path / "gan")
    stored, made = sets.pool(tmp_path / "gan", 18, SIDE), sets.made(method, 18, SIDE, "gan")
    assert np.array_equal(stored.images, made.images) and np.array_equal(stored.masks, made.masks)
    assert (stored.patients, stored.names) == (made.patients, made.names) and np.allclose(stored.mm2, made.mm2)
    assert all(image[mask].mean() > 0.85 for image, mask in zip(made.images, made.masks, strict=True))


def test_untouched_places_are_those_of_the_pool(sources):  # noqa: F811
    placer = sources.placer("normals", "paper", "breast")
    sham = sets.made(inserting.gan(sources, placer, Inverter(), inserting.real_masks(sources), "feather", labelled=False), 5, SIDE, "sham")
    plain = sets.made(inserting.hosts(placer), 5, SIDE, "plain")
    assert not sham.masks.any() and not plain.masks.any() and sham.patients == plain.patients
    same = np.isclose(sham.images, plain.images, atol=1e-6).mean((1, 2))
    assert (same > 0.2).all() and (same < 0.95).all()  # the rim of the window is the same film


def test_halves_keep_patients_whole():
    patients = [f"p{item // 3}" for item in range(60)]
    first = halves(patients, 0, 0)
    assert first.sum() == 30 and all(len(set(first[start : start + 3])) == 1 for start in range(0, 60, 3))
    assert not np.array_equal(first, halves(patients, 0, 1))
