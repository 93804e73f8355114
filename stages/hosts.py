"""Make hosts of training mammograms with masses: a generator of healthy tissue paints the masses over.

Reads data/prepared and models/sham, writes data/hosts. Where synth.hosts is not `inpainted`, the hosts are training
mammograms as they are, and the folder says so.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cli import stage_main

if TYPE_CHECKING:
    from pipeline.params import Params

OUT = Path("data/hosts")


def run(args: argparse.Namespace, params: "Params") -> None:
    if params.synth.hosts != "inpainted":
        from pipeline.io import write_json

        write_json(OUT / "manifest.json", {"hosts": params.synth.hosts})
        return
    import torch

    from pipeline.gan import infill
    from pipeline.synthesis import healthy
    from pipeline.synthesis.sources import Sources

    torch.set_num_threads(params.runtime.threads)
    prepared = Path("data/prepared")
    healthy.write_hosts(Sources(prepared / "train", prepared / "patches", params.seed), infill.load(Path("models/sham")), OUT)


if __name__ == "__main__":
    stage_main(run, __doc__)
