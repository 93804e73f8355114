"""`dvc plots` with the templates of plots/, in a folder of its own."""

import json
import shutil
import subprocess
import sys

import pytest

from pipeline.params import Pools, read_yaml
from pipeline.report.style import ARMS
from tests.code_deps import ROOT
from tests.report import made


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """What `dvc plots show --json` makes of the plots in dvc.yaml."""
    folder = tmp_path_factory.mktemp("plots")
    made.inputs(folder)
    (folder / ".dvc").mkdir()
    (folder / ".dvc/config").write_text("[core]\n    no_scm = true\n    analytics = false\n")
    shutil.copytree(ROOT / "plots", folder / "plots")
    (folder / "dvc.yaml").write_text(json.dumps({"plots": read_yaml(ROOT / "dvc.yaml")["plots"]}))
    done = subprocess.run([sys.executable, "-m", "dvc", "plots", "show", "--json"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def content(shown, name):
    (plot,) = shown["data"][name]
    return json.loads(plot["content"]) if isinstance(plot["content"], str) else plot["content"]


def test_every_plot_is_drawn_and_every_anchor_filled(shown):
    assert not shown.get("errors")
    assert list(shown["data"]) == [name for plot in read_yaml(ROOT / "dvc.yaml")["plots"] for name in plot]
    for name in shown["data"]:
        assert "<DVC_METRIC" not in json.dumps(content(shown, name)), name


def test_froc_has_every_corner_of_every_training(shown):
    values = content(shown, "FROC")["data"]["values"]
    table = made.froc()
    assert len(values) == len(table) and {(one["point"], one["seed"]) for one in values} == {
        (p, str(s)) for p in made.SIZES for s in (0, 1)
    }


def test_augmentation_curve_draws_means_with_intervals_and_single_trainings(shown):
    drawn = content(shown, "Augmentation curve")
    fields = {field for one in drawn["data"]["values"] for field in one}
    assert {"n_train", "value", "ci_low", "ci_high", "arm", "seed", "metric"} <= fields
    filters = [step["filter"] for layer in drawn["spec"]["layer"] for step in layer["transform"]]
    assert filters == ["datum.seed == 'mean'", "datum.seed == 'mean'", "datum.seed != 'mean'", "datum.seed == 'mean'"]
    assert {one["seed"] for one in drawn["data"]["values"]} == {"0", "1", "mean"}


def test_losses_have_a_line_each(shown):
    values = content(shown, "Losses of the infilling GAN")["data"]["values"]
    assert {one["field"] for one in values} == {"feature_matching", "adversarial", "discriminator"} and len(values) == 3 * 60


def test_arms_have_the_colours_of_the_report():
    scale = json.loads((ROOT / "plots/augmentation_curve.json").read_text())["spec"]["encoding"]["color"]["scale"]
    assert dict(zip(scale["domain"], scale["range"], strict=True)) == {arm: style.colour for arm, style in ARMS.items()}
    assert len({(style.colour, style.marker) for style in ARMS.values()}) == len(ARMS) == len({style.marker for style in ARMS.values()})
    assert set(Pools.model_fields) | {"real"} == set(ARMS)
