"""Make one pool that needs no generator, in data/pools/NAME.

  fresh        the phantom's simulator draws the mass into the host (phantom only): the oracle
  copy_paste   a real training mass with its own mask, pasted into a host of another patient
  poisson      the same, Poisson-blended
  blob         a smooth bright ellipse of a real mass's contrast
  hosts        the same hosts, untouched, no label

Image i depends on (seed, i) alone, and has the same host, centre and patch size as image i of the pool `gan`.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cli import stage_main

if TYPE_CHECKING:
    from pipeline.params import Params


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="which pool")


def run(args: argparse.Namespace, params: "Params") -> None:
    from pipeline.errors import PipelineError
    from pipeline.synthesis import fresh, inserting
    from pipeline.synthesis.pool import write
    from pipeline.synthesis.sources import Sources

    synth, prepared = params.synth, Path("data/prepared")
    sources = Sources(prepared / "train", prepared / "patches", params.seed, Path("data/hosts"))
    placer = sources.placer(synth.hosts, synth.sizes, synth.position)
    methods = {
        "fresh": lambda: fresh.fresh(placer, params.phantom, params.seed),
        "copy_paste": lambda: inserting.copy_paste(sources, placer),
        "poisson": lambda: inserting.copy_paste(sources, placer, "poisson"),
        "blob": lambda: inserting.blob(sources, placer),
        "hosts": lambda: inserting.hosts(placer),
    }
    if args.name not in methods:
        raise PipelineError(f"no pool {args.name} is built here; pools are {', '.join(methods)}")
    write(args.name, methods[args.name](), getattr(params.pools, args.name).n, params.seed, Path("data/pools") / args.name)


if __name__ == "__main__":
    stage_main(run, __doc__, arguments)
