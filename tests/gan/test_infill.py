"""The infilling GAN: training improves the reconstruction, and filling keeps its contract."""

from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.errors import PipelineError
from pipeline.gan import infill, patches, variety
from pipeline.gan.adversarial import adam
from pipeline.io import read_json, write_json
from pipeline.params import Gen, GenTrain, Runtime, Width
from pipeline.training import engine
from tests.gan.conftest import patch

RUNTIME = Runtime(threads=1, precision="auto", workers=0)
TRAIN = GenTrain(
    iterations=60, batch=4, lr=0.001, betas=[0.5, 0.999], discriminator_width=8,
    perceptual_weight=100.0, perceptual_layers=["conv1_2"], ema=0.9,
)  # fmt: skip

WIDTHS = dict.fromkeys(("unet", "crn", "spade"), Width(width=8))


def gen(**more):
    default = {"arch": "unet", "labels": "tri", "margin": 296, "noise": "mask", "grain": 1.0, "loss": "bce"}
    return Gen(**{**default, **WIDTHS, "train": TRAIN, **more})


@pytest.fixture(scope="module", params=["unet", "crn", "spade"])
def model(request, prepared, tmp_path_factory):
    folder = tmp_path_factory.mktemp("infill")
    infill.train(patches.read(prepared, ["train"]), folder, folder / "model", gen(arch=request.param), "none", RUNTIME, 3, folder / "state")
    return folder / "model"


@pytest.fixture(scope="module")
def held(prepared):
    return patches.read(prepared, ["val", "test"])


@pytest.fixture(scope="module")
def noise(held):
    return np.random.default_rng(0).random(held.images.shape, np.float32)


def test_a_short_training_paints_masses_and_leaves_the_tissue(model, held, noise):
    """Held-out patches: masses are 0.25 brighter than tissue, and tissue has noise of 0.02."""
    painted = infill.load(model).fill(held.images, held.masks, noise)
    error = np.abs(painted - held.images)
    assert error[~held.masks].mean() < 0.02
    assert error[held.masks].mean() < 0.08
    contrast = painted[held.masks].mean() - painted[~held.masks].mean()
    assert 0.15 < contrast < 0.35


def test_the_feature_matching_loss_falls(model):
    rows = [line.split(",") for line in (model / "losses.csv").read_text().splitlines()]
    assert rows[0] == ["iteration", "discriminator", "adversarial", "feature_matching"]
    losses = [float(row[3]) for row in rows[1:]]
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])


def test_meta_tells_what_generating_and_reviewers_need(model):
    meta = read_json(model / "meta.json")
    assert meta["patients"] == sorted(f"train{n}" for n in range(8))
    assert meta["perceptual"] == {"network": "none"}
    assert (meta["labels"], meta["margin"], meta["patch_px"], meta["width"], meta["iterations"], meta["seed"]) == ("tri", 296, 32, 8, 60, 3)


def test_filling_is_pure_and_within_range(model, held, noise):
    infiller = infill.load(model)
    assert infiller.patch_px == 32
    both = infiller.fill(held.images[:2], held.masks[:2], noise[:2])
    assert both.dtype == np.float32 and both.shape == (2, 32, 32) and both.min() >= 0 and both.max() <= 1
    assert np.array_equal(infiller.fill(held.images[:2], held.masks[:2], noise[:2]), both)
    assert np.allclose(infiller.fill(held.images[1:2], held.masks[1:2], noise[1:2])[0], both[1], atol=1e-5)
    elsewhere = np.where(held.masks[:2], 0, held.images[:2]).astype(np.float32)
    assert np.array_equal(infiller.fill(elsewhere, held.masks[:2], noise[:2]), both)  # what lay in the hole is unknown to it


