"""Make the pool `gan`: masks from the DCGAN (or real ones or ellipses, synth.masks), infilled by the trained generator, inserted in hosts.

Writes data/pools/gan. Image i depends on (seed, i, the models) alone: a larger pool starts with the smaller one.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cli import stage_main

if TYPE_CHECKING:
    from pipeline.params import Params


def run(args: argparse.Namespace, params: "Params") -> None:
    import torch

    from pipeline.gan import infill, masks
    from pipeline.synthesis import inserting
    from pipeline.synthesis.pool import write
    from pipeline.synthesis.sources import Sources

    torch.set_num_threads(params.runtime.threads)
    synth, prepared = params.synth, Path("data/prepared")
    sources = Sources(prepared / "train", prepared / "patches", params.seed)
    infiller = infill.load(Path("models/infill"))
    if synth.masks == "dcgan":
        draw = inserting.learned_masks(masks.load(Path("models/masks")), params.seed)
    else:
        draw = inserting.MASKS[synth.masks](sources)
    method = inserting.gan(sources, sources.placer(synth.hosts, synth.sizes, synth.position), infiller, draw, synth.blend)
    write("gan", method, params.pools.gan.n, params.seed, Path("data/pools/gan"))


if __name__ == "__main__":
    stage_main(run, __doc__)
