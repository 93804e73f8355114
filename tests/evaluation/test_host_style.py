"""Hosts that look like real training images cannot be told from them, others can; lesions and inserted frames are not looked at."""

import numpy as np
import pytest

from pipeline import coco
from pipeline.evaluation import host_style
from pipeline.evaluation.host_style import Look
from pipeline.io import write_png

SIZE = (120, 80)


def look(rng, n, shift=0.0, patients="p"):
    features = rng.normal(size=(n, 6))
    features[:, 2] += shift
    return Look(features, [f"{patients}{k // 2}" for k in range(n)])


def test_equal_distributions_give_half_and_a_shift_its_auc():
    rng = np.random.default_rng(0)
    same = [host_style.auc(look(rng, 80), look(rng, 80, patients="q"), seed)[0] for seed in range(20)]
    assert np.mean(same) == pytest.approx(0.5, abs=0.05)
    value, (low, high) = host_style.auc(look(rng, 300), look(rng, 300, 1.0, "q"), 0)
    assert value == pytest.approx(0.76, abs=0.04) and low < value < high  # Phi(1 / sqrt 2)


def test_a_patient_on_both_sides_teaches_nothing():
    """Each patient has its own style; hosts are other images of the same patients: only a fit to these patients could tell."""
    rng = np.random.default_rng(1)
    style = rng.normal(size=(30, 6)) * 5
    real, hosts = (Look(style + 0.01 * rng.normal(size=style.shape), [f"p{k}" for k in range(30)]) for _ in range(2))
    assert host_style.auc(real, hosts, 0)[0] == pytest.approx(0.5, abs=0.1)


def image(rng, blur):
    import cv2

    noise = cv2.GaussianBlur(rng.normal(size=SIZE).astype(np.float32), (0, 0), blur)
    return (30000 + 5000 * noise / noise.std()).clip(0, 65535).astype(np.uint16)


@pytest.fixture
def experiment(tmp_path):
    """build(blur): twelve real images with a bright mass, twelve hosts of texture `blur`, and a pool that pastes a frame of noise in."""

    def build(blur):
        rng = np.random.default_rng(3)
        mask = np.zeros(SIZE, bool)
        mask[40:52, 30:42] = True
        train, pool = [], []
        for k in range(24):
            ill = k < 12
            pixels = image(rng, 1.5 if ill else blur)
            pixels[mask & ill] = 65535
            name = f"m{k:02d}"
            write_png(tmp_path / f"train/images/{name}.png", pixels)
            write_png(tmp_path / f"train/regions/{name}.png", np.ones(SIZE, np.uint8))
            record = {"file_name": f"images/{name}.png", "height": SIZE[0], "width": SIZE[1], "image_id": name, "patient_id": f"p{k}"}
            train.append(({**record, "source": "a" if ill else "b"}, [coco.annotation(mask)] if ill else []))
            if not ill:
                made = pixels.copy()
                made[70:100, 10:40] = rng.integers(0, 65535, (30, 30))
                inside = np.zeros(SIZE, bool)
                inside[80:90, 20:30] = True
                write_png(tmp_path / f"pool/images/{name}.png", made)
                place = {"host": name, "centre": [25.0, 85.0], "patch_size": [30, 30]}
                pool.append(({**record, **place}, [coco.annotation(inside, synthetic=True)]))
        coco.write(tmp_path / "train/annotations.json", coco.assemble(train))
        coco.write(tmp_path / "pool/annotations.json", coco.assemble(pool))
        return host_style.measure(tmp_path / "pool", tmp_path / "train", tmp_path / "train", 0)

    return build


def test_other_texture_is_found_and_the_inserted_frame_is_not(experiment):
    alike, other = experiment(1.5), experiment(2.0)
    assert alike["auc"] < 0.75 and other["auc"] > 0.95  # a frame of white noise, were it looked at, would make both 1
    assert other["images"] == {"real": 12, "hosts": 12} and other["sources"] == {"real": ["a"], "hosts": ["b"]}
    assert other["ci95"][0] > host_style.LIMIT


def test_tissue_keeps_off_lesions_muscle_and_outline():
    region = np.zeros((100, 100), np.uint8)
    region[10:90, 10:90] = 1
    region[10:90, 60:90] = 2
    taken = np.zeros((100, 100), bool)
    taken[50, 20] = True
    tissue = host_style.tissue_of(region, taken)
    assert tissue[30, 40] and not tissue[30, 70] and not tissue[10, 40] and tissue[12, 40]
    assert not tissue[50, 24] and tissue[50, 26]


def test_features_know_nothing_beyond_the_tissue():
    rng = np.random.default_rng(5)
    pixels, tissue = image(rng, 1.5), np.zeros(SIZE, bool)
    tissue[20:70, 10:60] = True
    other = np.where(tissue, pixels, 65535).astype(np.uint16)
    assert np.allclose(host_style.features_of(pixels, tissue), host_style.features_of(other, tissue))
    assert host_style.features_of(pixels, tissue)[0] == pytest.approx(pixels[tissue].mean() / 65535, rel=1e-5)
