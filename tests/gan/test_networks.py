"""Shapes, parameter counts, receptive field, and where the noise may go."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from pipeline.errors import PipelineError
from pipeline.gan import layers
from pipeline.gan.dcgan import MaskDiscriminator, MaskGenerator
from pipeline.gan.infill import GENERATORS, build
from pipeline.gan.patchgan import PatchGAN, receptive_field
from pipeline.preprocess.trilabel import margin, tri_label

SIZES = [32, 64, 128, 256, 512]


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def condition(side, seed, radius=0.25, noise_in="mask"):
    """(1, 3, side, side): one disc of noise in even tissue."""
    y, x = np.mgrid[:side, :side] / side - 0.5
    mask = x**2 + y**2 < radius**2
    noise = np.random.default_rng(seed).random((side, side)).astype(np.float32)
    return torch.from_numpy(tri_label(np.full((side, side), 0.4, np.float32), mask, noise, noise_in=noise_in))[None], mask, noise


@pytest.mark.parametrize("arch", GENERATORS)
@pytest.mark.parametrize("side", SIZES)
def test_generators_keep_the_size(arch, side):
    for labels, channels in (("tri", 3), ("two", 2)):
        with torch.inference_mode():
            assert build(arch, labels, side, 4)(torch.rand(1, channels, side, side)).shape == (1, 1, side, side)


@pytest.mark.parametrize("side", SIZES)
def test_mask_networks_keep_the_size(side):
    with torch.inference_mode():
        masks = MaskGenerator(side, 10, 4)(torch.rand(2, 10))
        assert masks.shape == (2, 1, side, side)
        assert masks.abs().max() <= 1
        assert MaskDiscriminator(side, 4)(masks).shape == (2,)


def test_sizes_that_cannot_be_halved_are_refused():
    for make in (lambda: MaskGenerator(48, 10, 4), lambda: build("unet", "tri", 48, 4), lambda: build("crn", "tri", 48, 4)):
        with pytest.raises(ValueError, match="48 is no power of two"):
            make()
    with pytest.raises(PipelineError, match="vae unknown; choose unet or crn or spade"):
        build("vae", "tri", 64, 4)


def test_parameters_of_the_mask_gan_counted_by_hand():
    transposed = 16 * (100 * 256 + 256 * 128 + 128 * 64 + 64 * 32 + 32 * 1) + 1
    assert count(MaskGenerator(64, 100, 32)) == transposed + 2 * (256 + 128 + 64 + 32) == 1_099_201
    convolutions = 16 * (1 * 32 + 32 * 64 + 64 * 128 + 128 * 256 + 256 * 1) + 32 + 1
    assert count(MaskDiscriminator(64, 32)) == convolutions + 2 * (64 + 128 + 256) == 693_665


def test_parameters_of_the_patchgan_counted_by_hand():
    convolutions = 16 * (4 * 64 + 64 * 128 + 128 * 256 + 256 * 512 + 512 * 1) + 64 + 128 + 256 + 512 + 1
    assert count(PatchGAN(3, 256)) == convolutions + 2 * (128 + 256 + 512) == 2_767_553


@pytest.mark.parametrize(("side", "decisions", "field"), [(256, 30, 70), (128, 14, 70), (64, 14, 34), (32, 14, 16)])
def test_patchgan_decisions_and_receptive_field(side, decisions, field):
    network = PatchGAN(3, side, 4)
    for module in network.layers:
        if isinstance(module, torch.nn.InstanceNorm2d):
            module.forward = lambda x: x  # it would spread every pixel over the whole patch
    image = torch.rand(1, 1, side, side, requires_grad=True)
    logits = network(torch.rand(1, 3, side, side), image)
    assert logits.shape == (1, 1, decisions, decisions)
    logits[0, 0, decisions // 2, decisions // 2].backward()
    rows = torch.nonzero(image.grad[0, 0].abs().sum(1)).flatten()
    assert int(rows.max() - rows.min()) + 1 == field == receptive_field(side)


@pytest.mark.parametrize("arch", GENERATORS)
def test_noise_varies_the_mass_but_is_not_printed_into_it(arch):
    torch.manual_seed(0)
    network = build(arch, "tri", 64, 16)
    (first, mask, noise), (second, _, _) = condition(64, 1), condition(64, 2)
    with torch.inference_mode():
        a, b = (network(one)[0, 0].numpy() for one in (first, second))
    assert np.abs(a - b)[mask].max() > 1e-4
    fine = [image - ndimage.gaussian_filter(image, 1) for image in (a, noise)]
    assert abs(np.corrcoef(fine[0][mask], fine[1][mask])[0, 1]) < 0.1


def textured(side, seed, sigma, amplitude):
    """(1, 3, side, side) condition of tissue with Gaussian texture, the texture, and the mask; centred."""
    rng = np.random.default_rng(seed)
    texture = ndimage.gaussian_filter(rng.normal(size=(side, side)), sigma, mode="wrap")
    texture *= amplitude / texture.std()
    _, mask, noise = condition(side, seed)
    tissue = (0.5 + texture).astype(np.float32)
    return layers.centred(torch.from_numpy(tri_label(tissue, mask, noise))[None]), texture, mask


@pytest.mark.parametrize("amplitude", [0.01, 0.04])
@pytest.mark.parametrize("sigma", [0.0, 1.0])
def test_grain_has_strength_and_spectrum_of_the_tissue_around(sigma, amplitude):
    """White tissue gives white grain, smooth tissue correlated grain, each as strong as the tissue's own fine structure."""
    image, texture, mask = textured(128, 3, sigma, amplitude)
    found = layers.grain(image, layers.hole(image, False))[0, 0].numpy()
    assert (found[~mask] == 0).all()
    fine = texture - ndimage.uniform_filter(texture, 23, mode="mirror")
    inside = ndimage.binary_erosion(mask, iterations=4)
    assert found[inside].std() == pytest.approx(fine[inside].std(), rel=0.2)

    def neighbours(values):
        pairs = inside[:, 1:] & inside[:, :-1]
        return np.corrcoef(values[:, 1:][pairs], values[:, :-1][pairs])[0, 1]

    assert neighbours(found) == pytest.approx(neighbours(fine), abs=0.12)


