"""The version of the project that wrote a file, so that a later one reads it or says whose it is.

Models, pools and results carry it. What an older version wrote is read as long as everything that is needed is there.
"""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import PipelineError

VERSION = "0.2.0"  # that of pyproject.toml
KEY = "version"


def writer(record: Mapping[str, Any]) -> str:
    """Who wrote a record: `version 0.2.0`; files of before that do not say."""
    return f"version {record[KEY]}" if record.get(KEY) else "a version before 0.2.0"


@contextlib.contextmanager
def reading(path: Path | str, record: Mapping[str, Any]) -> Iterator[None]:
    """Turn a key that the block misses, or weights that do not fit, into a PipelineError that names who wrote `path`."""
    try:
        yield
    except (KeyError, RuntimeError) as error:
        lacks = f"it lacks {error}" if isinstance(error, KeyError) else (str(error).strip().splitlines() or ["it does not fit"])[0]
        raise PipelineError(
            f"{path}: was written by {writer(record)} and cannot be used by version {VERSION}: {lacks}; make it again with `dvc repro`"
        ) from None
