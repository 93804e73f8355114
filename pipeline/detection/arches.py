"""Detectors as MMDetection model configurations: Light-Head R-CNN and the ones it is compared with.

All of them get the same backbone, input, assignment, proposals and number of sampled regions from the same params;
docs/detector.md tells what each param means for each of them.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.errors import PipelineError
from pipeline.params import Detector

Config = dict[str, Any]

MEAN, STD = 0.449, 0.226  # means of the ImageNet constants over the colours; grey images in [0, 1]
STRIDES = {8: ((1, 2, 1, 1), (1, 1, 2, 4)), 16: ((1, 2, 2, 1), (1, 1, 1, 2))}  # of the stages: strides, dilations
EXPANSION = {18: 1, 50: 4, 101: 4}
SAMPLED = 128  # regions of an image that the head learns from
SAMPLED_HARD = 256  # the same with ohem (Li et al.'s code)
OUTPUT = {"score_thr": 0.001, "nms": {"type": "nms", "iou_threshold": 0.5}, "max_per_img": 100}


def model(detector: Detector) -> Config:
    """The `model` part of the configuration. `detector.anchors` must be numbers (see `train.fitted`)."""
    if detector.arch in ARCHS:
        return ARCHS[detector.arch](detector)
    return from_file(Path(detector.arch))


def light_head(detector: Detector) -> Config:
    """Light-Head R-CNN. With depth 101, width 64, stride 16, mid 256 it is the large setting of Li et al. (2017)."""
    c4, c5 = channels(detector)[2:]
    roi_head = {
        "type": "StandardRoIHead",
        "bbox_roi_extractor": {"type": "PSRoIAlign", "stride": detector.stride, "pool": detector.pool},
        "bbox_head": {"type": "LightBBoxHead", **_box_outputs()},
    }
    return {
        "type": "FasterRCNN",
        "data_preprocessor": _preprocessor(16),
        "backbone": _backbone(detector, *STRIDES[detector.stride], outputs=(2, 3)),
        "neck": {"type": "LargeSeparableConv", "in_channels": c5, "mid_channels": detector.mid},
        "rpn_head": _rpn_head("C4RPNHead", c4, c4 // 2, _anchors(detector)),
        "roi_head": roi_head,
        **_two_stages(detector, nms_pre=6),
    }


def faster_rcnn_c4(detector: Detector) -> Config:
    """Faster R-CNN whose head is the last stage of the ResNet, run on every region (MMDetection's faster-rcnn_r50-caffe-c4)."""
    _, _, c4, c5 = channels(detector)
    strides, dilations = STRIDES[detector.stride]
    pretrained = detector.init != "none"
    roi_head = {
        "type": "StandardRoIHead",
        "shared_head": {"type": "LastStage", "depth": detector.depth, "width": detector.width, "norm_eval": pretrained},
        "bbox_roi_extractor": _roi_align(14, c4, [detector.stride]),
        "bbox_head": {"type": "FloatBBoxHead", "with_avg_pool": True, "roi_feat_size": 7, "in_channels": c5, **_box_outputs()},
    }
    return {
        "type": "FasterRCNN",
        "data_preprocessor": _preprocessor(16),
        "backbone": _backbone(detector, strides[:3], dilations[:3], outputs=(2,)),
        "rpn_head": _rpn_head("C4RPNHead", c4, c4, _anchors(detector)),
        "roi_head": roi_head,
        **_two_stages(detector, nms_pre=6),
    }


def faster_rcnn_fpn(detector: Detector) -> Config:
    """Faster R-CNN on a feature pyramid (MMDetection's faster-rcnn_r50_fpn). The smallest anchor doubles from level to level."""
    strides = [4, 8, 16, 32, 64]
    pyramid, hidden = 4 * detector.width, 16 * detector.width
    head = {"type": "FloatShared2FCBBoxHead", "in_channels": pyramid, "fc_out_channels": hidden, "roi_feat_size": 7, **_box_outputs()}
    return {
        "type": "FasterRCNN",
        "data_preprocessor": _preprocessor(32),
        "backbone": _backbone(detector, (1, 2, 2, 2), (1, 1, 1, 1), outputs=(0, 1, 2, 3)),
        "neck": {"type": "FPN", "in_channels": channels(detector), "out_channels": pyramid, "num_outs": 5},
        "rpn_head": _rpn_head("FloatRPNHead", pyramid, pyramid, _generator([_smallest(detector) / 4], detector.ratios, strides)),
        "roi_head": {"type": "StandardRoIHead", "bbox_roi_extractor": _roi_align(7, pyramid, strides[:4]), "bbox_head": head},
        **_two_stages(detector, nms_pre=2),
    }


def retinanet(detector: Detector) -> Config:
    """RetinaNet (MMDetection's retinanet_r50_fpn): one stage, focal loss. `proposals` and `ohem` mean nothing to it."""
    pyramid = 4 * detector.width
    anchors = {
        "type": "AnchorGenerator", "octave_base_scale": _smallest(detector) / 8, "scales_per_octave": 3,
        "ratios": detector.ratios, "strides": [8, 16, 32, 64, 128],
    }  # fmt: skip
    head = {
        "type": "FloatRetinaHead", "num_classes": 1, "in_channels": pyramid, "stacked_convs": 4, "feat_channels": pyramid,
        "anchor_generator": anchors, "bbox_coder": _coder([1.0, 1.0, 1.0, 1.0]),
        "loss_cls": {"type": "FocalLoss", "use_sigmoid": True, "gamma": 2.0, "alpha": 0.25}, "loss_bbox": {"type": "L1Loss"},
    }  # fmt: skip
    return {
        "type": "RetinaNet",
        "data_preprocessor": _preprocessor(32),
        "backbone": _backbone(detector, (1, 2, 2, 2), (1, 1, 1, 1), outputs=(0, 1, 2, 3)),
        "neck": {
            "type": "FPN", "in_channels": channels(detector), "out_channels": pyramid,
            "start_level": 1, "add_extra_convs": "on_input", "num_outs": 5,
        },
        "bbox_head": head,
        "train_cfg": {
            "assigner": {**_assigner(0.5, 0.4, True), "min_pos_iou": 0.0}, "sampler": {"type": "PseudoSampler"},
            "allowed_border": -1, "pos_weight": -1, "debug": False,
        },
        "test_cfg": {"nms_pre": 1000, "min_bbox_size": 0, **OUTPUT},
    }  # fmt: skip


ARCHS: dict[str, Callable[[Detector], Config]] = {
    "light_head": light_head, "faster_rcnn_c4": faster_rcnn_c4, "faster_rcnn_fpn": faster_rcnn_fpn, "retinanet": retinanet,
}  # fmt: skip


def from_file(path: Path) -> Config:
    """The `model` of an MMDetection config file, with our preprocessing of grey images, for one class.

    Weights that the file names are not fetched: `detector.init` says where they come from. Raises PipelineError where the
    file is absent, is no configuration or holds no model.
    """
    from mmengine.config import Config as File

    if not path.is_file():
        raise PipelineError(f"detector.arch {path}: no such file")
    try:
        made = File.fromfile(path).to_dict().get("model")
    except Exception as error:  # it is a program: anything may come
        raise PipelineError(f"detector.arch {path}: cannot be read as a configuration ({type(error).__name__}: {error})") from None
    if not isinstance(made, dict):
        raise PipelineError(f"detector.arch {path}: holds no model = dict(...)")
    divisor = made.get("data_preprocessor", {}).get("pad_size_divisor", 32)
    return {**_one_class(made), "data_preprocessor": _preprocessor(divisor)}


def _one_class(value: Any) -> Any:
    """A copy with one class wherever a number of classes is named, and no weights to fetch."""
    if isinstance(value, dict):
        kept = {key: _one_class(one) for key, one in value.items() if not (key == "init_cfg" and _fetches(one))}
        return {**kept, **({"num_classes": 1} if "num_classes" in kept else {})}
    return type(value)(map(_one_class, value)) if isinstance(value, list | tuple) else value


def _fetches(init: Any) -> bool:
    return isinstance(init, dict) and init.get("type") == "Pretrained"


def channels(detector: Detector) -> list[int]:
    """Channels of the four stages of the backbone."""
    if detector.backbone == "efficientnet_lite0":
        return [24, 40, 112, 320]
    return [detector.width * 2**stage * EXPANSION[detector.depth] for stage in range(4)]


def _preprocessor(divisor: int) -> Config:
    return {
        "type": "EvenPreprocessor",
        "mean": [MEAN] * 3,
        "std": [STD] * 3,
        "pad_value": -MEAN / STD,  # black
        "pad_size_divisor": divisor,
    }


def _backbone(detector: Detector, strides: tuple[int, ...], dilations: tuple[int, ...], outputs: tuple[int, ...]) -> Config:
    scratch = detector.init == "none"
    # from scratch the statistics are learned; pretrained ones are kept fixed, with the first two stages (Li et al.)
    fixed = {"norm_eval": not scratch, "frozen_stages": -1 if scratch else 1}
    if detector.backbone == "efficientnet_lite0":
        return {"type": "EfficientNetLite0", "stride": detector.stride, **fixed}
    return {
        "type": "ResNet",
        "depth": detector.depth,
        "base_channels": detector.width,
        "stem_channels": detector.width,
        **({"num_stages": len(strides)} if len(strides) < 4 else {}),
        "strides": strides,
        "dilations": dilations,
        "out_indices": outputs,
        **fixed,
    }


def _coder(stds: list[float]) -> Config:
    return {"type": "DeltaXYWHBBoxCoder", "target_means": [0.0] * 4, "target_stds": stds}


def _generator(scales: list[float], ratios: list[float], strides: list[int]) -> Config:
    return {"type": "AnchorGenerator", "scales": scales, "ratios": ratios, "strides": strides}


def _anchors(detector: Detector) -> Config:
    """Anchors of all sides at each place of the one map, centred on its px."""
    centres = [(detector.stride / 2, detector.stride / 2)]
    return {"type": "AnchorGenerator", "base_sizes": [1], "scales": detector.anchors, "ratios": detector.ratios,
            "strides": [detector.stride], "centers": centres}  # fmt: skip


def _smallest(detector: Detector) -> float:
    return min(side for side in detector.anchors if not isinstance(side, str))


def _rpn_head(kind: str, in_channels: int, hidden: int, anchors: Config) -> Config:
    return {
        "type": kind,
        "in_channels": in_channels,
        "feat_channels": hidden,
        "anchor_generator": anchors,
        "bbox_coder": _coder([1.0, 1.0, 1.0, 1.0]),
        "loss_cls": {"type": "CrossEntropyLoss", "use_sigmoid": True},
        "loss_bbox": {"type": "SmoothL1Loss", "beta": 1 / 9},
    }


def _box_outputs() -> Config:
    """Classes, coder and losses of every head of a second stage."""
    return {
        "num_classes": 1,
        "bbox_coder": _coder([0.1, 0.1, 0.2, 0.2]),
        "loss_cls": {"type": "CrossEntropyLoss"},
        "loss_bbox": {"type": "SmoothL1Loss"},
    }


def _roi_align(size: int, in_channels: int, strides: list[int]) -> Config:
    layer = {"type": "RoIAlign", "output_size": size, "sampling_ratio": 2}
    return {"type": "SingleRoIExtractor", "roi_layer": layer, "out_channels": in_channels, "featmap_strides": strides}


def _assigner(positive: float, negative: float, low_quality: bool) -> Config:
    return {
        "type": "IgnoringAssigner",
        "pos_iou_thr": positive,
        "neg_iou_thr": negative,
        "min_pos_iou": negative,
        "match_low_quality": low_quality,
        "ignore_iof_thr": 0.5,
    }


def _proposals(kept: int, nms_pre: int) -> Config:
    return {"nms_pre": nms_pre * kept, "max_per_img": kept, "nms": {"type": "nms", "iou_threshold": 0.7}, "min_bbox_size": 0}


def _two_stages(detector: Detector, nms_pre: int) -> Config:
    """train_cfg and test_cfg. nms_pre: proposals before suppression (of a level), as a multiple of those kept."""
    hard = {"type": "OHEMSampler", "num": SAMPLED_HARD} if detector.ohem else {"type": "NumberedSampler", "num": SAMPLED}
    return {
        "train_cfg": {
            "rpn": {
                "assigner": _assigner(0.7, 0.3, True),
                "sampler": {"type": "NumberedSampler", "num": 256, "pos_fraction": 0.5, "neg_pos_ub": -1, "add_gt_as_proposals": False},
                "allowed_border": -1,
                "pos_weight": -1,
                "debug": False,
            },
            "rpn_proposal": _proposals(detector.proposals[0], nms_pre),
            "rcnn": {
                "assigner": _assigner(0.5, 0.5, False),
                "sampler": {**hard, "pos_fraction": 0.25, "neg_pos_ub": -1, "add_gt_as_proposals": True},
                "pos_weight": -1,
                "debug": False,
            },
        },
        "test_cfg": {"rpn": _proposals(detector.proposals[1], nms_pre), "rcnn": OUTPUT},
    }
