"""Running a trained detector over annotated images; the result is a COCO results file."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmdet.structures import DetDataSample

from pipeline import coco, version
from pipeline.detection import config
from pipeline.detection.data import as_input, load, resized
from pipeline.detection.views import look
from pipeline.errors import PipelineError
from pipeline.io import write_text
from pipeline.params import Detect, Runtime
from pipeline.progress import track
from pipeline.training.checkpoints import load_state
from pipeline.training.precision import resolved


def load_detector(folder: Path) -> Any:
    """The detector of a folder written by `pipeline.detection.train`, in evaluation mode, on the GPU where there is one."""
    from mmengine.device import get_device

    if not (folder / "config.py").is_file():
        raise PipelineError(f"{folder}: holds no trained detector; `dvc repro` trains those of study.points and study.seeds")
    configuration = config.read(folder / "config.py")
    with version.reading(folder, configuration.get("training", {})):
        model = config.build(configuration["model"])
        model.load_state_dict(load_state(folder / "model.pth")["state_dict"])
        model.size = configuration["training"]["size"]
    return model.to(get_device()).eval()


def detect(model: Any, annotations: Path, settings: Detect, runtime: Runtime) -> list[dict[str, Any]]:
    """COCO results for all images of an `annotations.json`, in the order of image id, then of falling score.

    Boxes are xywh in px of the image files, rounded to 0.01; scores are in [settings.score_min, 1], rounded to 1e-6.
    """
    prepare(model, settings, runtime)
    images = sorted(coco.read(annotations)["images"], key=lambda image: image["id"])
    results = []
    for image in track(images, f"detect in {annotations.parent.name}"):
        boxes, scores = predict(model, load(annotations.parent / image["file_name"], None), settings, runtime)
        for box, score in zip(boxes, scores, strict=True):
            if score >= settings.score_min:
                x1, y1, x2, y2 = box.tolist()
                bbox = [round(value, 2) for value in (x1, y1, x2 - x1, y2 - y1)]
                results.append({"image_id": image["id"], "category_id": 1, "bbox": bbox, "score": round(float(score), 6)})
    return results


def prepare(model: Any, settings: Detect, runtime: Runtime) -> None:
    """Let the detector give boxes of any score, as many and as near to each other as `settings` say; with one stage or two."""
    torch.set_num_threads(runtime.threads)
    last = model.roi_head if hasattr(model, "roi_head") else model.bbox_head
    last.test_cfg.update(score_thr=-1.0, max_per_img=settings.max_per_image, nms={"type": "nms", "iou_threshold": settings.nms})


def predict(model: Any, image: np.ndarray, settings: Detect, runtime: Runtime) -> tuple[np.ndarray, np.ndarray]:
    """Boxes (N, 4) xyxy in px of the image and scores (N,), best first. image: (H, W) float32 in [0, 1]."""
    return look(image, lambda seen, scale: _once(model, seen, scale, runtime), settings)


def _once(model: Any, image: np.ndarray, scale: float, runtime: Runtime) -> tuple[np.ndarray, np.ndarray]:
    """As `predict`, from one look at the image, `scale` times as large as the detector's input."""
    short, long = sorted(model.size or image.shape)
    fitted = resized(image, (short * scale, long * scale) if model.size or scale != 1 else None)
    factors = (fitted.shape[1] / image.shape[1], fitted.shape[0] / image.shape[0])
    sample = DetDataSample(metainfo={"img_shape": fitted.shape, "ori_shape": image.shape, "scale_factor": factors})
    device = model.data_preprocessor.device.type
    with torch.no_grad(), torch.autocast(device, torch.bfloat16, enabled=resolved(runtime.precision) == "bf16"):
        found = model.test_step({"inputs": [as_input(fitted)], "data_samples": [sample]})[0].pred_instances
    return found.bboxes.float().cpu().numpy(), found.scores.float().cpu().numpy()


def write(folder: Path, parts: dict[Path, Path], settings: Detect, runtime: Runtime) -> None:
    """Detect with the detector of `folder`; parts: results file to write -> annotations to read."""
    model = load_detector(folder)
    for target, annotations in parts.items():
        lines = [json.dumps(result, sort_keys=True) for result in detect(model, annotations, settings, runtime)]
        write_text(target, "[\n" + ",\n".join(lines) + "\n]\n")
