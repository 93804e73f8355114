"""Put experiments side by side: the paper's Fig. 6 to 9 with a line for each, Table 1 with a column for each generator.

Reads what `dvc exp run` left behind (no checkout, no network): predictions, test annotations and reports of every REV,
an experiment or revision of DVC, or `workspace`. Without REV: the workspace, HEAD and all experiments on it whose files are there.
Experiments that differ in split.fold alone are pooled; those on another test set get a page of their own. --pack keeps what the
numbers are computed from as one small file an experiment, without pixels; such a file is a REV too.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cli import stage_main

if TYPE_CHECKING:
    from pipeline.params import Params


def arguments(made: argparse.ArgumentParser) -> None:
    made.add_argument("revisions", nargs="*", metavar="REV", help="experiments (default: workspace, HEAD and all of `dvc exp list`)")
    made.add_argument("--out", type=Path, default=Path("reports/comparison"), help="folder to write (default: reports/comparison)")
    made.add_argument("--pack", type=Path, metavar="FOLDER", help="also write each experiment as FOLDER/<name>.experiment.json.gz")


def run(args: argparse.Namespace, params: "Params") -> None:
    import logging

    from pipeline.comparison import experiments, joint, packed
    from pipeline.errors import PipelineError, raise_all
    from pipeline.progress import track
    from pipeline.report import comparison

    inside = [name for name in args.revisions if name.endswith(packed.ENDING) and Path(name).resolve().is_relative_to(args.out.resolve())]
    raise_all(inside, f"--out {args.out} is replaced, and would be with these in it; name another folder")
    found, unread = [], []
    for name in track(args.revisions or experiments.listed(), "Reading experiments"):
        try:
            found.append(packed.unpack(Path(name)) if name.endswith(packed.ENDING) else experiments.read(name))
        except PipelineError as error:
            unread.append(str(error))
    if args.revisions or not found:
        raise_all(unread, "experiments that cannot be compared")
    for fault in unread:
        logging.info("left out: %s", fault.splitlines()[0])
    for one in found if args.pack else []:
        packed.pack(one, args.pack)
    groups = joint.join(found)
    for number, group in enumerate(groups, 1):
        out = args.out if len(groups) == 1 else args.out / f"test_set_{number}"
        comparison.write(group, params, out)
        logging.info("%s: %s", (out / "index.html").resolve(), "; ".join(one.label or one.name for one in group.families))


if __name__ == "__main__":
    stage_main(run, __doc__, arguments)
