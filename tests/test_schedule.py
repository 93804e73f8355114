"""Trainings at the same time: which, after what, and that they really are."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from pipeline.schedule import Round, needed, rounds
from tests.code_deps import ROOT

GRAPH = {
    "prepare": set(),
    "train_masks": {"prepare"},
    "train_infill": {"prepare"},
    "pool": {"train_masks", "train_infill"},
    "train_detector@real-0": {"pool", "prepare"},
    "train_detector@gan-0": {"pool", "prepare"},
    "detect@real-0": {"train_detector@real-0", "prepare"},
    "detect@gan-0": {"train_detector@gan-0", "prepare"},
    "evaluate": {"detect@real-0", "detect@gan-0"},
}


def test_everything_new_is_two_rounds():
    gans = Round(["prepare"], [["train_infill"], ["train_masks"]])
    cells = [[f"train_detector@{point}-0", f"detect@{point}-0"] for point in ("gan", "real")]
    assert rounds(GRAPH, GRAPH) == [gans, Round(["pool", "prepare"], cells)]


@pytest.mark.parametrize("changed", [set(), {"evaluate"}, {"detect@gan-0"}, {"train_detector@gan-0"}])
def test_up_to_one_training_needs_no_round(changed):
    assert rounds(GRAPH, changed) == []


def test_a_changed_generator_reruns_what_depends_on_it():
    (only,) = rounds(GRAPH, {"train_infill"})
    assert [job[0] for job in only.jobs] == ["train_detector@gan-0", "train_detector@real-0"]


def test_targets_take_what_they_need_along_and_nothing_else():
    assert set(needed(GRAPH, ["train_masks"])) == {"train_masks", "prepare"}
    assert needed(GRAPH, ["detect@gan-0", "prepare"]) == {name: GRAPH[name] for name in GRAPH if "real" not in name and name != "evaluate"}
    assert needed(GRAPH, []) == GRAPH


WAIT = """
import pathlib, sys, time
me, other = sys.argv[1:]
pathlib.Path(f"{me}.begun").touch()
end = time.monotonic() + 60
while not pathlib.Path(f"{other}.begun").exists():
    if time.monotonic() > end:
        sys.exit(f"{other} never ran beside {me}")
    time.sleep(0.05)
pathlib.Path(me).write_text(me)
"""


@pytest.mark.slow
def test_two_trainings_run_at_once_and_a_failure_is_passed_on(tmp_path):
    (tmp_path / ".dvc").mkdir()
    for name in (".dvc/config", ".dvc/.gitignore"):
        shutil.copyfile(ROOT / name, tmp_path / name)
    (tmp_path / "wait.py").write_text(WAIT)
    stages = {f"train_{me}": {"cmd": f"python wait.py {me} {other}", "outs": [me]} for me, other in ("ab", "ba")}
    stages["join"] = {"cmd": "cat a b > c", "deps": ["a", "b"], "outs": ["c"]}

    def run():
        (tmp_path / "dvc.yaml").write_text(json.dumps({"stages": stages}))
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "GIT_CEILING_DIRECTORIES": str(tmp_path.parent)}
        code = "from pipeline.schedule import dvc, repro; dvc('config', '--local', 'core.no_scm', 'true'); raise SystemExit(repro(2))"
        return subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)

    done = run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "c").read_text() == "ab"
    again = run()
    assert again.returncode == 0 and "Running stage" not in again.stdout
    stages["train_a"]["cmd"] = "python -c 'raise SystemExit(3)'"
    stages["train_b"]["cmd"] = "echo b > b"
    assert run().returncode != 0 and (tmp_path / "b").read_text() == "b\n" and (tmp_path / "c").read_text() == "ab"
