"""Training one detector: the trainset of a point, from a seed, to a folder that MMDetection can load."""

import math
import shutil
from pathlib import Path
from typing import Any
from urllib.error import URLError

import torch
from mmengine.dataset import pseudo_collate
from mmengine.dist import is_main_process

from pipeline import resume
from pipeline.detection import config
from pipeline.detection.data import MassImages
from pipeline.errors import PipelineError
from pipeline.io import atomic_folder, write_text
from pipeline.params import Detector, Runtime
from pipeline.rng import integer
from pipeline.training import engine
from pipeline.training.checkpoints import load_state, save_state

WARM_UP = 0.1  # share of the iterations in which the learning rate rises
FINAL = 0.02  # share of the learning rate that is left at the end
WEIGHT_DECAY = 0.05
CLIP = 10.0  # largest norm of the gradients
AVERAGE = 0.99  # decay of the averaged weights, which are the ones kept
CODE = [Path(__file__).parent, Path(engine.__file__).parent]


def iterations_of(detector: Detector, images: int) -> int:
    """Number of training steps; with `schedule: epochs` enough to see every image `epochs` times (the paper)."""
    if detector.schedule == "iterations":
        return detector.iterations
    return math.ceil(detector.epochs * images / detector.batch)


def lr_factor(iteration: int, iterations: int) -> float:
    """Linear warm-up, then half a cosine down to FINAL."""
    warm = max(1, round(WARM_UP * iterations))
    progress = max(0, iteration - warm) / max(1, iterations - warm)
    return min(1.0, (iteration + 1) / warm) * (FINAL + (1 - FINAL) * 0.5 * (1 + math.cos(math.pi * progress)))


def train(annotations: Path, target: Path, detector: Detector, runtime: Runtime, seed: int, state: Path) -> None:
    """Train on a COCO `annotations.json` and write config.py, model.pth and losses.csv into the folder `target`.

    seed: decides first weights, order, augmentation and sampling. state: parent of the folders that hold
    checkpoints; an interrupted training of the same params, trainset and code goes on from there.
    Raises PipelineError for images that are not those of the annotations and for pretrained weights that do not fit.
    """
    size = (detector.size[0], detector.size[1]) if detector.size else None
    images = MassImages(annotations, size, integer(seed, "images"))
    iterations = iterations_of(detector, len(images))
    pretrained = _pretrained(detector)
    settings = [detector.model_dump(), runtime.model_dump(exclude={"workers"}), seed]
    cell = f"{target.parent.name}-{target.name}"
    folder = resume.folder(f"train_detector/{cell}", resume.fingerprint(settings, [annotations, *CODE]), state)
    facts = {"iterations": iterations, "images": len(images), "seed": seed, "precision": runtime.precision, **detector.model_dump()}
    configuration = config.full(detector, facts)

    def build() -> Any:
        made = config.build(configuration["model"])
        made.init_weights()
        if pretrained:
            _insert(made, pretrained, detector.init)
        return made

    trained = engine.fit(
        build,
        lambda model: torch.optim.AdamW(model.parameters(), lr=detector.lr, weight_decay=WEIGHT_DECAY, fused=True),
        images,
        what=f"detector {cell}",
        state=folder,
        iterations=iterations,
        batch=detector.batch,
        seed=seed,
        threads=runtime.threads,
        precision=runtime.precision,
        workers=runtime.workers,
        collate=pseudo_collate,
        lr_factor=lambda iteration: lr_factor(iteration, iterations),
        clip_grad=CLIP,
        average=AVERAGE,
    )
    if not is_main_process():
        return
    with atomic_folder(target) as made:
        write_text(made / "config.py", config.text(configuration))
        weights = {name: value.contiguous() for name, value in trained.state_dict().items()}
        save_state(made / "model.pth", {"state_dict": weights, "meta": {"dataset_meta": config.METAINFO}})
        shutil.copy(folder / "losses.csv", made / "losses.csv")
    resume.done(folder)


def _pretrained(detector: Detector) -> dict[str, torch.Tensor] | None:
    """The weights that `detector.init` names, None for `none`."""
    if detector.init == "none":
        return None
    if detector.init != "imagenet":
        state = load_state(Path(detector.init))
        return dict(state.get("state_dict", state))
    if detector.width != 64:
        raise PipelineError(f"detector.init imagenet needs detector.width 64, the standard ResNet; it is {detector.width}")
    from torchvision.models import get_model_weights

    weights = get_model_weights(f"resnet{detector.depth}").IMAGENET1K_V1
    try:
        return dict(weights.get_state_dict(progress=False, check_hash=True, weights_only=True))
    except (URLError, OSError) as error:
        raise PipelineError(
            f"{weights.url} cannot be fetched ({error}); download it elsewhere and set detector.init to the path of the file"
        ) from None


def _insert(model: Any, weights: dict[str, torch.Tensor], source: str) -> None:
    """Load a whole detector, or a ResNet into its backbone (torchvision's names; its classifier is left out)."""
    whole = any(name.startswith("backbone.") for name in weights)
    part = model if whole else model.backbone
    weights = {name: value for name, value in weights.items() if whole or not name.startswith("fc.")}
    own = part.state_dict()
    missing = sorted(own.keys() - weights.keys())
    foreign = sorted(weights.keys() - own.keys())
    shapes = [name for name in own.keys() & weights.keys() if own[name].shape != weights[name].shape]
    if missing or foreign or shapes:
        what = "detector" if whole else "backbone"
        raise PipelineError(
            f"detector.init {source} does not fit the {what}: {len(missing)} weights missing {missing[:3]}, "
            f"{len(foreign)} unknown {foreign[:3]}, {len(shapes)} of another shape {sorted(shapes)[:3]}; "
            "check detector.depth and detector.width"
        )
    part.load_state_dict(weights)
