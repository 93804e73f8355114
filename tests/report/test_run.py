"""`make run`: dvc repro, then a summary; in a small repository of its own."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from zc.lockfile import LockFile

from pipeline import mend
from pipeline.profile import write
from tests.code_deps import ROOT
from tests.report import made


@pytest.fixture
def folder(tmp_path):
    """A repository whose only stage copies reports that lie ready."""
    made.reports(tmp_path / "ready")
    (tmp_path / ".dvc").mkdir()
    for name in (".dvc/config", ".dvc/.gitignore", "params.yaml"):
        shutil.copyfile(ROOT / name, tmp_path / name)
    write({"curve": made.MIXTURES, "study": {"points": list(made.SIZES)}}, tmp_path / "params.yaml")
    stage(tmp_path, "cp -r ready reports")
    return tmp_path


def stage(folder, command):
    (folder / "dvc.yaml").write_text(
        json.dumps({"stages": {"evaluate": {"cmd": command, "deps": ["ready"], "outs": [{"reports": {"cache": False}}]}}})
    )


def run(folder, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "140", "GIT_CEILING_DIRECTORIES": str(folder.parent)}
    return subprocess.run([sys.executable, "-m", "stages.run", *arguments], cwd=folder, env=environment, capture_output=True, text=True)


def test_outside_of_git_it_runs_and_shows_the_results(folder):
    done = run(folder)
    assert done.returncode == 0, done.stderr
    row = next(line for line in done.stdout.splitlines() if "gan_120" in line)
    assert "220" in row and "0.560 (0.460 to 0.660)" in row and "0.640 (0.540 to 0.740)" in row
    assert f"Report: {folder}/reports/index.html" in done.stdout and "Time: 0 min" in done.stdout
    record = json.loads((folder / ".resume/run.json").read_text())
    assert record["exit_code"] == 0 and record["seconds"] > 0 and record["revision"] is None


def test_in_git_it_records_the_revision_and_passes_arguments_and_exit_codes_on(folder):
    def git(*arguments):
        return subprocess.run(
            ["git", "-c", "user.name=x", "-c", "user.email=x@x", *arguments], cwd=folder, check=True, capture_output=True, text=True
        ).stdout.strip()

    stage(folder, "python -c 'import sys; sys.exit(3)'")
    git("init", "-q")
    git("add", "-A")
    git("commit", "-qm", "start")
    dry = run(folder, "--dry")
    assert dry.returncode == 0 and "sys.exit(3)" in dry.stdout and "gan_120" not in dry.stdout
    failed = run(folder)
    record = json.loads((folder / ".resume/run.json").read_text())
    assert failed.returncode == record["exit_code"] != 0 and "gan_120" not in failed.stdout
    assert record["revision"] == git("rev-parse", "HEAD") and record["uncommitted_changes"] is False
    assert not (folder / ".dvc/config.local").exists()


def test_bad_params_stop_before_any_work(folder):
    (folder / "params.yaml").write_text("seed: -1\n")
    done = run(folder)
    assert done.returncode == 2 and done.stderr.startswith("error: params.yaml cannot be used") and not (folder / "reports").exists()


def test_help_is_quick_and_does_nothing(folder):
    done = run(folder, "--help")
    assert done.returncode == 0 and "dvc repro" in done.stdout and not (folder / ".resume").exists()


@pytest.mark.parametrize("kept", [20])
def test_a_lock_file_that_a_kill_has_cut_is_set_aside(folder, kept):
    assert run(folder).returncode == 0
    whole = (folder / "dvc.lock").read_bytes()
    (folder / "dvc.lock").write_bytes(whole[:kept])
    done = run(folder)
    assert done.returncode == 0, done.stderr
    assert "cut off while it was written" in done.stderr
    assert (folder / "dvc.lock").read_bytes() == whole and (folder / "dvc.lock.broken").read_bytes() == whole[:kept]


def test_a_list_of_users_that_a_kill_has_cut_is_removed(folder):
    """DVC alone refuses it: else this test could not fail. A list that another process is writing is left as it is."""
    assert run(folder).returncode == 0
    users = folder / ".dvc/tmp/rwlock"
    stage(folder, "cp -rf ready reports")
    users.write_bytes(b'{"wri')
    alone = subprocess.run([sys.executable, "-m", "dvc", "repro"], cwd=folder, capture_output=True, text=True)
    assert alone.returncode and "Unable to read RWLock-file" in alone.stderr
    guard = LockFile(str(users.with_name("rwlock.lock")))
    mend.remove_broken_users(users)
    assert users.read_bytes() == b'{"wri'
    guard.close()
    done = run(folder)
    assert done.returncode == 0 and "rwlock was cut off" in done.stderr and isinstance(json.loads(users.read_text()), dict)
