"""Fixed features of patches: activations of VGG-16 trained on ImageNet, pooled over the patch."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.gan.losses import load_vgg

BATCH = 16
LAYERS = ("conv1_2", "conv2_2", "conv3_3", "conv4_3")


class Vgg16:
    """The true ImageNet weights. folder: of the stage weights; PipelineError where it holds no VGG-16."""

    def __init__(self, folder: Path) -> None:
        features, self.record = load_vgg(folder, "vgg16", LAYERS)
        assert features is not None
        self.network = features

    def __call__(self, images: NDArray[np.floating[Any]]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Of (N, P, P) in [0, 1]: the mean of each channel of conv4_3, (N, 512), for distances; and mean and standard deviation
        of each channel of all `LAYERS`, (N, 1920), for the classifier, which is to see seams and texture too."""
        deep, every = [], []
        for start in range(0, len(images), BATCH):
            with torch.inference_mode():
                maps = self.network(torch.from_numpy(np.ascontiguousarray(images[start : start + BATCH], np.float32))[:, None])
                deep.append(maps[-1].mean((2, 3)).numpy())
                every.append(torch.cat([part for one in maps for part in (one.mean((2, 3)), one.std((2, 3)))], 1).numpy())
        return np.concatenate(deep), np.concatenate(every)