def test_edges_are_no_grain():
    """A breast edge beside the hole, a thousand times stronger than the texture, hardly makes the grain stronger."""
    image, _, mask = textured(64, 3, 1.0, 0.001)
    blank = layers.hole(image, False)
    plain = layers.grain(image, blank)[0, 0].numpy()[mask].std()
    image[:, :1, :, :6] = -1
    assert layers.grain(image, blank)[0, 0].numpy()[mask].std() < 1.5 * plain
    image[:, :1] = 0.2  # even tissue has no grain at all
    assert layers.grain(image, blank).abs().max() < 1e-6


@pytest.mark.parametrize("arch", GENERATORS)
def test_what_the_noise_covers_is_unknown_to_the_generator(arch):
    """mask+margin: the result does not depend on the tissue under the margin, which real spicules reach; with mask it does."""
    torch.manual_seed(0)
    tissue = np.random.default_rng(0).random((64, 64)).astype(np.float32)
    _, mask, noise = condition(64, 1)
    ring = margin(mask)
    other = np.where(ring, 1 - tissue, tissue)
    for noise_in, same in (("mask+margin", True), ("mask", False)):
        network = build(arch, "tri", 64, 8, noise_in)
        with torch.inference_mode():
            a, b = (network(torch.from_numpy(tri_label(one, mask, noise, noise_in=noise_in))[None]) for one in (tissue, other))
        assert torch.equal(a, b) == same


def test_no_noise_gives_one_mass():
    (first, _, _), (second, _, _) = condition(64, 1, noise_in="none"), condition(64, 2, noise_in="none")
    assert torch.equal(first, second)


def test_spade_is_modulated_at_every_pixel():
    """With features that are equal everywhere, the condition alone makes the output differ from place to place."""
    torch.manual_seed(0)
    block = build("spade", "tri", 64, 8).cascade[-1]
    features = torch.ones(1, 16, 64, 64)
    even, half = torch.zeros(2, 1, 3, 64, 64)
    half[..., 32:] = 1
    with torch.inference_mode():
        flat, split = (block(features, one)[0, :, 8:-8, 8:-8] for one in (even, half))
    assert flat.std((1, 2)).max() < 1e-4 < split.std((1, 2)).max()


def test_fine_skips_hold_nothing_of_the_hole():
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 20:40, 20:40] = 1
    known = layers.unaffected(mask, 32)[0, 0]
    assert (known == 0).nonzero().min(0).values.tolist() == [9, 9]  # the hole's cells 10..19 and the ring around them
    assert int((known == 0).sum()) == 12 * 12
    encoder = build("unet", "tri", 64, 4).encoder[0]
    (first, disc, _), (second, _, _) = condition(64, 1), condition(64, 2)
    kept = layers.unaffected(torch.from_numpy(disc).float()[None, None], 32)
    assert torch.equal(encoder(first) * kept, encoder(second) * kept)
    assert not torch.equal(encoder(first), encoder(second))


def test_shrunk_condition_averages_tissue_and_samples_noise():
    image = torch.zeros(1, 2, 32, 32)
    image[:, 0] = torch.arange(32.0) / 31 - 0.5  # tissue rises to the right
    image[:, 1] = -1  # no hole
    assert torch.allclose(layers.shrunk(image, layers.hole(image, False), 16)[0, 0, 0, 3], image[0, 0, 0, 6:8].mean())
    image[:, 1] = 1  # all hole: noise alone
    assert torch.equal(layers.shrunk(image, layers.hole(image, False), 16)[0, 0], image[0, 0, 1::2, 1::2])
    assert layers.shrunk(image, layers.hole(image, False), 32)[0, 0].abs().max() == 0  # too fine for noise


def test_the_hole_is_closed_from_the_tissue_around_it():
    image = torch.zeros(1, 2, 32, 32)
    image[:, 0] = torch.linspace(-1, 1, 32)
    image[:, 1] = -1
    image[:, 1, 8:24, 8:24] = 1
    image[:, 0, 8:24, 8:24] = torch.rand(16, 16)  # noise
    closed = layers.interpolated(image, layers.hole(image, False))[0, 0]
    known = image[0, 1] < 0
    assert torch.equal(closed[known], image[0, 0][known])
    assert (closed[8:24, 8:24] - torch.linspace(-1, 1, 32)[8:24]).abs().max() < 0.35  # a slope goes on, roughly
    image[:, 0, 8:24, 8:24] = torch.rand(16, 16)
    assert torch.equal(layers.interpolated(image, layers.hole(image, False))[0, 0], closed)
    image[:, 1] = 1
    assert layers.interpolated(image, layers.hole(image, False))[:, 0].abs().max() == 0  # nothing is known: grey
