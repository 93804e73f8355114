"""Losses of the GANs: adversarial (paper eqs. 2 and 3) and feature matching (eq. 4)."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline import weights
from pipeline.errors import PipelineError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Adversarial(NamedTuple):
    """A pair of losses of logits of any shape: discriminator(real, fake) and generator(fake)."""

    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]


def _bce_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Mean binary cross-entropy: real ones towards 1, fake ones towards 0 (eqs. 2 and 3, halved)."""
    return (F.softplus(-real.float()).mean() + F.softplus(fake.float()).mean()) / 2


def _bce_generator(fake: Tensor) -> Tensor:
    """Non-saturating form of the minimax loss: logits of generated images towards 1 (Goodfellow et al. 2014, section 3)."""
    return F.softplus(-fake.float()).mean()


def _squares_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    return ((real.float() - 1).square().mean() + fake.float().square().mean()) / 2


def _squares_generator(fake: Tensor) -> Tensor:
    return (fake.float() - 1).square().mean() / 2


def _hinge_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    return (F.relu(1 - real.float()).mean() + F.relu(1 + fake.float()).mean()) / 2


def _hinge_generator(fake: Tensor) -> Tensor:
    return -fake.float().mean()


ADVERSARIAL = {
    "bce": Adversarial(_bce_discriminator, _bce_generator),
    "lsgan": Adversarial(_squares_discriminator, _squares_generator),  # least squares, labels 0, 1, 1 (Mao et al. 2017, eq. 9)
    "hinge": Adversarial(_hinge_discriminator, _hinge_generator),  # Lim and Ye 2017; Miyato et al. 2018, eqs. 16 and 17
}


class VggFeatures(nn.Module):
    """Activations (after ReLU) of the named convolutions of a VGG for grey images (N, 1, P, P) in [0, 1]; no gradients to itself."""

    def __init__(self, arrays: weights.Arrays, layers: Sequence[str]) -> None:
        super().__init__()
        names = [key.removesuffix(".weight") for key in arrays if key.endswith(".weight")]
        unknown = [layer for layer in layers if layer not in names]
        if unknown:
            raise PipelineError(f"gen.train.perceptual_layers: {', '.join(unknown)} unknown; choose of {', '.join(names)}")
        self.taps = set(layers)
        self.convolutions = nn.ModuleDict()
        for name in names[: max((names.index(layer) + 1 for layer in layers), default=0)]:
            kernel = torch.from_numpy(arrays[f"{name}.weight"])
            conv = nn.Conv2d(kernel.shape[1], kernel.shape[0], 3, padding=1)
            conv.load_state_dict({"weight": kernel, "bias": torch.from_numpy(arrays[f"{name}.bias"])})
            self.convolutions[name] = conv
        self.requires_grad_(False)
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1))
        self.to(memory_format=torch.channels_last)

    def forward(self, image: Tensor) -> list[Tensor]:
        x = ((image - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        found = []
        for name, conv in self.convolutions.items():
            if name.endswith("_1") and name != "conv1_1":
                x = F.max_pool2d(x, 2)
            x = F.relu(conv(x), inplace=True)
            if name in self.taps:
                found.append(x)
        return found


def load_vgg(folder: Path, network: str, layers: Sequence[str]) -> tuple[VggFeatures | None, dict[str, Any]]:
    """The features of the perceptual loss, and what a model's meta.json says of them. network: vgg16, vgg19 or none."""
    if network == "none":
        return None, {"network": "none"}
    arrays, record = weights.read(folder, network)
    return VggFeatures(arrays, layers), {"network": network, "layers": list(layers), **record}


class _L1(torch.autograd.Function):
    """``F.l1_loss`` in float32 with one gradient, in the type and memory format of `ours`; PyTorch's own makes four, in another format."""

    @staticmethod
    def forward(ctx: Any, ours: Tensor, theirs: Tensor) -> Tensor:
        difference = ours.float() - theirs.float()
        ctx.save_for_backward(difference.sign().to(ours.dtype))
        return difference.abs_().mean()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (sign,) = ctx.saved_tensors
        return sign * (gradients[0] / sign.numel()), None


def feature_matching(image: Tensor, painted: Tensor, features: VggFeatures | None) -> Tensor:
    """L1 between image and reconstruction and between their VGG activations, each over its number of elements (eq. 4).

    image, painted: (N, 1, P, P) in [0, 1]. Gradients flow to `painted` alone. Without features the image term is left.
    """
    loss: Tensor = _L1.apply(painted, image)
    if features is not None and features.taps:
        with torch.no_grad():
            wanted = features(image)
        for ours, theirs in zip(features(painted), wanted, strict=True):
            loss = loss + _L1.apply(ours, theirs)
    return loss
