"""The study over folds: what it plans, what it leaves out, and that params.yaml is as it was; trainings are those of other tests."""

import argparse
import shutil
from dataclasses import replace

import pytest

from pipeline import schedule
from pipeline.comparison import experiments, packed
from pipeline.errors import PipelineError
from pipeline.params import load, read_yaml
from pipeline.profile import write
from stages import study
from tests.code_deps import ROOT
from tests.comparison.test_joint import experiment


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with params.yaml whose pipeline is quick: it only notes the params that it was called with."""
    shutil.copyfile(ROOT / "params.yaml", tmp_path / "params.yaml")
    write({"split": {"scheme": "kfold", "folds": 3}}, tmp_path / "params.yaml")
    monkeypatch.chdir(tmp_path)
    ran, commands = [], []

    def repro(jobs):
        ran.append((load().split.train_fraction, load().split.fold))
        return 7 if ran[-1] == (1.0, 2) else 0

    def read(name):
        return replace(experiment(name, {"real": 4}), params=read_yaml(tmp_path / "params.yaml"))

    monkeypatch.setattr(schedule, "repro", repro)
    monkeypatch.setattr(schedule, "module", lambda *command: commands.append(command) or 0)
    monkeypatch.setattr(experiments, "read", read)
    return tmp_path, ran, commands


def arguments(folder, **changes):
    parser = argparse.ArgumentParser()
    study.arguments(parser)
    made = parser.parse_args(["--out", str(folder / "out")])
    return argparse.Namespace(**{**vars(made), "params": folder / "params.yaml", **changes})


def test_it_goes_on_where_it_stopped_and_leaves_the_params_alone(folder):
    where, ran, commands = folder
    before = (where / "params.yaml").read_bytes()
    for folds in ([0, 1], [0, 1, 2]):
        with pytest.raises(SystemExit) as end:
            study.run(arguments(where, fractions=[0.25, 1.0], folds=folds), load())
    assert end.value.code == 7  # the failure of fold 2 is passed on
    assert ran == [(0.25, 0), (0.25, 1), (1.0, 0), (1.0, 1), (0.25, 2), (1.0, 2)]
    assert (where / "params.yaml").read_bytes() == before
    names = [path.name for path in sorted((where / "out").glob("*"))]
    assert names == [f"{name}{packed.ENDING}" for name in ("100-0", "100-1", "25-0", "25-1", "25-2")]
    assert [command[-1] for command in commands] == [str(where / "out/comparison")]  # and not the folder of the packed files
    kept = packed.unpack(where / "out" / names[2])
    assert kept.name == "25-0" and kept.params["split"]["train_fraction"] == 0.25


def test_what_an_earlier_version_packed_is_not_run_again(folder):
    where, ran, _ = folder
    for known in (False, True):
        with pytest.raises(SystemExit):
            study.run(arguments(where, folds=[0]), load())
        if not known:
            path = where / "out" / f"100-0{packed.ENDING}"
            earlier = packed.unpack(path)
            del earlier.params["diffusion"]
            packed.pack(earlier, path.parent)
    assert len(ran) == 1


def test_changed_params_run_again(folder):
    where, ran, _ = folder
    for lr in (0.001, 0.002):
        write({"detector": {"lr": lr}}, where / "params.yaml")
        with pytest.raises(SystemExit):
            study.run(arguments(where, folds=[0]), load())
    assert len(ran) == 2


def test_it_needs_folds(folder):
    where, _, _ = folder
    write({"split": {"scheme": "holdout"}}, where / "params.yaml")
    with pytest.raises(PipelineError, match="set it to kfold"):
        study.run(arguments(where), load())
