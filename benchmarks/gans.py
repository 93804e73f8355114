"""Training steps of both GANs, as they are and with one of their means to be quick taken away.

    python -m benchmarks.gans

Patches are random, of the size and with the networks of params.yaml; the perceptual network has random weights of VGG-16's shape.
All variants take turns. `plain` is what one writes first: eager fp32 in PyTorch's own memory format, its L1 loss, Adam unfused.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from benchmarks.machine import best, flops, limits, ratio, take_turns


@dataclass(frozen=True)
class Means:
    """What a step uses. seen: VGG's activations of the real patches are kept from step to step."""

    precision: Literal["auto", "bf16", "fp32"] = "auto"
    channels_last: bool = True
    fused: bool = True
    own_l1: bool = True
    compiled: bool = False
    seen: bool = False


PLAIN = Means("fp32", False, False, False)
VARIANTS = {
    "default": Means(),
    "plain": PLAIN,
    "without bf16": Means(precision="fp32"),
    "without channels-last": Means(channels_last=False),
    "without fused Adam": Means(fused=False),
    "without our L1": Means(own_l1=False),
    "with activations of real patches kept": Means(seen=True),
}
COMPILED = {"with torch.compile": Means(compiled=True)}


def step_of(kind: str, means: Means) -> Callable[[], Any]:
    """One training step of a new GAN; kind: infill or masks. The batches, four of them, are made beforehand."""
    import torch
    from torch.utils.data import default_collate

    from pipeline.params import load
    from pipeline.training import engine, hooks

    params = load(Path("params.yaml"))
    hooks.seed_all(1, kind)
    model, samples, batch = (_infill if kind == "infill" else _masks)(params, means)
    model = model.to(memory_format=torch.channels_last if means.channels_last else torch.contiguous_format).train()
    parts = {"generator": model.generator, "discriminator": model.discriminator}
    optimizers = {name: torch.optim.Adam(part.parameters(), lr=2e-4, betas=(0.5, 0.999), fused=means.fused) for name, part in parts.items()}
    wrapper = engine._wrapped(optimizers, means.precision, None)
    if means.compiled:
        model.generator.compile()
        model.discriminator.compile()
    data = [default_collate([samples[k % len(samples), k] for k in range(i * batch, (i + 1) * batch)]) for i in range(4)]
    count = iter(range(10**9))

    def step() -> None:
        with _l1(means.own_l1):
            model.train_step(data[next(count) % 4], wrapper)

    return step


def _patches(side: int) -> Any:
    from pipeline.gan.patches import Patches

    rng = np.random.default_rng(0)
    y, x = np.mgrid[:side, :side] - side / 2
    masks = np.stack([x**2 + y**2 < rng.uniform(side / 8, side / 3) ** 2 for _ in range(40)])
    names = [str(item) for item in range(len(masks))]
    return Patches(rng.random(masks.shape, np.float32), masks, names, names)


def _infill(params: Any, means: Means) -> tuple[Any, Any, int]:
    from pipeline.gan import infill, losses, patches
    from pipeline.preprocess.trilabel import CHANNELS
    from pipeline.weights import layers

    gen, side = params.gen, params.preprocess.patch_px
    rng = np.random.default_rng(0)
    scale = {name: (2 / np.prod(shape[1:])) ** 0.5 if len(shape) > 1 else 0.0 for name, shape in layers("vgg16").items()}
    arrays = {name: (scale[name] * rng.normal(size=shape)).astype(np.float32) for name, shape in layers("vgg16").items()}
    features: Any = losses.VggFeatures(arrays, gen.train.perceptual_layers)
    if means.seen:
        features = _Seen(features)
    network = infill.build(gen.arch, gen.labels, side, getattr(gen, gen.arch).width, gen.noise)
    finish = infill.finishing(gen.noise, gen.grain)
    model = infill.InfillGan(network, CHANNELS[gen.labels], side, features, gen.train, gen.loss, finish)
    return model, patches.InfillSamples(_patches(side), 1, gen.labels, gen.margin / 256, gen.noise), gen.train.batch


