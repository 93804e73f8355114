"""What every command shares: --help in no time, --params, --debug, errors as one line."""

import argparse
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.params import Params

    Run = Callable[[argparse.Namespace, Params], None]


def parser(doc: str | None) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--debug", action="store_true", help="show a traceback instead of a one-line error")
    return made


def stage_main(run: "Run", doc: str | None, arguments: Callable[[argparse.ArgumentParser], None] | None = None) -> None:
    """Parse the command line, load and check params.yaml, call ``run(args, params)``.

    run does its heavy imports inside, so that --help stays quick.
    """
    made = parser(doc)
    made.add_argument("--params", type=Path, default=Path("params.yaml"), help="parameter file (default: params.yaml)")
    if arguments:
        arguments(made)
    args = made.parse_args()

    def work() -> None:
        from pipeline.params import load

        run(args, load(args.params))

    guarded(work, args.debug)


def guarded(work: Callable[[], None], debug: bool = False) -> None:
    """Call `work`; a PipelineError, or trouble with the disk, ends the process with status 2 and a message on stderr."""
    from pipeline.errors import PipelineError, of_system

    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        work()
    except (PipelineError, OSError, MemoryError, RuntimeError) as error:
        shown = error if isinstance(error, PipelineError) else of_system(error)
        if debug or shown is None:
            raise
        print(f"error: {shown}", file=sys.stderr)
        sys.exit(2)
