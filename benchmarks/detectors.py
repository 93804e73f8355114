"""Light-Head R-CNN against MMDetection's Faster R-CNN, on C4 and on a feature pyramid: time of a step, of an image, and what they find.

    python -m benchmarks.detectors
    python -m benchmarks.detectors --size 256 160 --width 32 --stride 8 --train light_head:600 faster_rcnn_fpn:600 light_head:1800

All three have the same backbone, input, batch, precision, proposals and sampled regions (docs/detector.md). They take turns
within every round, so that a machine that slows down slows all of them; a ratio is the median over the rounds of the ratios
within a round. With --train each is also trained on the phantom of params.yaml, as many steps as it says, and looks for the
masses of new phantom patients (benchmarks/tuning.py; a second start goes on; run it in a clone of its own).
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.machine import flops

ARCHS = ("light_head", "faster_rcnn_c4", "faster_rcnn_fpn")


def changes(args: argparse.Namespace) -> dict[str, Any]:
    """What all detectors have in common, as an overlay on `detector` of params.yaml."""
    return {
        "backbone": "resnet", "depth": args.depth, "width": args.width, "stride": args.stride, "batch": args.batch, "init": "none",
        "proposals": [args.rois, args.rois], "ohem": False, "schedule": "iterations",
    }  # fmt: skip


def settings(args: argparse.Namespace) -> dict[str, Any]:
    """Detectors that differ in their architecture alone, from the detector of params.yaml."""
    from pipeline.params import load

    base = load(Path("params.yaml")).detector
    return {arch: base.model_copy(update={**changes(args), "arch": arch}) for arch in ARCHS}


def batch_of(args: argparse.Namespace, device: str) -> dict[str, Any]:
    """Random images with one box each, as the training gets them."""
    import torch
    from mmdet.structures import DetDataSample
    from mmengine.structures import InstanceData

    height, width = args.size
    torch.manual_seed(0)
    samples = []
    for _ in range(args.batch):
        side = height * (0.05 + 0.05 * float(torch.rand(())))
        corner = torch.rand(2) * torch.tensor([width - side, height - side])
        sample = DetDataSample(metainfo={"img_shape": (height, width), "ori_shape": (height, width), "scale_factor": (1.0, 1.0)})
        sample.gt_instances = InstanceData(bboxes=torch.cat([corner, corner + side])[None], labels=torch.zeros(1, dtype=torch.long))
        sample.ignored_instances = InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long))
        samples.append(sample.to(device))
    return {"inputs": [torch.rand(1, height, width).expand(3, -1, -1) for _ in samples], "data_samples": samples}


def actions(detector: Any, args: argparse.Namespace, device: str) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """One training step of a batch, and detection in one image, of a new detector."""
    import torch

    from pipeline.detection import arches, config
    from pipeline.training.engine import PRECISIONS

    torch.manual_seed(1)
    model = config.build(arches.model(detector))
    model.init_weights()
    model = model.to(device, memory_format=torch.channels_last)
    wrapper = PRECISIONS[args.precision](torch.optim.AdamW(model.parameters(), lr=1e-4), clip_grad={"max_norm": 10.0})
    data = batch_of(args, device)

    def step() -> None:
        model.train()
        model.train_step({**data}, wrapper)

    def look() -> None:
        model.eval()
        one = {"inputs": data["inputs"][:1], "data_samples": data["data_samples"][:1]}
        with torch.no_grad(), torch.autocast(device, torch.bfloat16, enabled=args.precision == "bf16"):
            model.test_step(one)

    return step, look


def timed(action: Callable[[], Any], device: str) -> float:
    import torch

    start = time.perf_counter()
    action()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


Actions = dict[str, tuple[Callable[[], Any], Callable[[], Any]]]


def measure(made: Actions, args: argparse.Namespace, device: str) -> dict[str, tuple[list[float], list[float]]]:
    """Seconds of each round: of a step and of an image."""
    found: dict[str, tuple[list[float], list[float]]] = {arch: ([], []) for arch in made}
    for number in range(args.warm + args.rounds):
        for arch, pair in made.items():
            seconds = [timed(action, device) for action in pair]
            if number >= args.warm:
                for column, value in zip(found[arch], seconds, strict=True):
                    column.append(value)
    return found


def training(text: str) -> tuple[str, int]:
    """ARCH:STEPS of --train."""
    arch, _, steps = text.partition(":")
    if arch not in ARCHS or not steps.isdigit() or int(steps) < 1:
        raise argparse.ArgumentTypeError(f"{text} is no ARCH:STEPS; architectures are {', '.join(ARCHS)}")
    return arch, int(steps)


def found_by(args: argparse.Namespace) -> str:
    """A table of what the detectors of --train find in new phantom patients; the first one is the reference."""
    from benchmarks import phantom_detector, tuning
    from pipeline import coco
    from pipeline.params import load

    params, new = load(Path("params.yaml")), args.work / "new"
    if not (new / "annotations.json").is_file():
        size = params.phantom.model_copy(update={"n_patients": args.patients, "n_normal_patients": args.patients * 2 // 5})
        coco.write(new / "annotations.json", phantom_detector.new_patients(params, size, phantom_detector.SEED, new))
    common = {"threads": args.threads, "precision": args.precision}
    arms = [
        tuning.Arm(f"{arch}, {steps} steps", {"runtime": common, "detector": {**changes(args), "arch": arch, "iterations": steps}})
        for arch, steps in args.train
    ]
    made, known = tuning.trained(arms, ["real"], args.seeds, args.work, args.jobs, new / "annotations.json")
    result = tuning.compared(made, known, params)
    return f"{result['n_lesions']} masses of new phantom patients, {params.evaluate.hit}\n\n{tuning.table(result)}"


def rows(found: dict[str, tuple[list[float], list[float]]], operations: dict[str, tuple[float, float]]) -> list[str]:
    """A Markdown table; ratios are to Light-Head. operations: of convolutions and matrix products, in GFLOP."""
    lines = ["| detector | step, ms | ratio | GFLOP | GFLOP/s | image, ms | ratio | GFLOP | GFLOP/s |", f"|{'---|' * 9}"]
    first = found[ARCHS[0]]
    for arch, columns in found.items():
        cells = []
        for column, reference, done in zip(columns, first, operations[arch], strict=True):
            ratios = [a / b for a, b in zip(column, reference, strict=True)]
            quarters = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else [ratios[0]] * 3
            middle = statistics.median(column)
            cells += [f"{1000 * middle:.0f}", f"{quarters[1]:.2f} ({quarters[0]:.2f} to {quarters[2]:.2f})"]
            cells += [f"{done:.1f}", f"{done / middle:.0f}"]
        lines.append(f"| {arch} | {' | '.join(cells)} |")
    return lines


def main() -> None:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--size", type=int, nargs=2, default=(400, 256), metavar=("H", "W"), help="input in px (default: 400 256)")
    made.add_argument("--depth", type=int, default=18, help="of the ResNet (default: 18)")
    made.add_argument("--width", type=int, default=64, help="of the ResNet (default: 64)")
    made.add_argument("--batch", type=int, default=4)
    made.add_argument("--rois", type=int, default=300, help="proposals an image, in training and detection (default: 300)")
    made.add_argument("--precision", choices=("auto", "bf16", "fp32"), default="auto", help="as runtime.precision (default: auto)")
    made.add_argument("--threads", type=int, default=1)
    made.add_argument("--rounds", type=int, default=20, help="rounds that count (default: 20)")
    made.add_argument("--warm", type=int, default=3, help="rounds before them (default: 3)")
    made.add_argument("--stride", type=int, choices=(8, 16), default=16, help="of Light-Head's and C4's map (default: 16)")
    made.add_argument("--train", type=training, nargs="+", metavar="ARCH:STEPS", help="also train these; the first is the reference")
    made.add_argument("--seeds", type=int, nargs="+", default=[0], help="trainings of each (default: 0)")
    made.add_argument("--patients", type=int, default=100, help="new phantom patients with a mass to look at (default: 100)")
    made.add_argument("--work", type=Path, default=Path("build/detectors"), help="folder of the trainings (default: build/detectors)")
    made.add_argument("--jobs", type=int, default=1, help="trainings at a time (default: 1)")
    made.add_argument("--json", type=Path, help="also write all measured seconds here")
    args = made.parse_args()
    import torch
    from mmengine.device import get_device

    from pipeline.training.engine import _prepare
    from pipeline.training.precision import resolved

    _prepare(0, args.threads)
    args.precision = resolved(args.precision)
    device = get_device()
    detectors = settings(args)
    acting = {arch: actions(detector, args, device) for arch, detector in detectors.items()}
    found = measure(acting, args, device)
    name = torch.cuda.get_device_name() if device == "cuda" else f"CPU, {args.threads} threads"
    print(
        f"{name}; ResNet-{args.depth}, width {args.width}; input {args.size[0]} x {args.size[1]} px, batch {args.batch}, {args.precision}, "
        f"{args.rois} proposals; medians of {args.rounds} interleaved rounds, quartiles of the ratios in brackets\n"
    )
    print("\n".join(rows(found, {arch: (flops(step) / 1e9, flops(look) / 1e9) for arch, (step, look) in acting.items()})))
    if args.json:
        args.json.write_text(json.dumps({arch: {"step": step, "image": image} for arch, (step, image) in found.items()}, indent=1))
    if args.train:
        print(f"\n{found_by(args)}")


if __name__ == "__main__":
    main()
