"""A small diffusion model that paints masses, trained from scratch: the rival of the infilling GAN (optional: `pip install diffusers`).

What is denoised is not the patch but what a mass adds to the tissue that closes its hole smoothly (`layers.interpolated`), in
units of its spread in the training patches, and within the mask alone. So the tissue around comes out as it went in, and the
model need not learn tissue that it is given. It sees that closed tissue, the mask and the margin (the tri-label) beside the
noisy mass. What is sampled gets grain, as what a GAN paints does (`layers.grain`), but less of it.

Ho et al. 2020 (training), Song et al. 2021 (DDIM sampling), Salimans and Ho 2022 (v-prediction), Nichol and Dhariwal 2021
(cosine schedule).
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dist import is_main_process
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline import resume, version
from pipeline.errors import PipelineError
from pipeline.gan import infill, layers, models, patches
from pipeline.gan.snapshots import Shown, Snapshots
from pipeline.params import Diffusion, Gen, Runtime
from pipeline.preprocess.trilabel import tri_label
from pipeline.training import engine, parallel
from pipeline.training.precision import resolved

TIMES = 1000  # noise levels in training
SMALLEST = 8  # px of the coarsest feature maps
FACTORS = (1, 2, 2, 4, 4, 4, 4)  # channels of the resolutions, from the finest, in units of the width
LARGEST = 4.0  # of what is denoised, in its standard deviations: beyond it a sample is cut while it forms
CLIP = 1.0  # largest norm of the gradients
GROUPS = 8  # of channels that are normalised together; widths are multiples of it
# As of the block `gen`. Grain: a short training leaves the finest structure too faint (docs/results/synthesis/trials.md).
FIXED: dict[str, Any] = {"labels": "tri", "noise": "mask", "grain": 0.3}


def library() -> Any:
    """The package diffusers. Raises PipelineError with the remedy where it is missing."""
    try:
        import diffusers
    except ImportError:
        raise PipelineError("the pool diffusion needs diffusers: `.venv/bin/pip install diffusers`, beside requirements.lock") from None
    return diffusers


class Inpainter(nn.Module):
    """Paints by denoising: in the place of a generator of the GANs, condition (N, 3, P, P) in, image (N, 1, P, P) out.

    The uniform noise that the condition holds in the hole, as normal noise, is where the sample begins; no other is drawn (DDIM with
    eta 0). steps: denoising steps of a sample. spread: standard deviation of what real masses add to the closed tissue.
    """

    def __init__(self, patch_px: int, width: int, prediction: str, steps: int, spread: float) -> None:
        super().__init__()
        diffusers = library()
        depth = (patch_px // SMALLEST).bit_length()
        self.steps, self.spread = steps, spread
        self.unet = diffusers.UNet2DModel(
            sample_size=patch_px,
            in_channels=4,
            out_channels=1,
            block_out_channels=tuple(width * factor for factor in FACTORS[:depth]),
            down_block_types=("DownBlock2D",) * depth,
            up_block_types=("UpBlock2D",) * depth,
            layers_per_block=1,
            norm_num_groups=GROUPS,
            attention_head_dim=width,
        )
        self.noising = diffusers.DDIMScheduler(
            TIMES,
            beta_schedule="squaredcos_cap_v2",
            prediction_type={"epsilon": "epsilon", "v": "v_prediction"}[prediction],
            timestep_spacing="trailing",
            clip_sample=True,
            clip_sample_range=LARGEST,
        )

    def predict(self, noisy: Tensor, shown: Tensor, times: Tensor) -> Tensor:
        """(N, 1, P, P): noise or velocity of noisy masses (N, 1, P, P) at times (N,). shown: of `closed`."""
        found: Tensor = self.unet(torch.cat([noisy, shown], 1), times).sample
        return found

    def forward(self, condition: Tensor) -> Tensor:
        shown, hole = closed(condition)
        self.noising.set_timesteps(self.steps, device=condition.device)
        mass = torch.special.ndtri(condition[:, :1].clamp(1e-6, 1 - 1e-6)) * hole
        for time in self.noising.timesteps:
            predicted = self.predict(mass, shown, time.expand(len(mass)))
            mass = self.noising.step(predicted.float(), time, mass).prev_sample * hole
        return (shown[:, :1] + 1) / 2 + self.spread * mass


def closed(condition: Tensor) -> tuple[Tensor, Tensor]:
    """Of conditions (N, 3, P, P): the same, centred, with the hole closed; and the hole (N, 1, P, P) in {0, 1}."""
    centred = layers.centred(condition)
    hole = layers.hole(centred, margin=False)
    return layers.interpolated(centred, hole), hole


def spread(real: patches.Patches, margin: float) -> float:
    """Standard deviation, about 0, of what the masses of patches add to the tissue that closes their holes."""
    blank = np.zeros_like(real.images)
    shown, hole = closed(torch.from_numpy(tri_label(real.images, real.masks, blank, margin_scale=margin)))
    added = (torch.from_numpy(real.images)[:, None] - (shown[:, :1] + 1) / 2) * hole
    return float((added.double().square().sum() / hole.double().sum()).sqrt())


class Denoiser(BaseModel):
    """Trains an Inpainter: mean squared error of its prediction within the mask. `generator`, as hooks and sheets know it."""

    def __init__(self, generator: Inpainter) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, inputs: Any, data_samples: Any = None, mode: str = "tensor") -> Any:
        return self.generator(inputs)

    def train_step(self, data: Any, optim_wrapper: OptimWrapper) -> dict[str, Tensor]:
        data = self.data_preprocessor(data)
        net, image = self.generator, data["image"]
        shown, hole = closed(data["condition"])
        mass = (image - (shown[:, :1] + 1) / 2) / net.spread * hole
        whole = len(mass) * parallel.processes()
        times = parallel.mine(torch.randint(TIMES, (whole,), device=image.device))
        noise = parallel.mine(torch.randn(whole, *mass.shape[1:], device=image.device)) * hole
        wanted = noise if net.noising.config.prediction_type == "epsilon" else net.noising.get_velocity(mass, noise, times)
        with optim_wrapper.optim_context(self):
            predicted = net.predict(net.noising.add_noise(mass, noise, times), shown, times)
        pixels = hole.sum()
        loss = parallel.weighted(((predicted.float() - wanted).square() * hole).sum() / pixels, int(pixels))
        optim_wrapper.update_params(loss)
        return {"denoising": loss.detach()}


def train(
    real: patches.Patches, target: Path, gen: Gen, diffusion: Diffusion, runtime: Runtime, seed: int, state: Path = resume.ROOT
) -> None:
    """Train the diffusion model on patches and write the folder `target`, as of an infilling GAN less its discriminator.

    gen: gives the margin. An interrupted training goes on from its last checkpoint below `state`. Raises PipelineError where
    diffusers is missing, a loss is not finite, or the same mass is painted everywhere.
    """
    library()
    gen = gen.model_copy(update=FIXED)
    made: dict[str, Any] = {"width": diffusion.width, "prediction": diffusion.prediction, "steps": diffusion.steps}
    meta = {
        **gen.model_dump(include={"labels", "margin", "noise", "grain"}),
        "arch": "diffusion",
        **made,
        "spread": spread(real, gen.margin / 256),
        "patch_px": real.patch_px,
        "patients": sorted({*real.patients, *real.donors}),
        "iterations": diffusion.iterations,
        "precision": resolved(runtime.precision),
        "seed": seed,
    }
    key = resume.fingerprint([meta, diffusion.model_dump(), runtime.model_dump(), real.digest()], [*models.CODE, Path(__file__)])
    folder = resume.folder("train_diffusion", key, state)
    shown = Shown(real, gen, seed, infill.finishing(gen.noise, gen.grain))
    model = engine.fit(
        lambda: Denoiser(Inpainter(real.patch_px, **made, spread=meta["spread"])),
        lambda model: torch.optim.AdamW(model.parameters(), lr=diffusion.lr),
        patches.InfillSamples(real, seed, gen.labels, gen.margin / 256, gen.noise),
        what="diffusion model",
        state=folder,
        iterations=diffusion.iterations,
        batch=diffusion.batch,
        seed=seed,
        threads=runtime.threads,
        precision=runtime.precision,
        workers=runtime.workers,
        clip_grad=CLIP,
        average=diffusion.ema,
        custom_hooks=[Snapshots(shown, folder)],
    )
    if not is_main_process():
        return
    meta["variety"] = infill.checked_variety(Painter(model.generator, meta), real, seed, folder / "losses.csv")
    models.write(target, model.generator, meta, folder / "losses.csv", shown.sheet(model.generator, folder))
    resume.done(folder)


def load(folder: Path) -> "Painter":
    """The diffusion model of `folder`, as written by `train`."""
    meta = models.read_meta(folder)
    with version.reading(folder / "meta.json", meta):
        network = Inpainter(meta["patch_px"], meta["width"], meta["prediction"], meta["steps"], meta["spread"])
    return Painter(models.read_weights(folder, network), meta)


class Painter(infill.Infiller):
    """Paints masses as an Infiller does, with a trained diffusion model, which has no discriminator."""

    def __init__(self, network: nn.Module, meta: dict[str, Any]) -> None:
        super().__init__(network, meta, nn.Identity())

    def judge(
        self, tissue: NDArray[np.float32], masks: NDArray[np.bool_], noise: NDArray[np.float32], painted: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        raise PipelineError("a diffusion model has no discriminator that could choose; all of its masses are kept (keep 1)")
