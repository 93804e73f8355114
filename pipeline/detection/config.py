"""The detector as a plain MMEngine configuration, which is saved beside the weights and needs nothing else."""

import copy
from pprint import pformat
from typing import Any

from pipeline.params import Detector

METAINFO = {"classes": ("mass",), "palette": [(220, 20, 60)]}
MEAN, STD = 0.449, 0.226  # means of the ImageNet constants over the colours; grey images in [0, 1]
STRIDES = {8: ((1, 2, 1, 1), (1, 1, 2, 4)), 16: ((1, 2, 2, 1), (1, 1, 1, 2))}  # of the stages: strides, dilations
EXPANSION = {18: 1, 50: 4, 101: 4}


def model(detector: Detector) -> dict[str, Any]:
    """Light-Head R-CNN. With depth 101, width 64, stride 16, mid 256 it is the large setting of Li et al. (2017)."""
    channels = [detector.width * 2**stage * EXPANSION[detector.depth] for stage in range(4)]
    return {
        "type": "FasterRCNN",
        "data_preprocessor": {
            "type": "DetDataPreprocessor",
            "mean": [MEAN] * 3,
            "std": [STD] * 3,
            "pad_value": -MEAN / STD,  # black
            "pad_size_divisor": 16,
        },
        "backbone": _backbone(detector),
        "neck": {"type": "LargeSeparableConv", "in_channels": channels[3], "mid_channels": detector.mid},
        "rpn_head": _rpn_head(detector, channels[2]),
        "roi_head": _roi_head(detector),
        "train_cfg": _train_cfg(detector),
        "test_cfg": _test_cfg(detector),
    }


def _backbone(detector: Detector) -> dict[str, Any]:
    strides, dilations = STRIDES[detector.stride]
    scratch = detector.init == "none"
    return {
        "type": "ResNet",
        "depth": detector.depth,
        "base_channels": detector.width,
        "stem_channels": detector.width,
        "strides": strides,
        "dilations": dilations,
        "out_indices": (2, 3),
        # from scratch the statistics are learned; pretrained ones are kept fixed, with the first two stages (Li et al.)
        "norm_eval": not scratch,
        "frozen_stages": -1 if scratch else 1,
    }


def _coder(stds: list[float]) -> dict[str, Any]:
    return {"type": "DeltaXYWHBBoxCoder", "target_means": [0.0] * 4, "target_stds": stds}


def _rpn_head(detector: Detector, in_channels: int) -> dict[str, Any]:
    return {
        "type": "C4RPNHead",
        "in_channels": in_channels,
        "feat_channels": in_channels // 2,
        "anchor_generator": {
            "type": "AnchorGenerator",
            "base_sizes": [1],
            "scales": detector.anchors,
            "ratios": detector.ratios,
            "strides": [detector.stride],
            "centers": [(detector.stride / 2, detector.stride / 2)],
        },
        "bbox_coder": _coder([1.0, 1.0, 1.0, 1.0]),
        "loss_cls": {"type": "CrossEntropyLoss", "use_sigmoid": True},
        "loss_bbox": {"type": "SmoothL1Loss", "beta": 1 / 9},
    }


def _roi_head(detector: Detector) -> dict[str, Any]:
    return {
        "type": "StandardRoIHead",
        "bbox_roi_extractor": {"type": "PSRoIAlign", "stride": detector.stride},
        "bbox_head": {
            "type": "LightBBoxHead",
            "num_classes": 1,
            "bbox_coder": _coder([0.1, 0.1, 0.2, 0.2]),
            "loss_cls": {"type": "CrossEntropyLoss"},
            "loss_bbox": {"type": "SmoothL1Loss"},
        },
    }


def _assigner(positive: float, negative: float, low_quality: bool) -> dict[str, Any]:
    return {
        "type": "IgnoringAssigner",
        "pos_iou_thr": positive,
        "neg_iou_thr": negative,
        "min_pos_iou": negative,
        "match_low_quality": low_quality,
        "ignore_iof_thr": 0.5,
    }


def _proposals(kept: int) -> dict[str, Any]:
    return {"nms_pre": 6 * kept, "max_per_img": kept, "nms": {"type": "nms", "iou_threshold": 0.7}, "min_bbox_size": 0}


def _train_cfg(detector: Detector) -> dict[str, Any]:
    return {
        "rpn": {
            "assigner": _assigner(0.7, 0.3, True),
            "sampler": {"type": "RandomSampler", "num": 256, "pos_fraction": 0.5, "neg_pos_ub": -1, "add_gt_as_proposals": False},
            "allowed_border": -1,
            "pos_weight": -1,
            "debug": False,
        },
        "rpn_proposal": _proposals(detector.proposals[0]),
        "rcnn": {
            "assigner": _assigner(0.5, 0.5, False),
            "sampler": {"type": "RandomSampler", "num": 128, "pos_fraction": 0.25, "neg_pos_ub": -1, "add_gt_as_proposals": True},
            "pos_weight": -1,
            "debug": False,
        },
    }


def _test_cfg(detector: Detector) -> dict[str, Any]:
    return {
        "rpn": _proposals(detector.proposals[1]),
        "rcnn": {"score_thr": 0.001, "nms": {"type": "nms", "iou_threshold": 0.5}, "max_per_img": 100},
    }


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
        "custom_imports": {"imports": ["pipeline.detection.light_head", "pipeline.detection.transforms"], "allow_failed_imports": False},
        "model": model(detector),
        "test_dataloader": {"batch_size": 1, "dataset": dataset},
        "training": facts,
    }


def text(configuration: dict[str, Any]) -> str:
    """A configuration as the Python file that MMEngine reads."""
    return "".join(f"{key} = {pformat(value, width=120, sort_dicts=False)}\n" for key, value in configuration.items())


def build(configuration: dict[str, Any]) -> Any:
    """The detector of the `model` part of a configuration."""

    from mmdet.registry import MODELS
    from mmengine.config import ConfigDict
    from mmengine.registry import init_default_scope

    import pipeline.detection.light_head  # noqa: F401 (registers the modules)

    init_default_scope("mmdet")
    return MODELS.build(ConfigDict(copy.deepcopy(configuration)))  # MMDetection changes what it is given
