"""Training one detector: the trainset of a point, from a seed, to a folder that MMDetection can load."""

import math
import shutil
from pathlib import Path
from typing import Any

import torch
from mmengine.dataset import pseudo_collate
from mmengine.dist import is_main_process

from pipeline import resume, version
from pipeline.detection import anchors, config, initial, mixing
from pipeline.detection.data import MassImages
from pipeline.io import atomic_folder, write_text
from pipeline.params import Detector, Runtime
from pipeline.rng import integer
from pipeline.training import engine
from pipeline.training.checkpoints import save_state
from pipeline.training.precision import resolved

WARM_UP = 0.1  # share of the iterations in which the learning rate rises
FINAL = 0.02  # share of the learning rate that is left at the end
WEIGHT_DECAY = 0.05
CLIP = 10.0  # largest norm of the gradients
AVERAGE = 0.99  # decay of the averaged weights, which are the ones kept
ANCHORS = 4  # sides of `anchors: auto`
WEIGHTS = Path("data/backbone")
CODE = [Path(__file__).parent, Path(engine.__file__).parent]


def iterations_of(detector: Detector, images: int) -> int:
    """Number of training steps; with `schedule: epochs` enough to see every image `epochs` times (the paper)."""
    if detector.schedule == "iterations":
        return detector.iterations
    return math.ceil(detector.epochs * images / detector.batch)


def fitted(detector: Detector, images: MassImages) -> Detector:
    """The detector with numbers for `anchors: auto`, fitted to the real images, so that points that share them share the anchors."""
    if detector.anchors != "auto":
        return detector
    return detector.model_copy(update={"anchors": anchors.fitted(images.sides(synthetic=False), ANCHORS)})


def lr_factor(iteration: int, iterations: int) -> float:
    """Linear warm-up, then half a cosine down to FINAL."""
    warm = max(1, round(WARM_UP * iterations))
    progress = max(0, iteration - warm) / max(1, iterations - warm)
    return min(1.0, (iteration + 1) / warm) * (FINAL + (1 - FINAL) * 0.5 * (1 + math.cos(math.pi * progress)))


def train(annotations: Path, target: Path, detector: Detector, runtime: Runtime, seed: int, state: Path, weights: Path = WEIGHTS) -> None:
    """Train on a COCO `annotations.json` and write config.py, model.pth and losses.csv into the folder `target`.

    seed: decides first weights, order, augmentation and sampling. state: parent of the folders that hold
    checkpoints; an interrupted training of the same params, trainset and code goes on from there.
    weights: folder of backbones with ImageNet weights (written by the stage weights).
    Raises PipelineError for images that are not those of the annotations and for pretrained weights that do not fit.
    """
    size = (detector.size[0], detector.size[1]) if detector.size else None
    images = MassImages(annotations, size, integer(seed, "images"), detector.augment)
    taking_part = len(mixing.kept(images.synthetic, detector.synthetic.mode, seed))
    iterations = iterations_of(detector, taking_part)
    order = mixing.order(images.synthetic, detector.synthetic, seed, iterations * detector.batch)
    pretrained = initial.weights(detector, weights)
    settings = [detector.model_dump(), runtime.model_dump(exclude={"workers"}), seed]
    detector = fitted(detector, images)
    cell = f"{target.parent.name}-{target.name}"
    facts = {
        version.KEY: version.VERSION,
        "iterations": iterations,
        "images": taking_part,
        "seed": seed,
        "precision": resolved(runtime.precision),
        **detector.model_dump(),
    }
    configuration = config.full(detector, facts)
    folder = resume.folder(f"train_detector/{cell}", resume.fingerprint([settings, configuration], [annotations, *CODE]), state)

    def build() -> Any:
        made = config.build(configuration["model"])
        made.init_weights()
        if pretrained:
            initial.insert(made, pretrained, detector.init)
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
        order=order,
    )
    if not is_main_process():
        return
    with atomic_folder(target) as made:
        write_text(made / "config.py", config.text(configuration))
        kept = {name: value.contiguous() for name, value in trained.state_dict().items()}
        save_state(made / "model.pth", {"state_dict": kept, "meta": {"dataset_meta": config.METAINFO}})
        shutil.copy(folder / "losses.csv", made / "losses.csv")
    resume.done(folder)
