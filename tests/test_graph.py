"""The DVC graph: every stage depends on the code that it runs, and reads the params that it declares."""

import re
from pathlib import Path

import pytest

from pipeline.params import load, read_yaml
from tests.code_deps import ROOT, closure

STAGES = read_yaml(ROOT / "dvc.yaml")["stages"]
# Plumbing that cannot change a result: a change here must not retrain everything.
EXEMPT = {f"pipeline/{name}.py" for name in ("params", "profile", "resume", "cli", "errors", "machine", "progress", "version")}


def stage(name: str) -> dict:
    return STAGES[name].get("do", STAGES[name])


@pytest.mark.parametrize("name", STAGES)
def test_stage_depends_on_the_code_it_runs(name):
    module = re.match(r"python -m (\S+)", stage(name)["cmd"])[1]
    deps = stage(name)["deps"]
    needed = closure(ROOT / f"{module.replace('.', '/')}.py") - EXEMPT
    missing = {file for file in needed if not any(file == dep or file.startswith(f"{dep}/") for dep in deps)}
    assert not missing, f"add to the deps of {name}: {sorted(missing)}"


@pytest.mark.parametrize("name", STAGES)
def test_code_deps_are_used(name):
    module = re.match(r"python -m (\S+)", stage(name)["cmd"])[1]
    needed = closure(ROOT / f"{module.replace('.', '/')}.py")
    code = [dep for dep in stage(name)["deps"] if dep.startswith(("pipeline", "stages"))]
    idle = [dep for dep in code if not any(file == dep or file.startswith(f"{dep}/") for file in needed)]
    assert not idle, f"{name} does not use {idle}"


GENERATORS = {"train_infill", "train_sham"}  # the second one trains nothing unless it is needed
READERS = {
    **dict.fromkeys(("gen.arch", "gen.labels", "gen.noise", "gen.loss", "gen.unet"), GENERATORS),
    "gen.margin": GENERATORS | {"train_diffusion"},
    "diffusion": {"train_diffusion"},
    "gen.spade": set(),  # of the architecture that is not chosen
    "synth.masks": {"pool_gan", "pool_sham", "pool_diffusion", "quality"},
    "synth.keep": {"pool_gan", "pool_sham", "pool_diffusion"},
    "synth.contrast": {"pool_gan", "pool_sham", "pool_diffusion"},
    "synth.hosts": {"train_sham", "hosts", "pool_gan", "pool_sham", "pool_diffusion", "pool_baseline", "quality"},
    "study.controls": {"train_sham", "evaluate"},
    "study.rivals": {"evaluate"},
}


@pytest.mark.parametrize(("key", "readers"), READERS.items())
def test_a_param_of_the_generator_reaches_no_stage_that_does_not_use_it(key, readers):
    """Which stages rerun at once; those behind them rerun where their inputs change. The report lists all params."""
    arch = load(ROOT / "params.yaml").gen.arch
    found = set()
    for name in set(STAGES) - {"report"}:
        declared = [str(param).replace("${gen.arch}", arch) for param in stage(name).get("params", [])]
        if any(key == one or key.startswith(f"{one}.") or one.startswith(f"{key}.") for one in declared):
            found.add(name)
    assert found == readers


def test_every_stage_module_is_in_the_graph_or_a_command_of_its_own():
    in_graph = {re.match(r"python -m stages\.(\S+)", stage(name)["cmd"])[1] for name in STAGES}
    assert {path.stem for path in (ROOT / "stages").glob("*.py")} - in_graph - {"__init__"} == {
        "run",
        "compare",
        "confirm",
        "ablation",
        "reader_study",
        "study",
        "clean_stale",
        "verify",
    }


@pytest.mark.parametrize("profile", sorted(path.stem for path in Path(ROOT / "profiles").glob("*.yaml")))
def test_profiles_are_valid(profile):
    from pipeline.params import check
    from pipeline.profile import merge, read

    params = check(merge(read_yaml(ROOT / "params.yaml"), read(profile, ROOT / "profiles")))
    assert params != load(ROOT / "params.yaml")


def test_first_weights_of_a_detector_train_no_generator_again():
    """They lie in an out of their own, which detectors alone depend on."""
    assert "data/backbone" in stage("weights")["outs"] and "data/weights" in stage("weights")["outs"]
    assert {name for name in STAGES if "data/backbone" in stage(name)["deps"]} == {"train_detector"}
