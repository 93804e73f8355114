"""Checkpoints for MMDetection without code execution.

MMEngine's loaders unpickle whatever a file holds where reading it as tensors fails, so that a planted file runs its
code in ``mmdet.apis.init_detector``. Importing this module, which saved configurations do, puts `load_state` in their
place for files, and refuses addresses: a download is to be verified before it is loaded.
"""

from pathlib import Path
from typing import Any, NoReturn

from mmengine.runner.checkpoint import CheckpointLoader

from pipeline.errors import PipelineError
from pipeline.training.checkpoints import load_state


def from_file(filename: str, map_location: Any = None) -> Any:
    """Tensors and plain values of a file, on the CPU. Raises PipelineError as `load_state` does."""
    return load_state(Path(filename).expanduser())


def from_address(filename: str, map_location: Any = None) -> NoReturn:
    raise PipelineError(f"{filename}: is not loaded from an address; download it, compare its hash, and name the file")


for scheme in list(CheckpointLoader._schemes):
    CheckpointLoader.register_scheme(scheme, from_address if scheme else from_file, force=True)