def test_contrast_scales_what_is_painted_onto_the_closed_tissue(model, held, noise):
    infiller = infill.load(model)
    infiller.finish = lambda condition, painted: painted
    given = held.images[:2], held.masks[:2], noise[:2]
    none, half, whole = (infiller.fill(*given, contrast).astype(float) for contrast in (0.0, 0.5, 1.0))
    assert np.abs(whole - none)[held.masks[:2]].mean() > 0.02  # a mass, on tissue that goes on without one
    unclipped = (whole > 0) & (whole < 1)
    assert np.allclose((half - none)[unclipped], (whole - none)[unclipped] / 2, atol=1e-5)
    assert np.abs(none - held.images[:2])[~held.masks[:2]].max() < 1e-6


def test_impossible_fills_are_refused(model, held, noise):
    infiller = infill.load(model)
    with pytest.raises(ValueError, match="patches of 32 px are needed"):
        infiller.fill(np.zeros((1, 64, 64), np.float32), np.ones((1, 64, 64), bool), np.zeros((1, 64, 64), np.float32))
    with pytest.raises(ValueError, match="empty"):
        infiller.fill(held.images[:1], np.zeros((1, 32, 32), bool), noise[:1])


def test_weights_that_do_not_fit_are_an_error(model, tmp_path):
    torch.save({"x": torch.zeros(1)}, tmp_path / "model.pth")
    write_json(tmp_path / "meta.json", read_json(model / "meta.json"))
    with pytest.raises(PipelineError, match="cannot be used by version"):
        infill.load(tmp_path)


@pytest.mark.parametrize(
    ("changed", "channels"),
    [({"labels": "two"}, 2), ({"noise": "mask+margin", "loss": "hinge"}, 3), ({"noise": "none", "loss": "lsgan", "margin": 316}, 3)],
)
def test_ablations_train_and_are_remembered_by_the_model(prepared, held, noise, tmp_path, changed, channels):
    short = gen(**changed, train=TRAIN.model_copy(update={"iterations": 2}))
    infill.train(patches.read(prepared, ["train"]), tmp_path, tmp_path / "model", short, "none", RUNTIME, 3, tmp_path / "state")
    infiller = infill.load(tmp_path / "model")
    assert infiller.condition(held.images, held.masks, noise).shape == (8, channels, 32, 32)
    assert {key: infiller.meta[key] for key in changed} == changed
    other = infiller.fill(held.images, held.masks, 1 - noise)
    assert np.array_equal(infiller.fill(held.images, held.masks, noise), other) == (changed.get("noise") == "none")


def test_grain_is_added_to_what_the_network_paints_and_only_in_the_hole(model, held, noise):
    with_grain, without = infill.load(model), infill.load(model)
    without.finish = infill.finishing("mask", 0)
    a, b = (one.fill(held.images, held.masks, noise) for one in (with_grain, without))
    assert np.array_equal(a[~held.masks], b[~held.masks])
    fine = (a - b)[held.masks].std()
    assert 0.01 < fine < 0.03  # the tissue's noise is 0.02
    without.finish = infill.finishing("mask", 0.5)
    c = without.fill(held.images, held.masks, noise)
    within = np.all([(one > 0) & (one < 1) for one in (a, b, c)], 0)
    assert within.mean() > 0.9 and np.allclose((c - b)[within], (a - b)[within] / 2, atol=1e-5)


def test_the_discriminator_decides_about_the_hole_alone(held, noise):
    """What differs far from the mask changes no logit that is judged; what differs within it does."""
    torch.manual_seed(0)
    gan = infill.InfillGan(infill.build("unet", "tri", 32, 4), 3, 32, None, TRAIN)
    for layer in gan.discriminator.layers:
        if isinstance(layer, torch.nn.InstanceNorm2d):
            layer.forward = lambda x: x  # it would spread every pixel over the whole patch
    small = np.zeros_like(held.masks[:1])
    small[:, 24:28, 24:28] = True
    condition = torch.from_numpy(infill.tri_label(held.images[:1], small, noise[:1]))
    image = torch.from_numpy(held.images[:1])[:, None]
    far, near = image.clone(), image.clone()
    far[..., :8, :8] = 1
    near[..., 24:28, 24:28] = 1
    a, b, c = (gan.judge({"condition": condition}, one) for one in (image, far, near))
    assert a.ndim == 1 and torch.equal(a, b) and not torch.equal(a, c)


