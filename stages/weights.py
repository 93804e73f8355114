"""Fetch the ImageNet weights of AlexNet (LPIPS), of the perceptual loss and, where detector.init is imagenet, of
detector.backbone (ResNets aside, which training fetches from torchvision); verified by hash, cached in .cache/weights.

Writes data/weights and data/backbone. The network is needed for the first run alone. weights.file is read now and not watched by DVC:
after replacing it run `dvc repro -f weights`.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cli import stage_main

if TYPE_CHECKING:
    from pipeline.params import Params


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, default=Path("data/weights"), help="folder to write (default: data/weights)")
    parser.add_argument("--backbone", type=Path, default=Path("data/backbone"), help="of a detector's backbone (default: data/backbone)")


def run(args: argparse.Namespace, params: "Params") -> None:
    from pipeline.weights import write, write_backbone

    file = params.weights.file
    backbone = params.detector.backbone if params.detector.init == "imagenet" else None
    write(args.out, params.weights.perceptual, Path(file) if file else None)
    write_backbone(args.backbone, backbone)


if __name__ == "__main__":
    stage_main(run, __doc__, arguments)
