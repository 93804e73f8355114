import numpy as np
import pytest

from pipeline import coco
from pipeline.errors import PipelineError
from pipeline.io import write_png
from pipeline.synthesis import laws
from pipeline.synthesis.placement import Place, Placer, ellipse, find_hosts, fit_mask, fits, to_frame
from tests.synthesis.conftest import disc


def test_paper_position_law_fills_its_box_and_no_more():
    rng = np.random.default_rng(0)
    drawn = np.array([laws.POSITIONS["paper"](np.ones((80, 50), bool), rng) for _ in range(4000)])
    assert drawn[:, 0].min() >= 5 and drawn[:, 0].max() <= 25 and abs(drawn[:, 0].mean() - 15) < 0.3
    assert drawn[:, 1].min() >= 20 and drawn[:, 1].max() <= 60 and abs(drawn[:, 1].mean() - 40) < 0.6


def test_size_laws_reproduce_mean_and_correlation():
    rng = np.random.default_rng(0)
    base = rng.lognormal(3, 0.3, 500)
    sizes = np.stack([base * rng.lognormal(0, 0.1, 500), base * rng.lognormal(0, 0.1, 500)], 1)
    law = {key: laws.fit(sizes, sizes / 2, np.full(500, 0.5), key) for key in laws.SIZES}
    drawn = {key: np.array([law[key].draw(rng) for _ in range(3000)]) for key in law}
    for key in drawn:
        assert np.allclose(drawn[key].mean(0), sizes.mean(0) / 2, rtol=0.05)
    correlation = {key: np.corrcoef(drawn[key].T)[0, 1] for key in drawn}
    assert abs(correlation["paper"]) < 0.1 and correlation["lognormal"] > 0.8 and correlation["empirical"] > 0.85
    assert np.allclose(law["paper"].inner, 0.5)


def test_one_patch_is_too_few_for_a_law():
    with pytest.raises(PipelineError, match="1 training patches"):
        laws.fit(np.ones((1, 2)), np.ones((1, 2)), np.ones(1), "paper")


def test_frame_is_clipped_at_the_edge_not_shifted():
    place = Place(0, -3, 90, 10, 10)
    assert place.clip((96, 60)) == (slice(90, 96), slice(0, 7))
    assert place.inside((96, 60)) == (slice(0, 6), slice(3, 10))
    assert place.centre == (2.0, 95.0)


def test_mask_fits_only_inside_image_and_breast():
    place, allowed = Place(0, 10, 10, 10, 10), np.zeros((40, 40), bool)
    allowed[10:20, 10:20] = True
    assert fits(np.ones((10, 10), bool), place, allowed)
    assert not fits(np.ones((10, 10), bool), Place(0, 11, 10, 10, 10), allowed)
    assert not fits(np.ones((10, 10), bool), Place(0, -1, 10, 10, 10), np.ones((40, 40), bool))


def test_mask_that_never_fits_is_shrunk_until_it_does():
    place, allowed = Place(0, 5, 5, 20, 20), disc(15, 15, 6, (40, 40))
    mask = fit_mask(lambda attempt: np.ones((32, 32), bool), place, np.array([0.5, 0.5]), allowed)
    assert fits(mask, place, allowed) and mask.sum() > 30


def test_next_mask_is_drawn_where_one_does_not_fit():
    tried = []

    def draw(attempt):
        tried.append(attempt)
        return np.ones((32, 32), bool) if attempt < 3 else disc(16, 16, 4, (32, 32))

    place, allowed = Place(0, 5, 5, 20, 20), disc(15, 15, 6, (40, 40))
    mask = fit_mask(draw, place, np.array([0.5, 0.5]), allowed)
    assert tried == [0, 1, 2, 3] and 10 < mask.sum() < 30


def test_mask_keeps_its_shape_when_scaled_to_the_frame():
    mask = np.zeros((32, 32), bool)
    mask[8:24, 4:28] = True
    scaled = to_frame(mask, Place(0, 0, 0, 16, 64))
    assert scaled.shape == (64, 16) and scaled[16:48, 2:14].all() and scaled.sum() == 32 * 12


