"""Training and detecting on small images: a batch is learned, resumption is exact, foreign programs load the result."""

import json
import pathlib
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook

from pipeline import coco
from pipeline.detection import config, initial, train
from pipeline.detection.detect import detect, load_detector, write
from pipeline.errors import PipelineError
from pipeline.training import engine
from tests.detection.conftest import DETECT, DETECTOR, RUNTIME, write_set

ROOT = Path(__file__).parents[2]
SHORT = DETECTOR.model_copy(update={"iterations": 4})


def test_eight_images_are_learned(trained):
    found = detect(load_detector(trained.folder), trained.annotations, DETECT, RUNTIME)
    truth = coco.by_image(coco.read(trained.annotations))
    best = {image: next(one for one in found if one["image_id"] == image) for image in truth}
    overlaps = {image: iou(best[image]["bbox"], lesion["bbox"]) for image, (lesion,) in truth.items()}
    assert min(overlaps.values()) > 0.3 and np.mean(list(overlaps.values())) > 0.6
    assert min(one["score"] for one in best.values()) > 0.4


def iou(one, other):
    a, b = (coco.xyxy(np.array(box)) for box in (one, other))
    common = np.prod(np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None))
    return common / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - common)


def test_results_are_sorted_limited_and_above_the_score(trained):
    model = load_detector(trained.folder)
    few = DETECT.model_copy(update={"score_min": 0.01, "max_per_image": 3})
    found = detect(model, trained.annotations, few, RUNTIME)
    keys = [(one["image_id"], -one["score"]) for one in found]
    assert keys == sorted(keys)
    assert min(one["score"] for one in found) >= 0.01
    assert max(sum(one["image_id"] == image for one in found) for image in range(1, 9)) <= 3
    assert len(detect(model, trained.annotations, few.model_copy(update={"score_min": 0.0}), RUNTIME)) == 24
    assert found == detect(load_detector(trained.folder), trained.annotations, few, RUNTIME)


def test_boxes_that_overlap_more_than_nms_are_dropped(trained):
    model = load_detector(trained.folder)
    for limit in (0.5, 0.1):
        found = detect(model, trained.annotations, DETECT.model_copy(update={"score_min": 0.0, "max_per_image": 20, "nms": limit}), RUNTIME)
        boxes = {image: [one["bbox"] for one in found if one["image_id"] == image] for image in range(1, 9)}
        largest = max(iou(a, b) for own in boxes.values() for i, a in enumerate(own) for b in own[:i])
        assert limit - 0.1 < largest <= limit + 0.02  # boxes are rounded to a hundredth of a px


def test_boxes_are_in_px_of_the_file_whatever_the_size_of_the_input(trained):
    model = load_detector(trained.folder)
    plain = detect(model, trained.annotations, DETECT, RUNTIME)
    model.size = [60, 80]  # the images enlarged by 1.25
    larger = detect(model, trained.annotations, DETECT, RUNTIME)
    best = [{one["image_id"]: one["bbox"] for one in reversed(found)} for found in (plain, larger)]
    centres = [np.array([np.array(boxes[image])[:2] + np.array(boxes[image])[2:] / 2 for image in range(1, 9)]) for boxes in best]
    assert np.median(np.abs(centres[0] - centres[1])) < 2.0


def test_results_files_are_coco_results(trained, tmp_path):
    write(trained.folder, {tmp_path / "p" / "0.json": trained.annotations}, DETECT, RUNTIME)
    results = json.loads((tmp_path / "p" / "0.json").read_text())
    assert results and all(one.keys() == {"image_id", "category_id", "bbox", "score"} for one in results)
    from pycocotools.coco import COCO

    loaded = COCO(str(trained.annotations)).loadRes(str(tmp_path / "p" / "0.json"))
    assert len(loaded.anns) == len(results)