def _masks(params: Any, means: Means) -> tuple[Any, Any, int]:
    from pipeline.gan import masks, patches

    side = params.preprocess.patch_px
    return (
        masks.MaskGan(side, params.masks.z_dim, params.masks.width),
        patches.MaskSamples(_patches(side), 1, params.masks.edge),
        params.masks.batch,
    )


class _Seen:
    """The perceptual network with its answers about real patches kept, as if they came again unchanged."""

    def __init__(self, features: Any) -> None:
        self.features, self.taps = features, features.taps
        self.kept: dict[int, Any] = {}

    def to(self, device: Any) -> "_Seen":
        return self

    def __call__(self, image: Any) -> Any:
        if image.requires_grad:
            return self.features(image)
        if id(image) not in self.kept:
            self.kept[id(image)] = self.features(image)
        return self.kept[id(image)]


class _l1:  # noqa: N801 (used like a function)
    """Within it the feature matching is ours, or PyTorch's."""

    def __init__(self, own: bool) -> None:
        self.own = own

    def __enter__(self) -> None:
        import torch.nn.functional as F

        from pipeline.gan import losses

        self.kept = losses._L1.apply
        if not self.own:
            losses._L1.apply = lambda ours, theirs: F.l1_loss(ours.float(), theirs.float())

    def __exit__(self, *_: Any) -> None:
        from pipeline.gan import losses

        losses._L1.apply = self.kept


def section(kind: str, rounds: int, compiled: bool, peak: float) -> list[str]:
    """Markdown table of one GAN. peak: GFLOP/s of the machine in the precision of `default`."""
    import torch

    from pipeline.training.precision import resolved

    variants = {
        name: means for name, means in {**VARIANTS, **(COMPILED if compiled else {})}.items() if kind == "infill" or "L1" not in name
    }
    if kind == "masks":
        variants = {name: replace(means, own_l1=True) for name, means in variants.items() if not means.seen}
    precision = resolved("auto")
    if precision == "fp32":
        del variants["without bf16"]  # as the default
    steps = {name: step_of(kind, means) for name, means in variants.items()}
    done = flops(steps["default"])
    begun = time.perf_counter()
    if "with torch.compile" in steps:
        steps["with torch.compile"]()
    waited = time.perf_counter() - begun
    found = take_turns(steps, rounds, 4)
    middle = {name: float(np.median(values)) for name, values in found.items()}
    lines = ["| variant | step, ms | of plain |", "|---|---|---|"]
    lines += [f"| {name} | {1000 * middle[name]:.0f} | {ratio(values, found['plain'])} |" for name, values in found.items()]
    reached = done / middle["default"] / 1e9
    lines += [
        "",
        f"A step is {done / 1e9:.1f} GFLOP: {reached:.0f} GFLOP/s in {precision}, {reached / peak:.0%} of the convolution above. ",
    ]
    lines[-1] += f"Reading the samples of a step takes {samples_share(kind, middle['default']):.0%} of it. "
    if "with torch.compile" in steps:
        lines[-1] += f"Compiling took {waited:.0f} s at first. "
    lines[-1] += f"{torch.get_num_threads()} thread."
    return lines


def samples_share(kind: str, step_seconds: float) -> float:
    """CPU time of making the samples of a batch, as a share of a step."""
    from torch.utils.data import default_collate

    from pipeline.params import load

    _, samples, batch = (_infill if kind == "infill" else _masks)(load(Path("params.yaml")), Means())
    return best(lambda: default_collate([samples[k % len(samples), k] for k in range(batch)])) / step_seconds


def main() -> None:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--rounds", type=int, default=20, help="rounds that count (default: 20)")
    made.add_argument("--compile", action="store_true", help="torch.compile too, which takes a minute or two at first")
    args = made.parse_args()
    from pipeline.training.engine import _prepare
    from pipeline.training.precision import resolved

    _prepare(0, 1)
    peak = limits()[resolved("auto")]
    for kind in ("infill", "masks"):
        print(f"\n{kind}\n\n" + "\n".join(section(kind, args.rounds, args.compile, peak)))


if __name__ == "__main__":
    main()
