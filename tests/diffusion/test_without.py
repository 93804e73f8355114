"""The diffusion pool where diffusers is missing, and where nobody asks for it."""

import sys

import pytest

from pipeline.diffusion import inpaint
from pipeline.errors import PipelineError
from pipeline.params import check, load, read_yaml
from pipeline.profile import merge
from tests.code_deps import ROOT

ASKED = {"study": {"points": ["real", "diffusion_120"], "rivals": ["diffusion"]}}


def test_the_remedy_is_named_before_anything_is_read(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "diffusers", None)  # what `import diffusers` then finds: nothing
    params = load(ROOT / "params.yaml")
    with pytest.raises(PipelineError, match="pip install diffusers"):
        inpaint.train(None, tmp_path / "model", params.gen, params.diffusion, params.runtime, 0, tmp_path / "state")
    assert not any(tmp_path.iterdir())


def test_a_point_of_it_has_to_ask_for_its_pool():
    values = read_yaml(ROOT / "params.yaml")
    assert check(merge(values, ASKED)).mixture("diffusion_120") == {"diffusion": 120}
    with pytest.raises(PipelineError, match=r"add diffusion to study\.rivals"):
        check(merge(values, {"study": {"points": ["real", "diffusion_120"]}}))


@pytest.mark.parametrize(
    ("change", "fault"), [({"width": 12}, "multiple of 8"), ({"steps": 0}, "diffusion.steps"), ({"prediction": "x0"}, "'v' or")]
)
def test_settings_that_cannot_work_are_refused(change, fault):
    with pytest.raises(PipelineError, match=fault):
        check(merge(read_yaml(ROOT / "params.yaml"), {"diffusion": change}))


def test_the_default_graph_has_no_stage_of_it(tmp_path, monkeypatch):
    """And with it asked for, two: its training and its pool."""
    from dvc.repo import Repo

    from pipeline.profile import write

    for name in ("dvc.yaml", "params.yaml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    Repo.init(tmp_path, no_scm=True).close()

    def stages():
        with Repo(tmp_path) as repo:
            return {stage.addressing.split(":")[-1] for stage in repo.index.stages}

    plain = stages()
    assert "pool_gan" in plain and not any("diffusion" in name for name in plain)
    write(ASKED, tmp_path / "params.yaml")
    assert {name for name in stages() - plain if "point" not in name} >= {"train_diffusion@diffusion", "pool_diffusion@diffusion"}
    assert {name for name in stages() - plain if not name.endswith(("diffusion_120", "diffusion_120-0"))} == {
        "train_diffusion@diffusion",
        "pool_diffusion@diffusion",
    }
