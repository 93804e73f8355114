"""Make one pool of training mammograms: images, COCO annotations and a manifest in data/pools/NAME.

  traditional  real training images rotated, flipped, scaled
  gan          masks from the DCGAN (or real ones), infilled by the trained generator, inserted in hosts
  fresh        the phantom's simulator draws the mass into the host (phantom only): the oracle
  copy_paste   a real training mass with its own mask, pasted into a host of another patient
  hosts        the same hosts, untouched

Image i depends on (seed, i, the models) alone: a larger pool starts with the smaller one.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cli import stage_main

if TYPE_CHECKING:
    from pipeline.params import Params
    from pipeline.synthesis.placement import Placer
    from pipeline.synthesis.pool import Method
    from pipeline.synthesis.sources import Sources

PREPARED, MODELS, OUT = Path("data/prepared"), Path("models"), Path("data/pools")
NAMES = ("traditional", "gan", "fresh", "copy_paste", "hosts")


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", choices=NAMES, help="which pool")


def run(args: argparse.Namespace, params: "Params") -> None:
    from pipeline.synthesis.pool import write

    write(args.name, method(args.name, params), getattr(params.pools, args.name).n, params.seed, OUT / args.name)


def method(name: str, params: "Params") -> "Method":
    """The pool's method from the params and the outs of the stages before it."""
    from pipeline.synthesis import inserting
    from pipeline.synthesis.sources import Sources

    if name == "traditional":
        from pipeline.synthesis.traditional import traditional

        return traditional(PREPARED / "train", params.seed)
    sources = Sources(PREPARED / "train", PREPARED / "patches", params.seed)
    placer = sources.placer(params.synth.hosts, params.synth.sizes, params.synth.position)
    if name == "gan":
        return _gan(sources, placer, params)
    if name == "fresh":
        from pipeline.synthesis.fresh import fresh

        return fresh(placer, params.phantom, params.seed)
    return inserting.copy_paste(sources, placer) if name == "copy_paste" else inserting.hosts(placer)


def _gan(sources: "Sources", placer: "Placer", params: "Params") -> "Method":
    import torch

    from pipeline.gan import infill, masks
    from pipeline.io import sha256
    from pipeline.synthesis import inserting

    torch.set_num_threads(params.runtime.threads)
    infiller = infill.load(MODELS / "infill")
    learned = {*infiller.meta["patients"]}
    manifest = {"infill": sha256(MODELS / "infill/model.pth"), "synth": params.synth.model_dump()}
    draw = inserting.real_masks(sources)
    if params.synth.masks == "dcgan":
        sampler = masks.load(MODELS / "masks")
        learned |= {*sampler.meta["patients"]}
        manifest["masks"] = sha256(MODELS / "masks/model.pth")

        def draw(item: int, attempt: int):  # type: ignore[no-untyped-def]
            return sampler.sample(params.seed, item, attempt)

    return inserting.gan(sources, placer, infiller, draw, params.synth.blend, {**manifest, "learned_from": sorted(learned)})


if __name__ == "__main__":
    stage_main(run, __doc__, arguments)
