"""The whole graph on the tiny profile: what it writes, what reruns, what does not."""

import csv
import hashlib
import json
import shutil
import signal
import subprocess
import sys
import time

import pytest
from pycocotools.coco import COCO

from pipeline.profile import write
from tests.conftest import ENVIRONMENT, ran

pytestmark = pytest.mark.slow


def test_every_contract_file_is_there(tiny):
    for name in ("metrics.json", "curve.csv", "froc.csv", "quality.json", "summary.json", "index.html"):
        assert (tiny.root / "reports" / name).stat().st_size > 0
    with open(tiny.root / "reports/curve.csv") as file:
        rows = list(csv.DictReader(file))
    assert set(rows[0]) == {"point", "arm", "seed", "n_train", "n_real", "n_synthetic", "metric", "value", "ci_low", "ci_high"}
    assert {row["point"] for row in rows} == {"real", "traditional_4", "gan_4"}
    real, gan = ({row["n_train"] for row in rows if row["point"] == point} for point in ("real", "gan_4"))
    assert int(gan.pop()) == int(real.pop()) + 4
    assert len(json.loads((tiny.root / "reports/summary.json").read_text())) <= 6


def test_no_patient_is_on_both_sides_of_the_split(tiny):
    patients = {}
    for part in ("train", "val", "test"):
        loaded = COCO(tiny.root / "data/prepared" / part / "annotations.json")
        patients[part] = {image["patient_id"] for image in loaded.imgs.values()}
    assert all(patients.values())
    assert not patients["train"] & patients["val"] and not patients["train"] & patients["test"] and not patients["val"] & patients["test"]
    for learned in (
        "models/masks/meta.json",
        "models/infill/meta.json",
        "data/pools/gan/manifest.json",
        "data/pools/traditional/manifest.json",
    ):
        seen = set(json.loads((tiny.root / learned).read_text())["patients"])
        assert seen and seen <= patients["train"], learned


def test_predictions_are_coco_results(tiny):
    for part, name in (("test", "0.json"), ("val", "0.val.json")):
        truth = COCO(tiny.root / "data/prepared" / part / "annotations.json")
        results = json.loads((tiny.root / "predictions/real" / name).read_text())
        assert {one["image_id"] for one in results} <= set(truth.imgs)
        assert all(set(one) == {"image_id", "category_id", "bbox", "score"} for one in results)


def test_nothing_runs_again_and_it_is_quick(tiny):
    began = time.monotonic()
    assert tiny.repro() == set()
    assert time.monotonic() - began < 15  # 5 s on a quiet machine


def test_other_generator_reruns_no_detector_without_its_images(tiny):
    changed = ("gen.arch=spade", "gen.labels=two", "gen.margin=316", "gen.loss=hinge")
    output = tiny.call("dvc", "exp", "run", "--name", "spade", *(part for one in changed for part in ("--set-param", one)))
    meta = json.loads((tiny.root / "models/infill/meta.json").read_text())
    assert (meta["arch"], meta["labels"], meta["margin"], meta["loss"]) == ("spade", "two", 316, "hinge")
    again = ran(output)
    assert {"train_infill", "pool_gan", "quality", "report", "train_detector@gan_4-0", "detect@gan_4-0"} <= again
    cells = {name for name in again if name.startswith(("train_detector", "detect"))}
    assert cells == {"train_detector@gan_4-0", "detect@gan_4-0"}
    assert not again & {"ingest", "preprocess", "train_masks", "pool_traditional"}
    lines = compared(tiny)
    label = "tri-label U\N{NON-BREAKING HYPHEN}Net, gen.margin 296, gen.loss bce"
    assert lines[label] == ["real", f"gan_4 [{label}]"]
    label = "two-channel SPADE, gen.margin 316, gen.loss hinge"
    assert lines[label] == ["real", f"gan_4 [{label}]"]
    assert lines["traditional"] == ["real", "traditional_4"]  # shared, so drawn once
    tiny.call("git", "reset", "--hard", "--quiet")
    tiny.call("dvc", "checkout", "--quiet")
    assert tiny.repro() == set()


STALE = """
from pathlib import Path
from pipeline.profile import write
from pipeline.schedule import state

before = Path("params.yaml").read_bytes()
for key, value in (("arch", "spade"), ("labels", "two"), ("margin", 316)):
    write({"gen": {key: value}}, Path("params.yaml"))
    graph, changed = state()
    print(key, *sorted(changed - {"report"}))
    Path("params.yaml").write_bytes(before)
print("behind", *sorted(one for one in graph if "train_infill" in graph[one]))
"""


def test_each_param_of_the_generator_alone_makes_its_trainings_stale_and_nothing_else(tiny):
    """train_sham trains nothing here. What then reruns for real is the test above's; the report lists all params."""
    found = [line.split() for line in tiny.call(sys.executable, "-c", STALE).splitlines()]
    assert found == [
        *([key, "train_infill", "train_sham"] for key in ("arch", "labels", "margin")),
        ["behind", "pool_gan", "quality", "report"],
    ]


def test_the_diffusion_pool_is_built_where_it_is_asked_for_and_reruns_no_other_cell(tiny):
    pytest.importorskip("diffusers")
    changed = ("study.rivals=[diffusion]", "study.points=[real, traditional_4, gan_4, diffusion_4]")
    again = ran(tiny.call("dvc", "exp", "run", "--name", "rival", *(part for one in changed for part in ("--set-param", one))))
    cells = {f"{stage}@diffusion_4-0" for stage in ("train_detector", "detect")}
    trainsets = {f"trainset@{point}" for point in ("real", "traditional_4", "gan_4", "diffusion_4")}
    assert again == {"train_diffusion@diffusion", "pool_diffusion@diffusion", *trainsets, *cells, "evaluate", "report"}
    pools = [json.loads((tiny.root / f"data/pools/{name}/annotations.json").read_text())["images"] for name in ("gan", "diffusion")]
    assert [[one[key] for key in ("host", "centre", "patch_size")] for one in pools[0]] == [
        [one[key] for key in ("host", "centre", "patch_size")] for one in pools[1]
    ]
    tiny.call("git", "reset", "--hard", "--quiet")
    tiny.call("dvc", "checkout", "--quiet")


