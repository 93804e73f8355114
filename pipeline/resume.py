"""Where a stage keeps what it needs to go on after an interruption.

DVC empties outs before a stage runs, so resume state lives in ``.resume/<stage>/<fingerprint>``. The
fingerprint covers params, inputs and code: state of other settings is never picked up.
"""

import hashlib
import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pipeline.io import sha256

ROOT = Path(".resume")


def fingerprint(params: Any, inputs: Iterable[Path]) -> str:
    """Hash (16 hex digits) of JSON-able params and of the bytes of all files under `inputs`."""
    digest = hashlib.sha256(json.dumps(params, sort_keys=True, default=str).encode())
    for path in inputs:
        files = sorted(p for p in path.rglob("*") if p.is_file() and p.suffix != ".pyc") if path.is_dir() else [path]
        for file in files:
            name = file.relative_to(path).as_posix() if file != path else path.name
            digest.update(f"{name}:{sha256(file)}\n".encode())
    return digest.hexdigest()[:16]


def folder(stage: str, key: str, root: Path = ROOT) -> Path:
    """The state folder of (stage, fingerprint), made if absent; states of other fingerprints are removed."""
    path = root / stage / key
    if path.parent.is_dir():
        for other in path.parent.iterdir():
            if other != path and other.is_dir():
                shutil.rmtree(other, ignore_errors=True)
    path.mkdir(parents=True, exist_ok=True)
    return path


def done(path: Path) -> None:
    """Remove the state once the stage's outs are complete."""
    shutil.rmtree(path, ignore_errors=True)
