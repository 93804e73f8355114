"""Make the pool `gan`: masks from the DCGAN (or real ones or ellipses, synth.masks), infilled by the trained generator, inserted in hosts.

Writes data/pools/gan. Image i depends on (seed, i, the models) alone: a larger pool starts with the smaller one.
Writes models/sizes.json too: how large masses are, for `pipeline.synthesis.generate`.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cli import stage_main

if TYPE_CHECKING:
    from pipeline.params import Params
    from pipeline.synthesis.inserting import Infiller
    from pipeline.synthesis.laws import SizeLaw


def run(args: argparse.Namespace, params: "Params") -> None:
    from pipeline.gan import infill

    law = make("gan", infill.load(Path("models/infill")), params, params.synth.keep, params.synth.contrast)
    law.write(Path("models/sizes.json"))


def make(name: str, infiller: "Infiller", params: "Params", keep: float = 1.0, contrast: float = 1.0, labelled: bool = True) -> "SizeLaw":
    """Write the pool `name` with a trained generator; returns the law of its sizes."""
    import torch

    from pipeline.gan import masks
    from pipeline.synthesis import inserting
    from pipeline.synthesis.pool import write
    from pipeline.synthesis.sources import Sources

    torch.set_num_threads(params.runtime.threads)
    synth, prepared = params.synth, Path("data/prepared")
    sources = Sources(prepared / "train", prepared / "patches", params.seed, Path("data/hosts"))
    if synth.masks == "dcgan":
        draw = inserting.learned_masks(masks.load(Path("models/masks")), params.seed)
    else:
        draw = inserting.MASKS[synth.masks](sources)
    placer = sources.placer(synth.hosts, synth.sizes, synth.position)
    method = inserting.gan(sources, placer, infiller, draw, synth.blend, keep, labelled, contrast)
    write(name, method, getattr(params.pools, name).n, params.seed, Path("data/pools") / name)
    return placer.sizes


if __name__ == "__main__":
    stage_main(run, __doc__)
