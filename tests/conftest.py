"""One run of the tiny profile in a copy of the repository, shared by all tests that look at it."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.code_deps import ROOT

ENVIRONMENT = {
    **os.environ,
    "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    "GIT_CONFIG_GLOBAL": os.devnull,
    **{f"GIT_{who}_{what}": f"{who.lower()}@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
}


@dataclass(frozen=True)
class Project:
    """A copy of the repository that commands run in."""

    root: Path

    def call(self, *command: str, check: bool = True) -> str:
        """Run a command; returns stdout and stderr together."""
        done = subprocess.run(command, cwd=self.root, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert not check or done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-4000:]}"
        return done.stdout

    def repro(self, *arguments: str) -> set[str]:
        """`dvc repro`; returns the stages that ran."""
        return ran(self.call("dvc", "repro", *arguments))


def ran(output: str) -> set[str]:
    return set(re.findall(r"Running stage '([^']+)'", output))


def copy_of_repository(to: Path) -> Project:
    """The files that git tracks, as they are in the working tree, in a repository of their own with an empty DVC cache."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file() and name != "dvc.lock":
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, to / name)
    if (ROOT / ".cache").is_dir():
        (to / ".cache").symlink_to(ROOT / ".cache")
    return Project(to)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The repository after `dvc repro` with the tiny profile, committed."""
    project = copy_of_repository(tmp_path_factory.mktemp("tiny"))
    project.call("git", "init", "--quiet", "--initial-branch=main")
    project.call(sys.executable, "-m", "pipeline.profile", "tiny", "--write")
    project.repro()
    project.call("git", "add", "--all")
    project.call("git", "commit", "--quiet", "--message=tiny")
    return project