def test_the_folder_is_loaded_by_mmdetection_in_a_bare_process(trained, tmp_path):
    """init_detector and inference_detector, with nothing of this project imported before, give the same boxes."""
    image = trained.annotations.parent / "images" / "0.png"
    script = f"""
import json, sys
sys.path.insert(0, {str(ROOT)!r})
from mmdet.apis import inference_detector, init_detector
model = init_detector({str(trained.folder / "config.py")!r}, {str(trained.folder / "model.pth")!r}, device="cpu")
found = inference_detector(model, {str(image)!r}).pred_instances
print("RESULT" + json.dumps([found.bboxes[0].tolist(), float(found.scores[0]), model.dataset_meta["classes"]]))
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    box, score, classes = json.loads(done.stdout.split("RESULT")[1])
    exact = RUNTIME.model_copy(update={"precision": "fp32"})
    ours = detect(load_detector(trained.folder), trained.annotations, DETECT, exact)[0]
    np.testing.assert_allclose(box, coco.xyxy(np.array(ours["bbox"])), atol=0.02)
    assert score == pytest.approx(ours["score"], abs=1e-5)
    assert classes == ["mass"]


class Planted:
    """Writes a file when it is unpickled."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return pathlib.Path.write_text, (pathlib.Path(self.file), "code was run")


@pytest.mark.attack
def test_a_planted_checkpoint_runs_no_code_in_mmdetection(trained, tmp_path):
    """The control, MMEngine alone, does run it: else this test could not fail."""
    for name, zipped in (("with", True), ("with_old", False), ("without", True)):
        state = {"state_dict": {}, "meta": Planted(str(tmp_path / f"ran_{name}"))}
        torch.save(state, tmp_path / f"{name}.pth", _use_new_zipfile_serialization=zipped)
    script = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from mmengine.runner.checkpoint import CheckpointLoader
