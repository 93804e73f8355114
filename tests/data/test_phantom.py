"""The phantom: same bits from the same arguments, masses that can be taken out and put in, statistics near those of real films."""

from collections import Counter

import numpy as np
import pytest

from benchmarks import measures
from pipeline.coco import bounding_box
from pipeline.data import phantom
from pipeline.data.phantom import calibration as cal
from pipeline.data.phantom.anatomy import anatomy_of
from pipeline.data.phantom.film import Frame, clutter
from pipeline.data.phantom.layout import patient_of
from pipeline.data.phantom.masses import insert
from pipeline.data.records import Case
from pipeline.errors import PipelineError
from pipeline.io import to_unit
from pipeline.params import Phantom

SEED = 17
FULL = Phantom(n_patients=30, n_normal_patients=8, height=256, width=160)
SMALL = Phantom(n_patients=3, n_normal_patients=1, height=128, width=80)


@pytest.fixture(scope="module")
def drawn():
    return list(phantom.cases(FULL, SEED))


def mass(x, y, width, height, margins="spiculated", seed=3):
    return phantom.Mass(x, y, width, height, "irregular", margins, 0.3, seed)


def near(one, shape):
    """(H, W) bool: the pixels that may depend on a mass."""
    y, x = np.indices(shape)
    return (abs(x + 0.5 - one.x) <= one.reach) & (abs(y + 0.5 - one.y) <= one.reach)


def test_cases_do_not_depend_on_workers_or_on_how_many_there_are():
    alone, shared = list(phantom.cases(SMALL, SEED, workers=1)), list(phantom.cases(SMALL, SEED, workers=2))
    assert [case.image_id for case in alone] == [f"{p}_{v}" for p in ("M0001", "M0002", "M0003", "N0001") for v in ("CC", "MLO")]
    for one, other in zip(alone, shared, strict=True):
        assert (one.image_id, one.laterality, one.density) == (other.image_id, other.laterality, other.density)
        assert one.image.dtype == np.uint16 and (one.image == other.image).all()
        assert all((a.mask == b.mask).all() for a, b in zip(one.lesions, other.lesions, strict=True))
    more = phantom.case(SMALL.model_copy(update={"n_patients": 50, "n_normal_patients": 20}), SEED, "N0001", "MLO")
    assert (more.image == alone[-1].image).all()
    assert (phantom.case(SMALL, SEED + 1, "N0001", "MLO").image != more.image).mean() > 0.9


def test_image_ids_lead_back_to_patient_and_view():
    assert phantom.patient_and_view(phantom.image_id("M0012", "MLO")) == ("M0012", "MLO")
    for name in ("M0012", "X0012_CC", "M12a_CC", "M0012_LAT"):
        with pytest.raises(PipelineError, match=name):
            phantom.patient_and_view(name)


@pytest.mark.parametrize("margins", list(cal.MARGINS))
def test_an_extra_mass_changes_its_surroundings_alone(margins):
    without = phantom.render(FULL, SEED, "N0001", "CC")
    x = 50 if patient_of(SEED, "N0001").laterality == "L" else 110
    added = mass(x + 0.3, 128.7, 24, 20, margins)
    assert without.masses == ()
    withal = phantom.render(FULL, SEED, "N0001", "CC", extra=[added])
    assert withal.masses == (added,) and len(withal.masks) == 1
    changed = withal.image != without.image
    assert not changed[~near(added, changed.shape)].any()
    assert changed[withal.masks[0]].mean() > 0.99
    assert (withal.image.astype(int) - without.image)[withal.masks[0]].mean() > 1000


@pytest.mark.parametrize("view", ["CC", "MLO"])
def test_an_erased_mass_leaves_everything_else(view):
    own = phantom.render(FULL, SEED, "M0001", view)
    erased = phantom.render(FULL, SEED, "M0001", view, masses=())
    again = phantom.render(FULL, SEED, "M0001", view, masses=phantom.own_masses(FULL, SEED, "M0001", view))
    assert own.masses and not erased.masks and (again.image == own.image).all()
    changed = own.image != erased.image
    touched = np.any([near(one, changed.shape) for one in own.masses], 0)
    assert changed.any() and not changed[~touched].any()
    beside = phantom.render(FULL, SEED, "M0001", view, extra=[mass(80, 200, 12, 12)])
    assert (beside.masks[0] == own.masks[0]).all() and beside.masses[:-1] == own.masses


@pytest.mark.parametrize("margins", list(cal.MARGINS))
@pytest.mark.parametrize("size", [(30, 20), (9, 12), (60, 64)])
def test_the_outline_fills_the_box_that_was_asked_for(size, margins):
    for seed in range(5):
        outline = insert(np.zeros((256, 256), np.float32), mass(120.5, 130.25, *size, margins, seed), 0.94)
        x, y, w, h = bounding_box(outline)
        assert abs(w - size[0]) <= 2 and abs(h - size[1]) <= 2
        assert abs(x + w / 2 - 120.5) <= 1.5 and abs(y + h / 2 - 130.25) <= 1.5


