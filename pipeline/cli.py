"""What every command shares: --help in no time, --params, --debug, errors as one line."""

import argparse
import contextlib
import logging
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.params import Params

    Run = Callable[[argparse.Namespace, Params], None]

TRACEBACK = Path(".resume/traceback.txt")
TIMES = Path(".resume/stages.csv")


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

        began = time.monotonic()
        run(args, load(args.params))
        _record(time.monotonic() - began)

    guarded(work, args.debug)


def _record(seconds: float) -> None:
    """Add what a stage took to .resume/stages.csv, for `python -m benchmarks.minutes`; where that cannot be written, nothing."""
    import resource

    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu = sum(one.ru_utime + one.ru_stime for one in used)
    memory = max(one.ru_maxrss for one in used) / (2**20 if sys.platform == "linux" else 2**30)
    stage = " ".join([Path(sys.argv[0]).stem, *sys.argv[1:]]).replace(",", " ")
    with contextlib.suppress(OSError):
        TIMES.parent.mkdir(exist_ok=True)
        with open(TIMES, "a", encoding="utf-8") as file:
            if not file.tell():
                file.write("ended,stage,seconds,cpu_seconds,memory_gb\n")
            file.write(f"{time.time():.0f},{stage},{seconds:.1f},{cpu:.1f},{memory:.2f}\n")


def guarded(work: Callable[[], None], debug: bool = False) -> None:
    """Call `work`; an error ends the process with a line on stderr, and with a traceback where `debug` asks for one.

    Status 2: a PipelineError, trouble with the machine, a package that is missing. Status 1: a fault of the program; its
    traceback is kept in .resume/traceback.txt, since what took hours to reach should not have to be run again to be seen.
    """
    from pipeline.errors import PipelineError, of_system

    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        work()
    except Exception as error:
        if debug:
            raise
        shown = str(error) if isinstance(error, PipelineError) else of_system(error)
        if isinstance(error, ModuleNotFoundError):
            shown = f"{sys.executable} has no package {error.name}; `. .venv/bin/activate` first, or `make setup`"
        print(f"error: {shown or _fault(error)}", file=sys.stderr)
        sys.exit(2 if shown else 1)


def _fault(error: Exception) -> str:
    """One line about an unexpected exception; its traceback goes to a file."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    said = (str(error).splitlines() or [""])[0]
    where = f"{type(error).__name__}: {said} ({Path(last.filename).name}, line {last.lineno})"
    try:
        TRACEBACK.parent.mkdir(exist_ok=True)
        TRACEBACK.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
    except OSError:
        return f"{where}; this is a fault of the program, --debug shows the traceback"
    return f"{where}; this is a fault of the program, its traceback is in {TRACEBACK} (--debug shows it)"
