"""Where the time of the last `make run` went, stage by stage.

    python -m benchmarks.minutes

Reads what every stage adds to .resume/stages.csv, and the last run from .resume/run.json. Stages that DVC found up to date took none.
Trainings run side by side, so the seconds of the stages add up to more than those of the run.
"""

import csv
import json
from collections import defaultdict
from pathlib import Path

from pipeline.cli import TIMES, guarded, parser
from pipeline.errors import PipelineError
from stages.run import RECORD


def table(times: Path, record: Path) -> list[str]:
    """Markdown: of each stage how often it ran in the run of `record`, its seconds, CPU seconds and largest memory."""
    from datetime import datetime

    for path in (times, record):
        if not path.is_file():
            raise PipelineError(f"{path}: no such file; `make run` first")
    run = json.loads(record.read_text(encoding="utf-8"))
    begun = datetime.fromisoformat(run["started"]).timestamp()
    with open(times, encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if float(row["ended"]) >= begun]
    if not rows:
        raise PipelineError(f"{times}: no stage ran in the last run; everything was up to date")
    grouped: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in rows:
        grouped[row["stage"].split()[0]].append(row)
    lines = ["| stage | times | seconds | CPU seconds | memory, GB |", "|---|---|---|---|---|"]
    for stage, own in sorted(grouped.items(), key=lambda one: -sum(float(row["cpu_seconds"]) for row in one[1])):
        seconds, cpu = (sum(float(row[key]) for row in own) for key in ("seconds", "cpu_seconds"))
        lines.append(f"| {stage} | {len(own)} | {seconds:.0f} | {cpu:.0f} | {max(float(row['memory_gb']) for row in own):.2f} |")
    cpu = sum(float(row["cpu_seconds"]) for row in rows)
    lines.append(f"| all, in {run['seconds']:.0f} s | {len(rows)} | {sum(float(row['seconds']) for row in rows):.0f} | {cpu:.0f} | |")
    return lines


def main() -> None:
    args = parser(__doc__).parse_args()
    guarded(lambda: print("\n".join(table(TIMES, RECORD))), args.debug)


if __name__ == "__main__":
    main()
