"""The adversarial step shared by both GANs, as a model that `pipeline.training.engine.fit` trains."""

from typing import Any

import torch
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapperDict
from torch import Tensor, nn

from pipeline.gan.losses import ADVERSARIAL
from pipeline.training import parallel


class Gan(BaseModel):
    """A generator and a discriminator, updated in turn: first the discriminator, then the generator it has just judged.

    Subclasses say what is drawn (`paint`), how it is judged (`judge`) and the generator's losses (`wanted`).
    loss: a key of `losses.ADVERSARIAL`.
    """

    def __init__(self, generator: nn.Module, discriminator: nn.Module, loss: str = "bce") -> None:
        super().__init__()
        self.generator, self.discriminator, self.adversarial = generator, discriminator, ADVERSARIAL[loss]

    def paint(self, data: Any) -> Tensor:
        """The generated images of a batch."""
        raise NotImplementedError

    def seen(self, data: Any, painted: Tensor) -> Tensor:
        """What the discriminator sees of generated images."""
        return painted

    def judge(self, data: Any, image: Tensor) -> Any:
        """Logits of images, given the batch."""
        raise NotImplementedError

    def real(self, data: Any) -> Tensor:
        """The real images of a batch."""
        raise NotImplementedError

    def wanted(self, data: Any, painted: Tensor, logits: Tensor) -> dict[str, Tensor]:
        """The generator's losses, which are summed."""
        raise NotImplementedError

    def forward(self, inputs: Any, data_samples: Any = None, mode: str = "tensor") -> Any:
        return self.generator(inputs)

    def train_step(self, data: Any, optim_wrapper: OptimWrapperDict) -> dict[str, Tensor]:
        data = self.data_preprocessor(data)
        generator, discriminator = optim_wrapper["generator"], optim_wrapper["discriminator"]
        with generator.optim_context(self):
            painted = self.paint(data)
            seen = self.seen(data, painted)
        self.discriminator.requires_grad_(True)
        with discriminator.optim_context(self):
            real = self.judge(data, self.real(data))
            judged = parallel.weighted(self.adversarial.discriminator(real, self.judge(data, seen.detach())), len(real))
        discriminator.update_params(judged)
        self.discriminator.requires_grad_(False)  # the generator's loss must not leave gradients there
        with generator.optim_context(self):
            losses = self.wanted(data, painted, self.judge(data, seen))
        generator.update_params(torch.stack(list(losses.values())).sum())
        return {"discriminator": judged.detach(), **{name: loss.detach() for name, loss in losses.items()}}


def adam(lr: float, betas: tuple[float, float]) -> Any:
    """Optimizers of a Gan for `fit`: one Adam each."""

    def build(model: Any) -> dict[str, torch.optim.Optimizer]:
        parts = {"generator": model.generator, "discriminator": model.discriminator}
        return {name: torch.optim.Adam(part.parameters(), lr=lr, betas=betas, fused=True) for name, part in parts.items()}

    return build
