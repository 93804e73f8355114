"""First weights of a detector: those that `detector.init` names, checked before they are used."""

from pathlib import Path
from typing import Any
from urllib.error import URLError

import torch

from pipeline.detection.backbones import renamed
from pipeline.errors import PipelineError
from pipeline.params import Detector
from pipeline.training.checkpoints import load_state

State = dict[str, torch.Tensor]


def weights(detector: Detector, folder: Path) -> State | None:
    """The weights that `detector.init` names, None for `none`. folder: that of the stage weights.

    Raises PipelineError where they cannot be had.
    """
    if detector.init == "none":
        return None
    if detector.init != "imagenet":
        state = load_state(Path(detector.init))
        return dict(state.get("state_dict", state))
    if detector.backbone != "resnet":
        path = folder / f"{detector.backbone}.pth"
        if not path.is_file():
            raise PipelineError(f"{path}: no such file; the stage weights fetches it where detector.init is imagenet: `dvc repro weights`")
        return dict(load_state(path))
    if detector.width != 64:
        raise PipelineError(f"detector.init imagenet needs detector.width 64, the standard ResNet; it is {detector.width}")
    return _torchvision(detector.depth)


def _torchvision(depth: int) -> State:
    from torchvision.models import get_model_weights

    found = get_model_weights(f"resnet{depth}").IMAGENET1K_V1
    try:
        return dict(found.get_state_dict(progress=False, check_hash=True, weights_only=True))
    except (URLError, OSError) as error:
        raise PipelineError(
            f"{found.url} cannot be fetched ({error}); download it elsewhere and set detector.init to the path of the file"
        ) from None


def insert(model: Any, state: State, source: str) -> None:
    """Load a whole detector, or a classifier's weights into its backbone (names of torchvision's ResNets or of EfficientNet-Lite0).

    The classifier itself is left out; a head that is the last stage of the ResNet takes that. source: for the error.
    Raises PipelineError where anything is missing, unknown or of another shape.
    """
    if any(name.startswith("backbone.") for name in state):
        _load(model, state, "detector", source)
        return
    state = renamed({name: value for name, value in state.items() if not name.startswith("fc.")})
    shared = getattr(getattr(model, "roi_head", None), "shared_head", None)
    if shared is not None:
        last = {name: value for name, value in state.items() if name.startswith("layer4.")}
        state = {name: value for name, value in state.items() if name not in last}
        _load(shared, last, "head", source)
    _load(model.backbone, state, "backbone", source)


def _load(part: Any, state: State, what: str, source: str) -> None:
    own = part.state_dict()
    missing = sorted(own.keys() - state.keys())
    foreign = sorted(state.keys() - own.keys())
    shapes = [name for name in own.keys() & state.keys() if own[name].shape != state[name].shape]
    if missing or foreign or shapes:
        raise PipelineError(
            f"detector.init {source} does not fit the {what}: {len(missing)} weights missing {missing[:3]}, "
            f"{len(foreign)} unknown {foreign[:3]}, {len(shapes)} of another shape {sorted(shapes)[:3]}; "
            "check detector.backbone, depth and width"
        )
    part.load_state_dict(state)
