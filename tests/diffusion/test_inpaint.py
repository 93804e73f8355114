"""The diffusion model, tiny: training, resumption, painting, and a pool of it. Needs diffusers."""

import json

import numpy as np
import pytest
import torch

from pipeline import coco, plan
from pipeline.diffusion import inpaint
from pipeline.errors import PipelineError
from pipeline.gan import patches
from pipeline.io import read_image, read_json
from pipeline.params import Diffusion, Runtime, check, read_yaml
from pipeline.profile import merge
from pipeline.rng import generator
from pipeline.synthesis import inserting
from pipeline.synthesis.pool import write
from pipeline.training import checkpoints
from tests.code_deps import ROOT
from tests.diffusion.test_without import ASKED
from tests.gan.conftest import prepared as training_patches  # noqa: F401
from tests.gan.test_infill import gen
from tests.synthesis.conftest import prepared, sources  # noqa: F401

pytest.importorskip("diffusers")
RUNTIME = Runtime(threads=1, precision="auto", workers=0)
TINY = Diffusion(width=8, prediction="v", steps=3, iterations=3, batch=4, lr=0.002, ema=0.5)


@pytest.fixture(scope="module")
def real(training_patches):  # noqa: F811
    return patches.read(training_patches, ["train"])


def train(real, folder, **more):
    inpaint.train(real, folder / "model", gen(), TINY.model_copy(update=more), RUNTIME, 3, folder / "state")
    return folder / "model"


@pytest.fixture(scope="module")
def model(real, tmp_path_factory):
    return train(real, tmp_path_factory.mktemp("diffusion"))


def noise_for(images, seed=0):
    return generator(seed, "test").random(images.shape, np.float32)


def test_what_is_denoised_has_unit_spread_and_lies_in_the_mask(real):
    """Masses are 0.25 brighter than tissue, whose noise is 0.02."""
    assert 0.2 < inpaint.spread(real, 296 / 256) < 0.3


@pytest.mark.parametrize("prediction", ["v", "epsilon"])
def test_a_network_that_knows_the_answer_is_sampled_to_it(real, prediction):
    """Stands in for a perfect network: it knows the masses, so whatever the noise, the real patches come out."""
    net = inpaint.Inpainter(real.patch_px, 8, prediction, 8, inpaint.spread(real, 296 / 256))
    given = patches.InfillSamples(real, 0, "tri", 296 / 256)
    samples = [given[index, index] for index in range(4)]
    condition, image = (torch.from_numpy(np.stack([one[key] for one in samples])) for key in ("condition", "image"))
    shown, hole = inpaint.closed(condition)
    mass = (image - (shown[:, :1] + 1) / 2) / net.spread * hole

    def known(noisy, _, times):
        alpha = net.noising.alphas_cumprod[times][:, None, None, None]
        noise = (noisy - alpha.sqrt() * mass) / (1 - alpha).sqrt()
        return noise if prediction == "epsilon" else alpha.sqrt() * noise - (1 - alpha).sqrt() * mass

    net.predict = known
    painted = net(condition)
    assert torch.allclose(painted, image, atol=0.01)
    assert torch.allclose(painted * (1 - hole), image * (1 - hole), atol=1e-6)


def test_the_loss_falls_within_a_few_steps(real, tmp_path):
    rows = (train(real, tmp_path, iterations=24, ema=0.0) / "losses.csv").read_text().splitlines()
    losses = [float(row.split(",")[1]) for row in rows[1:]]
    assert rows[0] == "iteration,denoising" and len(losses) == 24
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])


def test_an_interrupted_training_goes_on_to_the_same_weights(real, model, tmp_path, monkeypatch):
    step = inpaint.Denoiser.train_step
    monkeypatch.setattr(inpaint.engine.hooks.Checkpoints, "after_train_iter", lambda self, runner, *_, **__: runner.save(runner.iter + 1))
    calls = []

    def killed(self, data, optim_wrapper):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return step(self, data, optim_wrapper)

    monkeypatch.setattr(inpaint.Denoiser, "train_step", killed)
    with pytest.raises(KeyboardInterrupt):
        train(real, tmp_path)
    assert checkpoints.stored(next((tmp_path / "state/train_diffusion").iterdir()))
    again = train(real, tmp_path)
    assert len(calls) == 4  # the third step alone was taken again
    assert (again / "model.pth").read_bytes() == (model / "model.pth").read_bytes()
    assert (again / "losses.csv").read_bytes() == (model / "losses.csv").read_bytes()
    assert not any((tmp_path / "state/train_diffusion").iterdir())


def test_a_loss_that_is_not_finite_stops_the_training(real, tmp_path):
    with pytest.raises(PipelineError, match="training stopped at iteration"):
        train(real, tmp_path, lr=1e30)
    assert not (tmp_path / "model").exists()


def test_painting_keeps_the_contract_of_the_infilling_gan(real, model):
    painter = inpaint.load(model)
    images, masks = real.images[:4], real.masks[:4]
    painted = painter.fill(images, masks, noise_for(images))
    assert painted.shape == images.shape and painted.dtype == np.float32 and painted.min() >= 0 and painted.max() <= 1
    assert np.abs(painted - images)[~masks].max() < 1e-6  # the tissue comes out as it went in
    assert np.array_equal(painted, painter.fill(np.where(masks, 0, images).astype(np.float32), masks, noise_for(images)))
    assert np.abs(painted - painter.fill(images, masks, noise_for(images, 1)))[masks].mean() > 0.01
    with pytest.raises(PipelineError, match="no discriminator"):
        painter.judge(images, masks, noise_for(images), painted)
    meta = read_json(model / "meta.json")
    assert meta["patients"] == sorted(f"train{n}" for n in range(8)) and (meta["margin"], meta["labels"]) == (296, "tri")
    assert read_image(model / "samples.png").ndim == 2


def test_its_pool_has_the_places_of_the_pool_gan(real, model, sources, tmp_path):  # noqa: F811
    from tests.synthesis.test_pools import Inverter

    painter = inpaint.load(model)
    painter.meta["patients"] = sorted(sources.training)  # it learned from other made patches than those of the hosts
    placer, masks = sources.placer("normals", "paper", "breast"), inserting.real_masks(sources)
    for name, infiller in (("gan", Inverter()), ("diffusion", painter)):
        write(name, inserting.gan(sources, placer, infiller, masks, "feather"), 3, 3, tmp_path / name)
    kept = ("host", "centre", "patch_size", "height", "width", "synthetic")
    records = {name: coco.read(tmp_path / name / "annotations.json") for name in ("gan", "diffusion")}
    assert len(records["gan"]["images"]) == 3
    for first, second in zip(*(records[name]["images"] for name in records), strict=True):
        assert {key: first[key] for key in kept} == {key: second[key] for key in kept}
    boxes = [[one["bbox"] for one in records[name]["annotations"]] for name in records]
    assert boxes[0] == boxes[1]
    assert json.loads((tmp_path / "diffusion/manifest.json").read_text())["generator"]["arch"] == "diffusion"


def test_the_plan_of_a_study_counts_its_training():
    """A step is at least six operations for each weight of its convolutions and each px of the coarsest maps."""
    params = check(merge(read_yaml(ROOT / "params.yaml"), ASKED))
    (found,) = [one for one in plan.trainings(params, 100, [("unet", "tri")]) if one.name == "train_diffusion"]
    weights = sum(one.numel() for one in inpaint.Inpainter(64, 32, "v", 1, 1.0).parameters())
    assert found.iterations == params.diffusion.iterations
    assert found.step.flops > params.diffusion.batch * 6 * weights * inpaint.SMALLEST**2 / 2