CheckpointLoader.load_checkpoint({str(tmp_path / "without.pth")!r}, map_location="cpu")
from mmdet.apis import init_detector
for checkpoint in ({str(tmp_path / "with.pth")!r}, {str(tmp_path / "with_old.pth")!r}, "https://example.org/model.pth"):
    try:
        init_detector({str(trained.folder / "config.py")!r}, checkpoint, device="cpu")
    except Exception as error:
        print("REFUSED", type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    refused = [line for line in done.stdout.splitlines() if line.startswith("REFUSED PipelineError")]
    for line, reason in zip(refused, ("with.pth: cannot be read", "with_old.pth: cannot be read", "compare its hash"), strict=True):
        assert reason in line, done.stderr[-2000:]
    assert [path.name for path in tmp_path.glob("ran_*")] == ["ran_without"]


@pytest.mark.attack
def test_a_planted_configuration_is_not_run(trained, tmp_path):
    shutil.copytree(trained.folder, tmp_path / "model")
    planted = tmp_path / "model" / "config.py"
    planted.write_text(planted.read_text() + f"\n__import__('pathlib').Path({str(tmp_path / 'ran')!r}).touch()\n")
    with pytest.raises(PipelineError, match=r"config\.py: holds more than names and plain values"):
        load_detector(tmp_path / "model")
    assert not (tmp_path / "ran").exists()


class Interrupt(Hook):
    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == 3:
            raise KeyboardInterrupt


def test_a_resumed_detector_has_the_same_bytes(tmp_path, monkeypatch):
    annotations = write_set(tmp_path / "set", dtype=np.uint16)
    train.train(annotations, tmp_path / "a" / "real" / "0", SHORT, RUNTIME, 1, tmp_path / "state")
    assert not list((tmp_path / "state").rglob("*.pth")), "the state of a finished training is removed"
    fit = engine.fit
    monkeypatch.setattr(engine, "fit", lambda *a, **k: fit(*a, custom_hooks=[Interrupt()], save_seconds=0, **k))
    with pytest.raises(KeyboardInterrupt):
        train.train(annotations, tmp_path / "b" / "real" / "0", SHORT, RUNTIME, 1, tmp_path / "state")
    assert not (tmp_path / "b" / "real" / "0").exists()
    assert len(list((tmp_path / "state").rglob("*.pth"))) == 2
    monkeypatch.undo()
    train.train(annotations, tmp_path / "b" / "real" / "0", SHORT, RUNTIME, 1, tmp_path / "state")
    for name in ("config.py", "model.pth", "losses.csv"):
        assert (tmp_path / "a" / "real" / "0" / name).read_bytes() == (tmp_path / "b" / "real" / "0" / name).read_bytes(), name
    header, *rows = (tmp_path / "a" / "real" / "0" / "losses.csv").read_text().splitlines()
    assert header == "iteration,loss,loss_rpn_cls,loss_rpn_bbox,loss_cls,acc,loss_bbox" and len(rows) == 4


@pytest.mark.parametrize("arch", ["faster_rcnn_fpn", "retinanet"])
def test_other_detectors_are_trained_and_detect(tmp_path, arch):
    annotations = write_set(tmp_path / "set")
    settings = DETECTOR.model_copy(update={"arch": arch, "iterations": 2, "batch": 2, "size": [128, 160]})
    train.train(annotations, tmp_path / "real" / "0", settings, RUNTIME, 1, tmp_path / "state")
    every = DETECT.model_copy(update={"score_min": 0.0, "max_per_image": 3})
    found = detect(load_detector(tmp_path / "real" / "0"), annotations, every, RUNTIME)
    assert {one["image_id"] for one in found} == set(range(1, 9)) and len(found) == 24
    assert all(x >= 0 and x + width <= 56.1 and y >= 0 and y + height <= 64.1 for x, y, width, height in (one["bbox"] for one in found))


def test_epochs_and_learning_rate_by_hand():
    epochs = DETECTOR.model_copy(update={"schedule": "epochs", "epochs": 10, "batch": 4})
    assert train.iterations_of(epochs, 566) == 1415  # the paper: ten epochs of 566 images are 1,415 updates
    assert train.iterations_of(DETECTOR, 566) == 100
    # warm-up over 10 of 100 iterations, half a cosine over the other 90 down to 0.02
    expected = {0: 0.1, 4: 0.5, 9: 1.0, 10: 1.0, 55: 0.02 + 0.98 * 0.5, 100: 0.02}
    assert {i: train.lr_factor(i, 100) for i in expected} == pytest.approx(expected)


def test_pretrained_backbones_and_detectors_are_loaded(trained, tmp_path):
    from torchvision.models import resnet18

    torch.manual_seed(0)
    state = resnet18(weights=None).state_dict()
    torch.save(state, tmp_path / "resnet18.pth")
    wide = DETECTOR.model_copy(update={"width": 64, "init": str(tmp_path / "resnet18.pth")})
    model = config.build(config.model(wide))
    initial.insert(model, initial.weights(wide, tmp_path), wide.init)
    assert torch.equal(model.backbone.layer4[1].conv2.weight, state["layer4.1.conv2.weight"])
    whole = DETECTOR.model_copy(update={"init": str(trained.folder / "model.pth")})
    model = config.build(config.model(whole))
    initial.insert(model, initial.weights(whole, tmp_path), whole.init)
    assert torch.equal(model.roi_head.bbox_head.hidden.weight, load_detector(trained.folder).roi_head.bbox_head.hidden.weight)


def test_pretrained_weights_that_do_not_fit_are_refused_with_the_reason(tmp_path):
    annotations = write_set(tmp_path / "set")

    def attempt(**changes):
        train.train(annotations, tmp_path / "real" / "0", DETECTOR.model_copy(update=changes), RUNTIME, 1, tmp_path / "state")

    with pytest.raises(PipelineError, match=r"needs detector\.width 64, the standard ResNet; it is 8"):
        attempt(init="imagenet")
    with pytest.raises(PipelineError, match="no such file"):
        attempt(init=str(tmp_path / "absent.pth"))
    torch.save({"conv1.weight": torch.zeros(64, 3, 7, 7)}, tmp_path / "part.pth")
    with pytest.raises(PipelineError, match=r"does not fit the backbone: \d+ weights missing .* 1 of another shape \['conv1\.weight'\]"):
        attempt(init=str(tmp_path / "part.pth"))
