"""MMDetection transforms that read a mammogram as the training does, for configurations used by other programs."""

from pathlib import Path
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from mmdet.registry import TRANSFORMS

from pipeline.detection.data import load, resized
from pipeline.io import to_unit


@TRANSFORMS.register_module()
class LoadMammogram(BaseTransform):
    """Read a grey PNG of 8 or 16 bit as three equal channels of float32 in [0, 1].

    cv2's colour reading, which MMDetection's own loader uses, reduces 12-bit images to almost nothing.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        image = load(Path(results["img_path"]), None)
        shape = image.shape
        return {**results, "img": np.repeat(image[..., None], 3, 2), "img_shape": shape, "ori_shape": shape}


@TRANSFORMS.register_module()
class ResizeMammogram(BaseTransform):
    """Resize to the detector's input, [short side, long side] px, aspect kept; None keeps the size.

    Integer images (an array given to ``inference_detector`` in place of a path) are scaled to [0, 1] first.
    """

    def __init__(self, size: tuple[int, int] | None) -> None:
        self.size = size

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        image = results["img"]
        if image.dtype != np.float32:
            image = to_unit(image)
        image = resized(image, self.size)
        height, width = results["ori_shape"][:2]
        factors = (image.shape[1] / width, image.shape[0] / height)
        return {**results, "img": image, "img_shape": image.shape[:2], "scale_factor": factors}
