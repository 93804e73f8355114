"""Train a GAN like that of `train_infill`, on patches of healthy tissue with the masks of real masses.

Reads data/prepared and data/weights, writes models/sham. It fills holes with healthy tissue: for the control pool `sham`
and for hosts whose masses are painted over. Where neither is wanted (study.controls, synth.hosts) nothing is trained, and
the folder says so.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cli import stage_main

if TYPE_CHECKING:
    from pipeline.params import Params

OUT = Path("models/sham")


def run(args: argparse.Namespace, params: "Params") -> None:
    if not params.needs_healthy_generator:
        from pipeline.io import write_json

        write_json(OUT / "meta.json", {"trained": False})
        return
    from pipeline.gan import infill, patches
    from pipeline.synthesis import healthy
    from pipeline.synthesis.sources import Sources

    prepared, synth = Path("data/prepared"), params.synth
    side = patches.read(prepared / "patches", ["train"]).patch_px
    sources = Sources(prepared / "train", prepared / "patches", params.seed)
    tissue = healthy.patches(sources, synth.hosts, synth.sizes, synth.position, side)
    infill.train(tissue, Path("data/weights"), OUT, params.gen, params.weights.perceptual, params.runtime, params.seed, stage="train_sham")


if __name__ == "__main__":
    stage_main(run, __doc__)
