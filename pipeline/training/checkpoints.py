"""Checkpoints that survive a crash at any moment and never run foreign code.

A checkpoint is written to a temporary file, synced and renamed; the two newest are kept, so that there is
always a readable one. Files are read with ``weights_only=True`` and nothing else.
"""

import logging
import re
import zipfile
from pathlib import Path
from typing import Any

from pipeline.errors import PipelineError
from pipeline.io import atomic

KEPT = 2
NAME = re.compile(r"iteration_(\d+)\.pth")
log = logging.getLogger(__name__)


def load_state(path: Path) -> Any:
    """Tensors and plain values of a file written by ``torch.save``, on the CPU.

    Raises PipelineError for a missing, torn or corrupt file and for one that holds anything else than
    tensors and plain values (reading such a file could run code; there is no way to allow it).
    """
    import torch

    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                if any(one.compress_type != zipfile.ZIP_STORED for one in archive.infolist()):
                    raise ValueError("it is compressed, which torch does not do, and may be a bomb")
                damaged = archive.testzip()  # torch does not compare the checksums
            if damaged:
                raise ValueError(f"the checksum of {damaged} is wrong")
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise PipelineError(f"{path}: no such file") from None
    except Exception as error:  # torch raises a dozen kinds on corrupt files
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise PipelineError(f"{path}: cannot be read as tensors ({reason[0]})") from None


def save_state(path: Path, state: Any) -> None:
    """Write what `load_state` reads: the whole file appears at once or not at all, the same bytes for the same state."""
    import torch

    with atomic(path) as temporary, open(temporary, "wb") as file:
        torch.save(state, file)  # given a name instead, torch would put it into the file


def stored(folder: Path) -> list[Path]:
    """The checkpoints of a folder, oldest first."""
    return sorted(path for path in folder.glob("iteration_*.pth") if NAME.fullmatch(path.name))


def save(folder: Path, iteration: int, state: dict[str, Any]) -> Path:
    """Write the checkpoint of `iteration` and drop all but the newest two."""
    path = folder / f"iteration_{iteration:09d}.pth"
    save_state(path, state)
    for old in stored(folder)[:-KEPT]:
        old.unlink()
    return path


def newest(folder: Path) -> dict[str, Any] | None:
    """The newest readable checkpoint; unreadable ones are removed with a warning. None where there is none."""
    for torn in folder.glob(".iteration_*.tmp"):
        torn.unlink(missing_ok=True)
    for path in reversed(stored(folder)):
        try:
            return dict(load_state(path))
        except PipelineError as error:
            log.warning("%s; going back to the checkpoint before it", error)
            path.unlink(missing_ok=True)
    return None
