"""The report understands what `evaluate` writes: same names, every metric defined, numbers carried over."""

import pytest

from pipeline.io import read_json
from pipeline.params import load
from pipeline.report import build, charts, definitions, tables
from pipeline.report.results import HEADLINE, read
from tests.evaluation.test_evaluate import evaluate, project
from tests.report import made


@pytest.fixture(scope="module")
def studied(tmp_path_factory):
    folder = project(tmp_path_factory.mktemp("study"), seeds=(0, 1))
    done = evaluate(folder)
    assert done.returncode == 0, done.stderr
    params = load(folder / "params.yaml")
    return folder, params, read(folder / "reports", params.curve, params.study.points)


def test_every_metric_has_a_definition(studied):
    _, params, results = studied
    labels = [definitions.metric(name, params.evaluate).label for name in results.metrics]
    assert results.metrics[0] == HEADLINE and len(labels) == len(set(labels)) > 15


def test_summary_repeats_the_numbers_of_the_evaluation(studied):
    folder, _, results = studied
    found, wrote = tables.summary(results), read_json(folder / "reports/metrics.json")
    # found of 20 lesions: real 4, best traditional 6, gan 7, fresh 10; see tests/evaluation
    assert found["sens_at_1fp_real"] == pytest.approx(0.20) and found["sens_at_1fp_gan"] == pytest.approx(0.35)
    assert found["sens_at_1fp_trad"] == pytest.approx(0.30) and found["gan_minus_trad"] == pytest.approx(0.05)
    assert found["gan_minus_real"] == pytest.approx(0.15) and found["share_recovered"] == pytest.approx(0.5)
    assert wrote["points"]["gan_4"]["mean"][HEADLINE]["value"] == found["sens_at_1fp_gan"]


def test_froc_of_the_page_ends_at_the_sensitivity_of_the_evaluation(studied):
    _, params, results = studied
    curve = next(one for one in charts.data(results, params)["froc"] if one["label"] == "8 real + 4 GAN")
    assert curve["y"][-1] == pytest.approx(0.35) and len(curve["band"]) == 5


def test_page_is_built_from_it(studied, tmp_path):
    folder, params, results = studied
    inputs = made.inputs(tmp_path) | {"reports": folder / "reports"}
    build.write(params, build.Paths(**inputs))
    html = (folder / "reports/index.html").read_text()
    assert "size: " in html and "gan_4 \N{MINUS SIGN} traditional_2 (primary)" in html
    for note in results.notes:
        assert note.split("<")[0].split(">")[0] in html
