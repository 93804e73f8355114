"""A batch that several processes share gives what it gives in one: the same padding, the same random regions, the same means."""

import pipeline.detection.ops  # noqa: F401, I001 (before mmdet: it makes mmcv.ops importable)

from typing import Any

import numpy as np
import torch
from mmdet.models.data_preprocessors import DetDataPreprocessor
from mmdet.models.task_modules.samplers import RandomSampler
from mmdet.registry import MODELS, TASK_UTILS
from torch import Tensor
from torch.nn.functional import pad

from pipeline.rng import generator
from pipeline.training import parallel

NUMBER = "number"  # of a sample, in the metainfo of its gt_instances


@MODELS.register_module()
class EvenPreprocessor(DetDataPreprocessor):
    """Pads the images of a training to the largest one of the whole batch, not of this process's part alone."""

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        made: dict[str, Any] = super().forward(data, training)
        if not training or parallel.processes() == 1:
            return made
        here = made["inputs"].shape[-2:]
        height, width = parallel.largest(here)
        made["inputs"] = pad(made["inputs"], (0, width - here[1], 0, height - here[0]), value=self.pad_value)
        for sample in made["data_samples"]:
            sample.set_metainfo({"batch_input_shape": (height, width)})
        return made


@TASK_UTILS.register_module()
class NumberedSampler(RandomSampler):
    """RandomSampler whose draws depend on the training step's seed and the number of the sample, not on the images before it."""

    draws: np.random.Generator | None = None

    def sample(self, assign_result: Any, pred_instances: Any, gt_instances: Any, **more: Any) -> Any:
        number = gt_instances.get(NUMBER)
        self.draws = None if number is None else generator(torch.initial_seed(), "regions", self.num, number)
        return super().sample(assign_result, pred_instances, gt_instances, **more)

    def random_choice(self, gallery: Tensor, num: int) -> Tensor:
        if self.draws is None:  # images that the pipeline has not numbered
            return super().random_choice(gallery, num)
        chosen = torch.from_numpy(self.draws.choice(len(gallery), num, replace=False))
        return gallery[chosen.to(gallery.device)]


class EvenFactor:
    """For heads that divide the sum of a loss by a number found in their own part of the batch: the mean of it over all parts."""

    def get_targets(self, *given: Any, **how: Any) -> tuple[Any, ...]:
        labels, label_weights, boxes, box_weights, factor, *rest = super().get_targets(*given, **how)  # type: ignore[misc]
        return labels, label_weights, boxes, box_weights, parallel.mean(factor), *rest
