"""Train the four generators of the paper and compare them (`make ablation`): Fig. 6 with four lines, Table 1 with four columns.

Each is `dvc exp run -S gen.arch=... -S gen.labels=...` on params.yaml as it is, so that what they share is trained once; the
generator of params.yaml comes last and leaves the workspace as it found it. An interrupted ablation goes on where it
stopped. Ends with stages.compare: reports/comparison/index.html.
"""

import argparse
from typing import TYPE_CHECKING

from pipeline.cli import stage_main

if TYPE_CHECKING:
    from pipeline.params import Params


def arguments(made: argparse.ArgumentParser) -> None:
    made.add_argument("--dry", action="store_true", help="only print the commands")


def commands(own: tuple[str, str]) -> dict[str, list[str]]:
    """Name of the experiment -> arguments of `dvc`, for the generators of the paper and `own`, which is the last."""
    from pipeline.report.paper import GENERATORS

    order = [*((one.arch, one.labels) for one in GENERATORS if (one.arch, one.labels) != own), own]
    return {
        f"ablation-{arch}-{labels}": [
            "exp",
            "run",
            "--name",
            f"ablation-{arch}-{labels}",
            "-S",
            f"gen.arch={arch}",
            "-S",
            f"gen.labels={labels}",
        ]
        for arch, labels in order
    }


def run(args: argparse.Namespace, params: "Params") -> None:
    import sys

    from pipeline.comparison import experiments
    from pipeline.errors import PipelineError
    from pipeline.schedule import dvc, git, module

    planned = commands((params.gen.arch, params.gen.labels))
    if args.dry:
        print("\n".join(" ".join(["dvc", *command]) for command in planned.values()))
        return
    if git("rev-parse", "HEAD") is None:
        raise PipelineError("experiments need a git repository with a commit: `git init && git add -A && git commit -m start`")
    for name, command in planned.items():
        if name in experiments.listed():
            dvc("exp", "remove", "--quiet", name)
        if code := dvc(*command):
            sys.exit(code)
    sys.exit(module("stages.compare", *planned))


if __name__ == "__main__":
    stage_main(run, __doc__, arguments)
