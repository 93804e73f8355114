"""Losses of constants, against values computed by hand."""

import math

import numpy as np
import pytest
import torch

from pipeline.errors import PipelineError
from pipeline.gan.losses import ADVERSARIAL, VggFeatures, feature_matching, load_vgg
from tests import imagenet


def test_binary_cross_entropy_of_constant_logits():
    discriminator, generator = ADVERSARIAL["bce"]
    zero, two = torch.zeros(2, 1, 3, 3), torch.full((2, 1, 3, 3), 2.0)
    assert discriminator(zero, zero).item() == pytest.approx(math.log(2))
    assert generator(zero).item() == pytest.approx(math.log(2))
    # -log sigmoid(2) = log(1 + exp(-2)); real ones are judged right, fake ones wrong
    right, wrong = math.log(1 + math.exp(-2)), math.log(1 + math.exp(2))
    assert discriminator(two, two).item() == pytest.approx((right + wrong) / 2)
    assert generator(two).item() == pytest.approx(right)
    assert generator(torch.full((1,), 1000.0)).item() == 0  # no overflow
    assert generator(torch.full((1,), -1000.0)).item() == pytest.approx(1000)


@pytest.mark.parametrize(
    ("loss", "discriminator", "generator"),
    [
        ("lsgan", ((3 - 1) ** 2 + 0.5**2) / 2, (0.5 - 1) ** 2 / 2),
        ("hinge", (0 + 1.5) / 2, -0.5),  # a real logit beyond 1 costs nothing
    ],
)
def test_other_adversarial_losses_of_constant_logits(loss, discriminator, generator):
    real, fake = torch.full((2, 1, 3, 3), 3.0), torch.full((2, 1, 3, 3), 0.5)
    assert ADVERSARIAL[loss].discriminator(real, fake).item() == pytest.approx(discriminator)
    assert ADVERSARIAL[loss].generator(fake).item() == pytest.approx(generator)


@pytest.mark.parametrize("loss", ADVERSARIAL)
def test_every_adversarial_loss_pulls_the_right_way(loss):
    """The discriminator's loss falls with higher real and lower fake logits, the generator's with higher fake ones."""
    real, fake = (torch.full((4,), value, requires_grad=True) for value in (0.3, 0.2))
    ADVERSARIAL[loss].discriminator(real, fake).backward()
    assert (real.grad < 0).all() and (fake.grad > 0).all()
    fake.grad = None
    ADVERSARIAL[loss].generator(fake).backward()
    assert (fake.grad < 0).all()


def test_feature_matching_and_its_gradient_are_those_of_the_mean_of_absolute_differences():
    torch.manual_seed(0)
    image = torch.rand(2, 1, 8, 8)
    painted = torch.rand(2, 1, 8, 8).bfloat16().requires_grad_()
    ours, theirs = feature_matching(image, painted, None), torch.nn.functional.l1_loss(painted.float(), image)
    assert ours.item() == theirs.item()
    gradients = [torch.autograd.grad(3 * loss, painted)[0] for loss in (ours, theirs)]
    assert torch.equal(*gradients) and gradients[0].abs().min() > 0


def test_feature_matching_of_constant_images():
    """One filter that sums the normalised channels: differences of images are scaled by the sum of 1 / std."""
    kernel = np.zeros((1, 3, 3, 3), np.float32)
    kernel[0, :, 1, 1] = 1
    features = VggFeatures({"conv1_1.weight": kernel, "conv1_1.bias": np.zeros(1, np.float32)}, ["conv1_1"])
    image, painted = torch.ones(2, 1, 8, 8), torch.full((2, 1, 8, 8), 0.75, requires_grad=True)
    assert feature_matching(image, painted, None).item() == pytest.approx(0.25)
    loss = feature_matching(image, painted, features)
    assert loss.item() == pytest.approx(0.25 + 0.25 * (1 / 0.229 + 1 / 0.224 + 1 / 0.225), rel=1e-5)
    loss.backward()
    assert painted.grad.sum().item() == pytest.approx(-(1 + 1 / 0.229 + 1 / 0.224 + 1 / 0.225), rel=1e-5)
    assert not any(parameter.requires_grad for parameter in features.parameters())


def test_unknown_layers_are_named():
    arrays = {"conv1_1.weight": np.zeros((1, 3, 3, 3), np.float32), "conv1_1.bias": np.zeros(1, np.float32)}
    with pytest.raises(PipelineError, match="perceptual_layers: conv3_4 unknown; choose of conv1_1"):
        VggFeatures(arrays, ["conv1_1", "conv3_4"])


def test_vgg_equals_torchvisions(tmp_path_factory):
    """The same weights in torchvision's own VGG-16 give the same activations at the same layers."""
    from torchvision.models.vgg import cfgs, make_layers

    wanted = ["conv1_2", "conv3_1", "conv4_3"]
    features, used = load_vgg(imagenet.folder(tmp_path_factory), "vgg16", wanted)
    assert used["network"] == "vgg16" and used["layers"] == wanted and len(used["sha256"]) == 64
    reference = make_layers(cfgs["D"])[:23]
    convolutions = [layer for layer in reference if isinstance(layer, torch.nn.Conv2d)]
    for ours, theirs in zip(features.convolutions.values(), convolutions, strict=True):
        theirs.load_state_dict(ours.state_dict())
    image = torch.rand(1, 1, 32, 32)
    x = (image - torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)) / torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    expected = []
    with torch.no_grad():
        for number, layer in enumerate(reference):
            x = layer(x)
            if number in (3, 11, 22):
                expected.append(x.clone())
        for got, want in zip(features(image), expected, strict=True):
            assert torch.allclose(got, want, rtol=1e-3, atol=1e-3)


def test_no_perceptual_network_is_said_to_be_none(tmp_path):
    assert load_vgg(tmp_path, "none", ["conv1_2"]) == (None, {"network": "none"})