def test_ellipse_area():
    area = ellipse(Place(0, 0, 0, 100, 60), np.array([0.5, 0.8])).sum()
    assert abs(area - np.pi * 25 * 24) < 30


def test_hosts_by_kind(prepared):
    normals = [host.record["image_id"] for host in find_hosts(prepared / "train", "normals")]
    ill = [host.record["image_id"] for host in find_hosts(prepared / "train", "lesion_free")]
    assert normals == ["normal4", "normal5", "normal6"] and ill == ["mass0", "mass1", "mass2", "mass3"]


def test_contralateral_hosts_are_the_healthy_other_breast_in_the_same_view(prepared):
    """mass0 (p0, L CC); its other breast in CC counts, in MLO not, nor one of a healthy patient, nor one with a mass of its own."""
    path = prepared / "train/annotations.json"
    dataset = coco.read(path)
    images = {image["image_id"]: image for image in dataset["images"]}
    with pytest.raises(PipelineError, match=r"synth.hosts is contralateral, but .* has no such mammogram; use normals, lesion_free"):
        find_hosts(prepared / "train", "contralateral")
    images["normal4"] |= {"patient_id": "p0", "laterality": "R"}
    images["normal5"] |= {"patient_id": "p0", "laterality": "R", "view": "MLO"}
    images["normal6"] |= {"patient_id": "p9", "laterality": "R"}
    images["mass3"] |= {"laterality": "R"}
    coco.write(path, dataset)
    assert [host.record["image_id"] for host in find_hosts(prepared / "train", "contralateral")] == ["normal4"]


def test_places_lie_in_the_breast_and_use_every_host_once(sources):
    placer = sources.placer("normals", "paper", "breast")
    places = [placer(i) for i in range(6)]
    assert sorted(p.host for p in places[:3]) == sorted(p.host for p in places[3:]) == [0, 1, 2]
    for place in places:
        assert fits(ellipse(place, placer.sizes.inner), place, placer.hosts[place.host].allowed())


def test_lesion_free_patches_keep_clear_of_the_real_lesion(sources):
    placer = sources.placer("lesion_free", "empirical", "breast")
    for i in range(12):
        place = placer(i)
        host = placer.hosts[place.host]
        rows, columns = place.clip((96, 60))
        window = np.zeros((96, 60), bool)
        window[rows, columns] = True
        lesion = disc(15, 30 + 4 * int(host.record["image_id"][-1]), 5)
        far = np.argwhere(window)[:, None] - np.argwhere(lesion)[None]
        assert np.sqrt((far**2).sum(-1)).min() > 96 * 20 / 400 - 0.5


def test_law_of_tissue_looks_for_the_surroundings_of_a_training_mass(sources):
    """Bright film above, dark below: masses that lie in either are put there again."""
    host = find_hosts(sources.train, "normals")[0]
    image = np.full((96, 60), 13107, np.uint16)
    image[:48] = 52428
    write_png(host.folder / host.record["file_name"], image)

    def centres(grey):
        law = laws.SizeLaw(np.array([[25.0, 25.0], [30.0, 25.0]]), np.array([0.5, 0.5]), "empirical", np.array([[grey, 0.0]]))
        places = [Placer(0, [host], law, "tissue")(item) for item in range(5)]
        assert all(fits(ellipse(place, law.inner), place, host.allowed()) for place in places)
        return [place.centre[1] for place in places]

    assert max(centres(0.8)) < 48 < min(centres(0.2))
    with pytest.raises(PipelineError, match="has no `around`"):
        Placer(0, [host], laws.SizeLaw(np.ones((2, 2)), np.ones(2), "empirical"), "tissue")


def test_surroundings_leave_the_mass_out(sources, tmp_path):
    around = sources.size_law("empirical").around
    assert around.shape == (4, 2) and around[:, 0].min() > 0.3 and around[:, 0].max() < 0.62  # masses are 0.92, tissue 0.31 to 0.61
    sources.size_law("empirical").write(tmp_path / "sizes.json")
    assert np.allclose(laws.SizeLaw.read(tmp_path / "sizes.json").around, around, atol=1e-5)