@pytest.mark.parametrize("arch", infill.GENERATORS)
def test_an_interrupted_training_ends_with_the_same_weights(prepared, tmp_path, arch):
    real = patches.read(prepared, ["train"])

    def fit(iterations, state):
        return engine.fit(
            lambda: infill.InfillGan(infill.build(arch, "tri", 32, 4), 3, 32, None, TRAIN), adam(0.001, (0.5, 0.999)),
            patches.InfillSamples(real, 0, "tri", 296 / 256), what="test", state=state,
            iterations=iterations, batch=2, seed=1, threads=1, precision="bf16", average=0.9,
        ).state_dict()  # fmt: skip

    straight = fit(4, tmp_path / "straight")
    fit(2, tmp_path / "broken")
    resumed = fit(4, tmp_path / "broken")
    assert all(torch.equal(straight[key], resumed[key]) for key in straight)


def test_the_generators_step_leaves_the_discriminator_alone(prepared):
    """With a generator that cannot learn, the discriminator's weights change by its own loss only."""
    torch.manual_seed(0)
    gan = infill.InfillGan(infill.build("unet", "tri", 32, 4), 3, 32, None, TRAIN)
    real = patches.InfillSamples(patches.read(prepared, ["train"]), 0, "tri", 296 / 256)
    data = torch.utils.data.default_collate([real[0, 0], real[1, 1]])
    optimizers = {
        "generator": torch.optim.SGD(gan.generator.parameters(), lr=0.0),
        "discriminator": torch.optim.SGD(gan.discriminator.parameters(), lr=0.0),
    }
    from mmengine.optim import OptimWrapper, OptimWrapperDict

    seen = []
    gan.discriminator.layers[0].weight.register_hook(lambda gradient: seen.append(gradient.abs().sum().item()))
    gan.train_step(data, OptimWrapperDict(**{name: OptimWrapper(one) for name, one in optimizers.items()}))
    assert len(seen) == 1 and seen[0] > 0
    assert all(parameter.grad is None for parameter in gan.discriminator.parameters())


def test_an_infilling_gan_that_paints_one_mass_is_a_failed_training(prepared, tmp_path, monkeypatch):
    monkeypatch.setattr(infill.Infiller, "fill", lambda self, tissue, masks, noise: np.where(masks, 0.7, tissue))
    short, real = gen(train=TRAIN.model_copy(update={"iterations": 1})), patches.read(prepared, ["train"])
    with pytest.raises(PipelineError, match=r"mode collapse: the generated masses vary 0\.\d+ times.*learning rate"):
        infill.train(real, tmp_path, tmp_path / "model", short, "none", RUNTIME, 3, tmp_path / "state")
    assert not (tmp_path / "model").exists()


def test_masses_that_are_all_the_same_have_no_variety():
    """Noise that is let through, or the tissue around the mass, is no variety of masses."""
    rng = np.random.default_rng(0)
    tissue, mask = (np.stack(part) for part in zip(*map(patch, range(8)), strict=True))
    real = np.where(mask, tissue + rng.uniform(-0.2, 0.2, (8, 1, 1)), tissue)
    same = np.where(mask, 0.7 + rng.uniform(-0.02, 0.02, real.shape), tissue + rng.uniform(-0.3, 0.3, (8, 1, 1)))
    sound, losses = variety.of_masses(real, mask), Path("losses.csv")
    with pytest.raises(PipelineError, match=r"mode collapse: the generated masses vary 0\.0\d+ times"):
        variety.check("masses", variety.of_masses(same, mask), sound, losses)
    assert variety.check("masses", variety.of_masses(0.5 * real, mask), sound, losses) == 0.5
    assert variety.check("masses", 0.0, 0.0, losses) is None
