"""Tuning on the validation patients: what arms mean, what is trained together, what is not trained twice, and numbers by hand."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from mmengine.hooks import Hook

from benchmarks import cells, tuning
from pipeline import coco, schedule
from pipeline.errors import PipelineError
from pipeline.params import check, read_yaml
from pipeline.profile import merge
from pipeline.training import engine
from tests.code_deps import ROOT
from tests.detection.conftest import DETECTOR, write_set
from tests.evaluation.cases import dataset, image, results

BASE = read_yaml(ROOT / "params.yaml")
LESION, FAR = [10.0, 20.0, 30.0, 20.0], [100.0, 100.0, 10.0, 10.0]


def arms(*lines):
    return [tuning.arm(line.split(), {"study": {"baselines": ["copy_paste"]}}) for line in lines]


def test_arms_change_the_keys_they_name_over_the_profile():
    (one,) = arms("strong detector.augment.turn=30 detector.augment.flip=0 detector.anchors=[8,16] detector.size=null")
    changed = {"augment": {"turn": 30, "flip": 0}, "anchors": [8, 16], "size": None}
    assert one.name == "strong" and one.overlay == {"study": {"baselines": ["copy_paste"]}, "detector": changed}


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["a detector.lr"], "arm a: changes are written KEY=VALUE"),
        (["a detector.lr=0", "b detector.width=0"], r"(?s)arms that cannot be trained \(2\).*lr.*width"),
        (["a", "a seed=1"], "arms of one name"),
    ],
)
def test_arms_that_cannot_be_are_refused_all_at_once(lines, said):
    with pytest.raises(PipelineError, match=said):
        tuning.planned(arms(*lines), ["real"], BASE)


def test_arms_of_equal_training_sets_are_trained_side_by_side():
    made = arms(
        "a", "lr detector.lr=0.002", "less split.train_fraction=0.25", "nms detect.nms=0.2", "lite detector.backbone=efficientnet_lite0"
    )
    groups = tuning.planned(made, ["real", "copy_paste_120"], BASE)
    assert [[one.name for one, _ in group] for group in groups] == [["a", "lr", "nms"], ["less"], ["lite"]]
    assert tuning.stages(groups[0][0][1], ["real"]) == ["preprocess", "weights"]
    assert tuning.stages(groups[0][0][1], ["real", "gan_60", "copy_paste_120"]) == [
        "preprocess", "weights", "pool_gan", "pool_baseline@copy_paste",
    ]  # fmt: skip


def small(folder: Path, **changes: object) -> cells.Cell:
    """A training of four steps on eight small images."""
    ours = {"detector": {**DETECTOR.model_dump(), "iterations": 4, **changes}}
    return cells.Cell(write_set(folder), folder / "annotations.json", folder, check(merge(BASE, ours)), 0)


class Interrupt(Hook):
    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == 3:
            raise KeyboardInterrupt


def test_an_interrupted_cell_goes_on_to_the_same_detections_and_none_is_run_twice(tmp_path, monkeypatch):
    cell = small(tmp_path / "set")
    straight, other = tmp_path / "straight", tmp_path / "other"
    cells.run(cell, straight)
    fit = engine.fit
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(engine, "fit", lambda *a, **k: fit(*a, custom_hooks=[Interrupt()], save_seconds=0, **k))
        cells.run(cell, other)
    assert not (other / "done.json").exists()
    monkeypatch.setattr(schedule, "module", lambda name, folder, lines: cells.run(cells.described(Path(folder)), Path(folder)))
    cells.run_all([(cell, other), (cell, straight), (cell, other)], jobs=1)
    for name in ("model/model.pth", "model/losses.csv", "detections.json"):
        assert (other / name).read_bytes() == (straight / name).read_bytes(), name
    assert json.loads((straight / "done.json").read_text())["cpu_seconds"] > 0
    assert json.loads((other / "done.json").read_text())["cpu_seconds"] is None  # a part of it was done before
    assert not (straight / "cell.json").exists(), "what is done is not started"
    assert cells.done(cell, straight) and not cells.done(replace(cell, seed=1), straight)


def test_a_share_of_pool_images_matters_where_there_are_some(tmp_path):
    half = {"synthetic": {"mode": "add", "share": 0.5, "pretrain": 0.5}}
    assert small(tmp_path).fingerprint == small(tmp_path, **half).fingerprint != small(tmp_path, lr=0.001).fingerprint
    made = json.loads((tmp_path / "annotations.json").read_text())
    made["images"][0]["synthetic"] = True
    coco.write(tmp_path / "pool.json", made)
    mixed, shared = (replace(cell, trainset=tmp_path / "pool.json") for cell in (small(tmp_path), small(tmp_path, **half)))
    assert mixed.fingerprint != shared.fingerprint


def test_cells_that_fail_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(schedule, "module", lambda name, folder, lines: 3)
    with pytest.raises(PipelineError, match=r"trainings that failed \(1\):\n  - .*cell: exit code 3"):
        cells.run_all([(small(tmp_path / "set"), tmp_path / "cell")], jobs=1)


@pytest.fixture
def ten(tmp_path):
    """Ten patients with a mass each. Arm a finds 4 and 6 of them, b 8 and 8, nobody anything else."""
    known = dataset([image(i + 1, f"p{i}") for i in range(10)], [(i + 1, LESION) for i in range(10)])
    made = {}
    for name, seed, n, seconds in (("a", 0, 4, 60.0), ("a", 1, 6, 180.0), ("b", 0, 8, None), ("b", 1, 8, None)):
        folder = made[name, "real", seed] = tmp_path / f"{name}{seed}"
        folder.mkdir()
        (folder / "detections.json").write_text(json.dumps(results(*((i + 1, LESION, 0.9) for i in range(n)))))
        (folder / "done.json").write_text(json.dumps({"cpu_seconds": seconds}))
    return made, known


def test_differences_by_hand(ten):
    found = tuning.compared(*ten, check(BASE), resamples=200)
    (contrast,) = found["contrasts"]
    assert contrast["metrics"]["sens_at_1fp"]["difference"] == pytest.approx(0.3)
    assert [one["mean_sens_0.25_4"] for one in found["trainings"]] == pytest.approx([0.4, 0.6, 0.8, 0.8])
    lines = tuning.table(found).splitlines()
    assert lines[2].startswith("| a | 2 | 2.0 | 0.500 | 0.500 | 0.500 [0.") and lines[3].startswith("| b | 2 |  | 0.800 | 0.800 | 0.800 [")
    assert lines[5].startswith("| less a |") and lines[7].startswith("| b | +0.300 | +0.300 | +0.300 [")


def test_the_command_writes_a_table_that_says_what_was_compared(ten, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(tuning, "trained", lambda *given: asked.append(given) or ten)
    words = ["--profile", "cbis-cpu", "--seeds", "0", "1", "--arm", "a", "--arm", "b", "detector.lr=0.002", "detector.batch=2", "--out"]
    monkeypatch.setattr("sys.argv", ["tuning", *words, str(tmp_path / "out")])
    monkeypatch.chdir(ROOT)
    tuning.main()
    ((arms, points, seeds, work, jobs, on),) = asked
    assert arms[1].overlay["detector"]["lr"] == 0.002 and arms[1].overlay["detector"]["backbone"] == "efficientnet_lite0"
    assert (points, seeds, work, jobs, on) == (["real"], [0, 1], Path("build/tuning"), 1, Path("data/prepared/val/annotations.json"))
    text = (tmp_path / "out/table.md").read_text()
    assert (
        "10 masses of 10 validation patients" in text
        and "profile cbis-cpu" in text
        and "- b: `detector.lr=0.002`, `detector.batch=2`" in text
    )
    assert json.loads((tmp_path / "out/numbers.json").read_text())["settings"]["b"] == ["detector.lr=0.002", "detector.batch=2"]
