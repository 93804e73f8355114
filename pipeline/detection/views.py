"""One mammogram looked at several times, mirrored and at other sizes, and the detections of all views joined."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.ops import box_iou, nms

from pipeline.params import Detect

AGREE = 0.5  # IoU from which boxes of two views are the same finding

Found = tuple[NDArray[np.float32], NDArray[np.float32]]  # boxes (N, 4) xyxy in px of the image, scores (N,), best first
Once = Callable[[NDArray[np.float32], float], Found]  # of an image (H, W), looked at so many times its size


def look(image: NDArray[np.float32], once: Once, settings: Detect) -> Found:
    """Detections of an image (H, W), joined over the views that `settings` ask for."""
    views = [(scale, flip) for flip in ((False, True) if settings.flip else (False,)) for scale in settings.scales]
    found = [_view(image, once, scale, flip) for scale, flip in views]
    return found[0] if len(found) == 1 else join(found, settings.nms, settings.max_per_image)


def join(found: list[Found], limit: float, kept: int) -> Found:
    """Boxes of all views, each scored by the mean over the views of the best score that agrees with it (0 where none does).

    Of boxes that overlap by more than the IoU `limit` the surest stays; at most `kept`.
    """
    parts = [(torch.from_numpy(np.asarray(boxes)), torch.from_numpy(np.asarray(scores))) for boxes, scores in found]
    boxes = torch.cat([one for one, _ in parts])
    if not len(boxes):
        return found[0]
    total = torch.zeros(len(boxes))
    for own, scores in parts:
        agreeing = torch.where(box_iou(boxes, own) >= AGREE, scores[None], torch.zeros(()))
        total += agreeing.amax(1) if len(own) else 0
    mean = total / len(parts)
    chosen = nms(boxes, mean, limit)[:kept]
    return boxes[chosen].numpy(), mean[chosen].numpy()


def _view(image: NDArray[np.float32], once: Once, scale: float, flip: bool) -> Found:
    """One view; flip: top to bottom, as all mammograms show the breast from the same side. Boxes are those of the image."""
    boxes, scores = once(np.ascontiguousarray(image[::-1]) if flip else image, scale)
    if flip:
        boxes = np.stack([boxes[:, 0], len(image) - boxes[:, 3], boxes[:, 2], len(image) - boxes[:, 1]], 1)
    return boxes, scores
