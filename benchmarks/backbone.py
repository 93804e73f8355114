"""The detector of the CBIS-DDSM profile: a training step and an image with and without our depthwise convolutions and fixed statistics.

    python -m benchmarks.backbone

EfficientNet-Lite0 at 400 x 176 px (the usual width of these films), batch 4, runtime.precision auto, random weights; `plain` is
PyTorch's convolution and a batch normalisation of its own. They take turns.
"""

import argparse
from collections.abc import Callable
from typing import Any

from benchmarks import detectors
from benchmarks.machine import convolution, flops, ratio, take_turns


def plain(action: Callable[[], Any]) -> Callable[[], Any]:
    """The action with the convolutions and the normalisation of PyTorch."""
    from torch import nn
    from torch.nn.functional import conv2d

    from pipeline.detection import backbones

    def grouped(maps: Any, kernels: Any, offsets: Any, dilation: int) -> Any:
        return conv2d(maps, kernels, offsets, padding=dilation * (kernels.shape[-1] // 2), dilation=dilation, groups=len(kernels))

    def call() -> None:
        kept = backbones.depthwise, backbones.Unit.forward  # type: ignore[attr-defined]
        backbones.depthwise, backbones.Unit.forward = grouped, nn.Sequential.forward  # type: ignore[assignment, attr-defined, method-assign]
        try:
            action()
        finally:
            backbones.depthwise, backbones.Unit.forward = kept  # type: ignore[attr-defined, method-assign]

    return call


def section(rounds: int) -> list[str]:
    """Markdown."""
    import statistics
    from pathlib import Path

    import torch

    from pipeline.params import load
    from pipeline.training.precision import resolved

    precision = resolved("auto")
    args = argparse.Namespace(size=(400, 176), batch=4, precision=precision)
    changes = {"backbone": "efficientnet_lite0", "stride": 16, "anchors": [12, 20, 32, 52]}
    step, look = detectors.actions(load(Path("params.yaml")).detector.model_copy(update=changes), args, "cpu")
    lines = [f"In {precision}.", ""]
    lines += ["| what | ours, ms | plain, ms | ratio | GFLOP | GFLOP/s | of the convolution |", "|---|---|---|---|---|---|---|"]
    peak = convolution(torch.bfloat16 if precision == "bf16" else torch.float32)
    image = flops(plain(look)) / 1e9  # what the network asks for, not what our kernels do instead
    # a step: forward once and two gradients, of every image (PyTorch's counter knows no groups in the gradients)
    for name, action, passes in (("training step", step, 3 * args.batch), ("image", look, 1)):
        found = take_turns({"ours": action, "plain": plain(action)}, rounds, 3)
        middle = {key: statistics.median(values) for key, values in found.items()}
        speed = passes * image / middle["ours"]
        lines.append(
            f"| {name} | {1000 * middle['ours']:.0f} | {1000 * middle['plain']:.0f} | {ratio(found['ours'], found['plain'])} "
            f"| {passes * image:.2f} | {speed:.0f} | {speed / peak:.0%} |"
        )
    return lines


def main() -> None:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--rounds", type=int, default=12, help="rounds that count (default: 12)")
    args = made.parse_args()
    from pipeline.training.engine import _prepare

    _prepare(0, 1)
    print("\n".join(section(args.rounds)))


if __name__ == "__main__":
    main()
