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
    """Call `work`; a PipelineError ends the process with status 2 and its message on stderr."""
    from pipeline.errors import PipelineError

    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        work()
    except PipelineError as error:
        if debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
