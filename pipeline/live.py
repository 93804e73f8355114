"""Live curves and sample grids of the trainings that run, in TensorBoard: reads .resume beside them and costs them nothing.

    python -m pipeline.live                     in a second terminal, while `make run` trains
    tensorboard --logdir .resume/live           in a third: losses of every training, and what a GAN paints

TensorBoard is not among the locked packages: `pip install tensorboard`. Losses of finished trainings lie in models/.
"""

import argparse
import csv
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from pipeline.cli import guarded, parser
from pipeline.errors import PipelineError
from pipeline.resume import ROOT

OUT = ROOT / "live"


class Writer(Protocol):
    """What is needed of torch.utils.tensorboard.SummaryWriter."""

    def add_scalar(self, tag: str, value: float, step: int) -> None: ...

    def add_image(self, tag: str, image: Any, step: int, *, dataformats: str) -> None: ...

    def flush(self) -> None: ...


@dataclass
class Watcher:
    """Passes on what is new in the state folders below `root`; open_writer makes the writer of a training by its name."""

    root: Path
    open_writer: Callable[[str], Writer]
    writers: dict[str, Writer] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)
    shown: set[Path] = field(default_factory=set)

    def update(self) -> int:
        """Look once at every training (<stage>/<fingerprint>); returns the number of new rows and pictures."""
        new = 0
        for folder in sorted(path for path in self.root.glob("*/*/*") if path.is_dir()) + sorted(self.root.glob("*/*")):
            if (folder / "losses.csv").is_file():
                new += self._training(folder)
        return new

    def _training(self, folder: Path) -> int:
        name = folder.relative_to(self.root).as_posix()
        rows = [row for row in _rows(folder / "losses.csv") if int(row["iteration"]) > self.seen.get(name, 0)]
        pictures = sorted(set(folder.glob("*_[0-9]*.png")) - self.shown)
        if not rows and not pictures:
            return 0
        if name not in self.writers:
            self.writers[name] = self.open_writer(name)
        writer = self.writers[name]
        for row in rows:
            self.seen[name] = int(row["iteration"])
            for loss, value in row.items():
                if loss != "iteration":
                    writer.add_scalar(f"loss/{loss}", float(value), self.seen[name])
        for path in pictures:
            from pipeline.io import read_image

            kind, _, iteration = path.stem.rpartition("_")
            writer.add_image(kind, read_image(path), int(iteration), dataformats="HW")
            self.shown.add(path)
        writer.flush()
        return len(rows) + len(pictures)


def _rows(path: Path) -> list[dict[str, str]]:
    """Whole rows of a loss table that is being written; none where it has just been removed."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    except FileNotFoundError:
        return []
    return list(csv.DictReader(line for line in lines if line.endswith("\n")))


def tensorboard(out: Path) -> Callable[[str], Writer]:
    """Makes event files below `out`. Raises PipelineError where TensorBoard is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise PipelineError("TensorBoard is not installed; `pip install tensorboard` in this environment") from None
    return lambda name: SummaryWriter(str(out / name))


def main() -> None:
    made = parser(__doc__)
    made.formatter_class = argparse.RawDescriptionHelpFormatter
    made.add_argument("--out", type=Path, default=OUT, help=f"folder of the event files (default: {OUT})")
    made.add_argument("--seconds", type=float, default=5.0, help="time between two looks (default: 5)")
    made.add_argument("--once", action="store_true", help="look once instead of until Ctrl-C")
    args = made.parse_args()

    def work() -> None:
        watcher = Watcher(ROOT, tensorboard(args.out))
        while True:
            watcher.update()
            if args.once:
                return
            time.sleep(args.seconds)

    try:
        guarded(work, args.debug)
    except KeyboardInterrupt:
        return


if __name__ == "__main__":
    main()
