"""A cell of a cluster, without Ray: cloned, pulled, run and pushed; nothing goes on when its worker is killed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.cluster import worker
from pipeline.cluster.head import _inputs
from tests.code_deps import ROOT
from tests.conftest import ENVIRONMENT

STAGES = {
    "raw": {"cmd": "echo pixels > raw", "outs": ["raw"]},
    "trainset": {"cmd": "cat raw > set", "deps": ["raw"], "outs": ["set"]},
    "train_a": {"cmd": "test -f raw && cat set > a && echo trained >> a && touch ran", "deps": ["set"], "outs": ["a"]},
    "detect_a": {"cmd": "cat a > b", "deps": ["a"], "outs": ["b"]},
}


@pytest.fixture
def head(tmp_path):
    """A repository whose trainset is made and pushed, and its call of a program."""

    def call(*command):
        done = subprocess.run(command, cwd=tmp_path / "head", env=ENVIRONMENT, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    (tmp_path / "head").mkdir()
    call("git", "init", "--quiet")
    call("dvc", "init", "--quiet")
    (tmp_path / "head" / "dvc.yaml").write_text(json.dumps({"stages": STAGES}))
    call("dvc", "repro", "--quiet", "trainset")
    call("git", "add", "--all")
    call("git", "commit", "--quiet", "--message=start")
    call("dvc", "remote", "add", "--local", "--quiet", "-d", "store", str(tmp_path / "store"))
    call("dvc", "push", "--quiet")
    return call


@pytest.mark.slow
def test_a_cell_is_run_once_whoever_asks(head, tmp_path, monkeypatch):
    graph = {"raw": set(), "trainset": {"raw"}, "train_a": {"trainset"}, "detect_a": {"train_a"}}
    job = ["train_a", "detect_a"]
    assert _inputs(job, graph) == ("raw", "trainset")  # the trainset names files of raw
    lock = (tmp_path / "head/dvc.lock").read_text()
    cell = worker.Cell(
        tuple(job),
        _inputs(job, graph),
        str(tmp_path / "head"),
        head("git", "rev-parse", "HEAD"),
        {"dvc.lock": lock},
        str(tmp_path / "store"),
    )
    for machine in ("one", "two"):
        monkeypatch.setenv(worker.FOLDER, str(tmp_path / machine))
        assert worker.work(cell) == os.uname().nodename
        assert (tmp_path / machine / "copy0" / "b").read_text() == "pixels\ntrained\n"
    assert (tmp_path / "one/copy0/ran").exists() and not (tmp_path / "two/copy0/ran").exists()  # the second found it made
    head("dvc", "fetch", "--quiet", "--run-cache", "trainset")
    assert "cached" in head("dvc", "repro", "--pull")
    assert (tmp_path / "head/b").read_text() == "pixels\ntrained\n" and not (tmp_path / "head/ran").exists()


def test_what_fails_is_told_with_its_output(tmp_path):
    with pytest.raises(RuntimeError, match=r"(?s)pathspec 'nowhere'"):
        subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
        worker._call(tmp_path, "git", "checkout", "nowhere")


def test_working_copies_are_never_shared(tmp_path):
    with worker._working_copy(tmp_path) as first, worker._working_copy(tmp_path) as second:
        assert first != second
    with worker._working_copy(tmp_path) as again:
        assert again == first


def test_a_killed_worker_takes_its_command_along(tmp_path):
    beat = tmp_path / "beat"
    (tmp_path / "this.py").write_text(f"import pathlib, time\nwhile True:\n    pathlib.Path({str(beat)!r}).touch()\n    time.sleep(0.05)\n")
    code = f"from pathlib import Path; from pipeline.cluster.worker import _call; _call(Path({str(tmp_path)!r}), 'this')"
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    end = time.monotonic() + 30
    while not beat.exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert beat.exists()
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    time.sleep(1)
    last = beat.stat().st_mtime_ns
    time.sleep(1)
    assert beat.stat().st_mtime_ns == last


def test_without_ray_the_remedy_is_named():
    if subprocess.run([sys.executable, "-c", "import ray"], capture_output=True).returncode == 0:
        pytest.skip("Ray is installed")
    code = "from pipeline.cluster.head import Cluster, _ray; _ray(Cluster(None, 1, 0, 0, '.'))"
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(ROOT), capture_output=True, text=True)
    assert done.returncode and "pip install ray" in done.stderr