def test_sham_and_painted_hosts_train_their_generator_when_they_are_asked_for(tiny):
    assert json.loads((tiny.root / "models/sham/meta.json").read_text()) == {"trained": False}
    write({"study": {"controls": ["sham"]}, "pools": {"sham": {"n": 4}}, "synth": {"hosts": "inpainted"}}, tiny.root / "params.yaml")
    assert tiny.repro("pool_sham@sham") == {"train_sham", "hosts", "pool_sham@sham"}
    pool = json.loads((tiny.root / "data/pools/sham/annotations.json").read_text())
    assert len(pool["images"]) == 4 and not pool["annotations"]
    train = json.loads((tiny.root / "data/prepared/train/annotations.json").read_text())["images"]
    seen = set(json.loads((tiny.root / "models/sham/meta.json").read_text())["patients"])
    assert seen and seen <= {image["patient_id"] for image in train}
    tiny.call("git", "reset", "--hard", "--quiet")
    tiny.call("dvc", "checkout", "--quiet")


def compared(project):
    """Lines of the augmentation curve of `stages.compare` -> their points: the commit beside its experiments."""
    project.call(sys.executable, "-m", "stages.compare", "--out", "build/comparison")
    with open(project.root / "build/comparison/augmentation_curve.csv") as file:
        rows = list(csv.DictReader(file))
    return {line: [row["point"] for row in rows if row["line"] == line] for line in dict.fromkeys(row["line"] for row in rows)}


def test_a_new_size_and_a_new_arm_train_their_own_cells_alone(tiny):
    """The arm's pool makes every trainset look again at what it takes; those that stay as they are train nobody."""
    points = ["gan_2", "real", "traditional_4", "gan_4", "blob_4"]
    arm = {"curve": {"blob_4": {"blob": 4}, "gan_2": {"gan": 2}}, "pools": {"blob": {"n": 4}}}
    write({**arm, "study": {"points": points, "baselines": ["blob"]}}, tiny.root / "params.yaml")
    cells = {f"{stage}@{point}-0" for stage in ("train_detector", "detect") for point in ("gan_2", "blob_4")}
    assert tiny.repro() == {"pool_baseline@blob", *(f"trainset@{point}" for point in points), *cells, "evaluate", "report"}
    tiny.call("git", "reset", "--hard", "--quiet")
    tiny.call("dvc", "checkout", "--quiet")


def test_a_new_seed_trains_its_own_cells_alone(tiny):
    """What would run, without running it; a dry run stops at the first detection, whose model is not there."""
    write({"study": {"seeds": [0, 1]}}, tiny.root / "params.yaml")
    trainings = {name for name in ran(tiny.call("dvc", "repro", "--dry", check=False)) if name.startswith("train_")}
    assert trainings == {"train_detector@real-1", "train_detector@traditional_4-1", "train_detector@gan_4-1"}
    tiny.call("git", "reset", "--hard", "--quiet")


KILLED = """
import os, signal
from types import SimpleNamespace
from mmengine.hooks import Hook
from pipeline.params import load
from pipeline.training import engine
from stages import train_detector

class Kill(Hook):
    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == 2:
            os.kill(os.getpid(), signal.SIGKILL)

fit = engine.fit
engine.fit = lambda *a, **k: fit(*a, custom_hooks=[Kill()], save_seconds=0, **k)
train_detector.run(SimpleNamespace(point="real", seed=0), load())
"""


def test_a_killed_training_ends_with_the_metrics_of_an_undisturbed_one(tiny):
    """Its model has the same bytes, so that DVC finds the metrics up to date."""
    lock = (tiny.root / "dvc.lock").read_bytes()
    shutil.rmtree(tiny.root / "models/detector/real/0")
    died = subprocess.run([sys.executable, "-c", KILLED], cwd=tiny.root, env=ENVIRONMENT, capture_output=True, text=True)
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert not (tiny.root / "models/detector/real/0").exists()
    said = tiny.call("dvc", "repro", "--force", "--single-item", "train_detector@real-0")
    assert "going on after iteration 2 of 3" in said
    assert tiny.repro() == set() and (tiny.root / "dvc.lock").read_bytes() == lock


def test_a_corrupt_cache_object_is_found_removed_and_made_again(tiny):
    """DVC itself takes the object for good: a protected file of its cache is not hashed again."""
    model = tiny.root / "models/masks/model.pth"
    digest = hashlib.md5(model.read_bytes()).hexdigest()
    cached = tiny.root / ".dvc/cache/files/md5" / digest[:2] / digest[2:]
    sound = cached.read_bytes()
    cached.chmod(0o644)
    cached.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
    cached.chmod(0o444)
    shutil.rmtree(model.parent)
    tiny.call("dvc", "checkout", "--quiet", "models/masks")
    said = tiny.call(sys.executable, "-m", "stages.verify", check=False)
    assert "error: damaged files" in said and cached.name in said and "models/masks/model.pth" in said
    tiny.call(sys.executable, "-m", "stages.verify", "--repair")
    assert tiny.repro() == {"train_masks"} and model.read_bytes() == sound and cached.read_bytes() == sound
    tiny.call(sys.executable, "-m", "stages.verify")
