"""What `make run` calls: check params.yaml, run `dvc repro`, show the results. Ends with the exit code of `dvc repro`.

Trainings that do not depend on each other run at the same time, `--jobs` of them. Arguments that are not listed here go to
`dvc repro`, which then works one stage at a time, as in `python -m stages.run --force evaluate`. Run time and git
revision are written to .resume/run.json; they are in no report, so that equal inputs give equal reports.
"""

import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cli import guarded, parser

if TYPE_CHECKING:
    from pipeline.params import Params

RECORD = Path(".resume/run.json")


def in_git() -> bool:
    here = Path.cwd()
    return any((folder / ".git").exists() for folder in (here, *here.parents))


def repro(arguments: list[str], jobs: int) -> int:
    """`dvc repro`, and the record of the run."""
    from pipeline import mend, schedule
    from pipeline.io import write_json

    mend.dvc_files()
    if not in_git():
        schedule.dvc("config", "--local", "--quiet", "core.no_scm", "true")  # an unpacked archive: DVC works without a history
    changed = schedule.git("status", "--porcelain", "--untracked-files=no")
    start, clock = datetime.now(UTC), time.monotonic()
    code = schedule.dvc("repro", *arguments) if arguments else schedule.repro(jobs)
    record = {"started": start.isoformat(timespec="seconds"), "seconds": round(time.monotonic() - clock, 1), "exit_code": code}
    write_json(
        RECORD, {**record, "revision": schedule.git("rev-parse", "HEAD"), "uncommitted_changes": None if changed is None else bool(changed)}
    )
    return code


def show(params: "Params") -> None:
    """One table of the points, and where the report lies."""
    from rich.console import Console
    from rich.table import Table

    from pipeline.report.results import HEADLINE, read
    from pipeline.report.tables import whole

    results, record = read(Path("reports"), params.curve, params.study.points), json.loads(RECORD.read_text())
    table = Table(title="Test set: mean over trainings, 95 % interval", title_justify="left")
    for name in ("point", "images", "sensitivity at 1 FP/image", f"recall, score >= {params.evaluate.recall_score:g}"):
        table.add_column(name, justify="left" if name == "point" else "right", no_wrap=True)
    for point in results.points:
        table.add_row(point.name, str(point.n_train), whole(point.of(HEADLINE)), whole(point.of("recall")))
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(table)
    minutes, seconds = divmod(round(record["seconds"]), 60)
    console.print(f"Report: {Path('reports/index.html').resolve()}\nTime: {minutes} min {seconds} s", highlight=False, soft_wrap=True)


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--jobs", type=int, help="trainings at once (default: cores / runtime.threads; 1 with a GPU)")
    args, rest = made.parse_known_args()

    def work() -> None:
        from pipeline.params import load
        from pipeline.schedule import at_once

        params = load()
        code = repro(rest, args.jobs or at_once(params.runtime.threads))
        if code == 0 and Path("reports/metrics.json").is_file():
            show(params)
        sys.exit(code)

    guarded(work, args.debug)


if __name__ == "__main__":
    main()
