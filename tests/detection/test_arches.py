"""Every detector of `detector.arch` trains and detects; backbones, first weights and configuration files."""

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from pipeline import params
from pipeline.detection import arches, config, initial
from pipeline.detection.backbones import EfficientNetLite0, renamed
from pipeline.errors import PipelineError
from tests.detection.conftest import DETECTOR


def detector(**changes):
    return DETECTOR.model_copy(update=changes)


def build(**changes):
    return config.build(arches.model(detector(**changes)))


def sample(*boxes):
    made = DetDataSample(metainfo={"img_shape": (160, 128), "ori_shape": (160, 128), "scale_factor": (1.0, 1.0)})
    made.set_metainfo({"pad_shape": (160, 128), "batch_input_shape": (160, 128)})
    made.gt_instances = InstanceData(bboxes=torch.tensor(boxes).reshape(-1, 4), labels=torch.zeros(len(boxes), dtype=torch.long))
    made.ignored_instances = InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long))
    return made


def test_params_and_modules_name_the_same_detectors():
    assert tuple(arches.ARCHS) == params.ARCHS


@pytest.mark.parametrize("arch", arches.ARCHS)
def test_losses_are_finite_and_boxes_lie_in_the_image(arch):
    """Under bf16, on a batch with a mass and one without; the outputs are float32."""
    torch.manual_seed(0)
    model = build(arch=arch, stride=16)
    model.init_weights()
    images = torch.rand(2, 3, 160, 128)
    with torch.autocast("cpu", torch.bfloat16):
        losses = model.loss(images, [sample([20.0, 30.0, 40.0, 50.0]), sample()])
        total, shown = model.parse_losses(losses)
        empty = model.parse_losses(model.loss(images, [sample(), sample()]))[1]
        found = model.eval().predict(images, [sample(), sample()])[0].pred_instances
    total.backward()
    assert all(torch.isfinite(weight.grad).all() for weight in model.parameters() if weight.grad is not None)
    assert shown.keys() == empty.keys() and all(torch.isfinite(torch.as_tensor(value)) for value in shown.values())
    assert found.scores.dtype == torch.float32 and len(found)
    assert (found.bboxes >= 0).all() and (found.bboxes <= torch.tensor([128.0, 160, 128, 160])).all()


def test_all_detectors_see_the_same_backbone_proposals_and_samples():
    made = {arch: arches.model(detector(arch=arch, proposals=[200, 50])) for arch in ("light_head", "faster_rcnn_c4", "faster_rcnn_fpn")}
    for one in made.values():
        assert (one["backbone"]["depth"], one["backbone"]["base_channels"]) == (18, 8)
        assert one["train_cfg"]["rpn_proposal"]["max_per_img"] == 200 and one["test_cfg"]["rpn"]["max_per_img"] == 50
        assert one["train_cfg"]["rcnn"] == made["light_head"]["train_cfg"]["rcnn"]


def test_efficientnet_has_the_published_weights_and_the_strides_asked_for():
    # 4,652,008 of the classifier, less its head convolution (320 x 1280), normalisation and 1000 classes
    expected = 4_652_008 - 320 * 1280 - 2 * 1280 - 1281 * 1000
    for stride in (8, 16):
        backbone = EfficientNetLite0(stride)
        assert sum(weight.numel() for weight in backbone.parameters()) == expected == 2_958_848
        c4, c5 = backbone(torch.zeros(1, 3, 96, 64))
        assert c4.shape == (1, 112, 96 // stride, 64 // stride) and c5.shape == (1, 320, 96 // stride, 64 // stride)
    frozen = EfficientNetLite0(16, frozen_stages=1, norm_eval=True).train()
    assert not frozen.stem[0].weight.requires_grad and not frozen.blocks[2].depthwise[0].weight.requires_grad
    assert frozen.blocks[3].depthwise[0].weight.requires_grad and not frozen.blocks[3].depthwise[1].training


def test_names_of_the_package_are_translated_and_the_classifier_is_left_out():
    theirs = ("_conv_stem.weight", "_bn0.bias", "_blocks.12._expand_conv.weight", "_blocks.12._bn0.weight", "_blocks.0._bn2.running_var")
    ours = ("stem.0.weight", "stem.1.bias", "blocks.12.expand.0.weight", "blocks.12.expand.1.weight", "blocks.0.project.1.running_var")
    state = dict.fromkeys((*theirs, "_conv_head.weight", "_bn1.weight", "_fc.bias"), torch.zeros(1))
    assert tuple(renamed(state)) == ours
    assert set(ours) <= EfficientNetLite0().state_dict().keys()


def test_imagenet_weights_of_the_backbone_come_from_the_stage_weights(tmp_path):
    lite = detector(backbone="efficientnet_lite0", init="imagenet", stride=16)
    with pytest.raises(PipelineError, match=r"efficientnet_lite0\.pth: no such file; the stage weights fetches it"):
        initial.weights(lite, tmp_path)
    state = {name: torch.full_like(value, 0.25) for name, value in EfficientNetLite0().state_dict().items()}
    torch.save(state, tmp_path / "efficientnet_lite0.pth")
    model = config.build(arches.model(lite))
    initial.insert(model, initial.weights(lite, tmp_path), lite.init)
    assert (model.backbone.blocks[15].project[0].weight == 0.25).all()


def test_the_head_of_faster_rcnn_c4_takes_the_last_stage_of_a_resnet():
    from torchvision.models import resnet18

    state = resnet18(weights=None).state_dict()
    model = build(arch="faster_rcnn_c4", width=64, init="x.pth")
    initial.insert(model, state, "x.pth")
    assert torch.equal(model.roi_head.shared_head.layer4[1].conv2.weight, state["layer4.1.conv2.weight"])
    assert torch.equal(model.backbone.layer3[0].conv1.weight, state["layer3.0.conv1.weight"])
    assert not model.train().roi_head.shared_head.layer4[0].bn1.training


def test_a_configuration_file_of_mmdetection_becomes_a_detector_of_one_class(tmp_path):
    path = tmp_path / "mine.py"
    plain = arches.model(detector(arch="retinanet"))
    plain["bbox_head"]["num_classes"] = 80
    plain["backbone"]["init_cfg"] = {"type": "Pretrained", "checkpoint": "torchvision://resnet18"}
    plain["data_preprocessor"]["mean"] = [123.675, 116.28, 103.53]
    path.write_text(config.text({"model": plain}))
    made = arches.model(detector(arch=str(path)))
    assert made["bbox_head"]["num_classes"] == 1 and made["data_preprocessor"]["mean"] == [arches.MEAN] * 3
    assert "init_cfg" not in made["backbone"]
    assert config.build(made).bbox_head.retina_cls.out_channels == 3  # three sizes of one ratio, one class


def test_configuration_files_that_cannot_be_used_are_named(tmp_path):
    (tmp_path / "bare.py").write_text("x = 1\n")
    (tmp_path / "broken.py").write_text("model = dict(\n")
    for name, message in (("bare", "holds no model"), ("broken", "cannot be read as a configuration"), ("absent", "no such file")):
        with pytest.raises(PipelineError, match=rf"{name}\.py: {message}"):
            arches.model(detector(arch=str(tmp_path / f"{name}.py")))
