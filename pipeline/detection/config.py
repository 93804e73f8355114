"""The detector as a plain MMEngine configuration, which is saved beside the weights and needs nothing else."""

import ast
import copy
from pathlib import Path
from pprint import pformat
from typing import Any

from pipeline.detection.arches import model
from pipeline.errors import PipelineError
from pipeline.params import Detector

MODULES = [f"pipeline.detection.{name}" for name in ("light_head", "heads", "shared", "backbones", "loading")]
METAINFO = {"classes": ("mass",), "palette": [(220, 20, 60)]}


def full(detector: Detector, facts: dict[str, Any]) -> dict[str, Any]:
    """The whole configuration: what ``mmdet.apis.init_detector`` and ``inference_detector`` need.

    facts: how it was trained, for the reader.
    """
    keys = ("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")
    pipeline = [
        {"type": "LoadMammogram"},
        {"type": "ResizeMammogram", "size": detector.size},
        {"type": "PackDetInputs", "meta_keys": keys},
    ]
    dataset = {"type": "CocoDataset", "ann_file": "annotations.json", "metainfo": METAINFO, "test_mode": True, "pipeline": pipeline}
    return {
        "default_scope": "mmdet",
        # the first makes mmcv.ops importable where MMCV has no compiled operators
        "custom_imports": {"imports": [*MODULES, "pipeline.detection.transforms"], "allow_failed_imports": False},
        "model": model(detector),
        "test_dataloader": {"batch_size": 1, "dataset": dataset},
        "training": facts,
    }


def text(configuration: dict[str, Any]) -> str:
    """A configuration as the Python file that MMEngine reads."""
    return "".join(f"{key} = {pformat(value, width=120, sort_dicts=False)}\n" for key, value in configuration.items())


def read(path: Path) -> dict[str, Any]:
    """The values of a file written by `text`, without running it (MMEngine would). Raises PipelineError for anything else in it."""
    try:
        lines = ast.parse(path.read_text(encoding="utf-8")).body
        return {line.targets[0].id: ast.literal_eval(line.value) for line in lines}  # type: ignore[attr-defined]
    except FileNotFoundError:
        raise PipelineError(f"{path}: no such file") from None
    except (AttributeError, ValueError, SyntaxError, RecursionError, MemoryError) as error:
        raise PipelineError(f"{path}: holds more than names and plain values ({type(error).__name__}); it is not run") from None


def build(configuration: dict[str, Any]) -> Any:
    """The detector of the `model` part of a configuration."""

    from mmdet.registry import MODELS
    from mmengine.config import ConfigDict
    from mmengine.registry import init_default_scope

    from pipeline.detection import backbones, heads, light_head, loading, shared  # noqa: F401 (MODULES: importing registers them)

    init_default_scope("mmdet")
    return MODELS.build(ConfigDict(copy.deepcopy(configuration)))  # MMDetection changes what it is given