def test_masses_replace_tissue():
    fat, gland = np.zeros((64, 64), np.float32), np.ones((64, 64), np.float32)
    outline = insert(fat, mass(32, 32, 20, 20, "circumscribed"), 0.94)
    insert(gland, mass(32, 32, 20, 20, "circumscribed"), 0.94)
    assert (gland - 1)[outline].mean() / fat[outline].mean() == pytest.approx((cal.MASS - 1) / cal.MASS, rel=1e-3)


def test_spiculated_masses_draw_tissue_in():
    """A bright line beside the mass moves towards it; beside a circumscribed one it stays."""
    at = {}
    for margins in ("spiculated", "circumscribed"):
        tissue = np.zeros((96, 96), np.float32)
        tissue[:, 64] = 1
        insert(tissue, mass(48, 48, 20, 20, margins), 0.94, attenuation=0.0)
        at[margins] = int(tissue[48, 59:].argmax()) + 59
    assert at["circumscribed"] == 64 and at["spiculated"] < 64


def test_breasts_face_the_side_that_is_recorded(drawn):
    for case in drawn:
        dark = measures.breast_region(to_unit(case.image)).mean(0)
        left, right = dark[10:40].mean(), dark[-40:-10].mean()
        assert (left > right) == (case.laterality == "L"), case.image_id
    sides = Counter(case.laterality for case in drawn[::2])
    assert min(sides.values()) >= 10
    assert all(one.laterality == other.laterality for one, other in zip(drawn[::2], drawn[1::2], strict=True))


def test_film_clutter_lies_outside_of_the_breast():
    breast = anatomy_of(SEED, "M0001", "CC", (256, 160)).breast
    frame = Frame(4, 256, 0, 155, 0.9)
    marked = 0
    for item in range(20):
        film = clutter(np.random.default_rng(item), np.zeros((256, 160), np.float32), breast, "L", "CC", frame, 0.94)
        inside = film[4:, :155]
        assert (film[:4] == np.float32(0.9)).all() and (film[:, 155:] == np.float32(0.9)).all()
        assert (inside[breast[4:, :155]] == 0).all()
        marked += (inside > 0.2).sum() > 20
    assert marked >= 15


def test_records_are_complete(drawn):
    assert len(drawn) == 76 and all(isinstance(case, Case) for case in drawn)
    lesions = [lesion for case in drawn for lesion in case.lesions]
    assert all((case.pathology == "malignant") == bool(case.lesions) == case.patient_id.startswith("M") for case in drawn)
    assert all(case.spacing_mm == 240 / 256 for case in drawn)
    assert {lesion.margins for lesion in lesions} <= set(cal.MARGINS) and {lesion.shape for lesion in lesions} <= set(cal.SHAPES)
    assert all(lesion.mask.sum() >= 10 for lesion in lesions)


def test_densities_have_the_stated_shares():
    classes = Counter(patient_of(SEED, f"M{i:04d}").density for i in range(2000))
    np.testing.assert_allclose([classes[k] / 2000 for k in (1, 2, 3, 4)], cal.DENSITY_SHARES, atol=0.035)


def test_sizes_follow_cbis_ddsm():
    """At 800 px: median 48 x 49, 5 to 95 % 24 to 105 px, correlation .87."""
    rng = np.random.default_rng(0)
    sizes = np.array([phantom.new_size(rng, 800) for _ in range(4000)])
    np.testing.assert_allclose(np.quantile(sizes, (0.05, 0.5, 0.95)), (24, 48.5, 105), rtol=0.1)
    assert np.corrcoef(sizes.T)[0, 1] == pytest.approx(0.87, abs=0.03)


def test_contrast_texture_and_difficulty_are_near_those_of_cbis_ddsm(drawn):
    """CBIS-DDSM by the same measures: contrast-to-noise 1.7, exponent 2.8, blob detector .30 at IoU 0.3 and .37 by centre."""
    contrast, exponent, blobs, truths = [], [], [], []
    for case in drawn:
        image = to_unit(case.image)
        breast = measures.breast_region(image)
        exponent.append(measures.spectral_exponent(image, breast))
        contrast.extend(measures.contrast_to_noise(image, lesion.mask, breast) for lesion in case.lesions)
        blobs.append(measures.log_blobs(image, breast, 0.03 * 256))
        boxes = np.array([bounding_box(lesion.mask) for lesion in case.lesions], float).reshape(-1, 4)
        truths.append(boxes + np.pad(boxes[:, :2], ((0, 0), (2, 0))))
    assert 1.2 < np.nanmedian(contrast) < 2.0
    assert 2.5 < np.nanmean(exponent) < 3.1
    assert measures.sensitivity_at(blobs, truths, 1, 0.3) <= 0.35
    assert measures.sensitivity_at(blobs, truths, 1, 0.5) <= 0.30
    assert 0.05 < measures.sensitivity_at(blobs, truths, 1, None) <= 0.42


@pytest.mark.parametrize("shape", [(64, 40), (96, 200), (512, 320)])
def test_other_image_sizes_can_be_drawn(shape):
    params = Phantom(n_patients=1, n_normal_patients=0, height=shape[0], width=shape[1])
    for view in ("CC", "MLO"):
        one = phantom.render(params, SEED, "M0001", view)
        assert one.image.shape == shape and all(mask.any() for mask in one.masks)
