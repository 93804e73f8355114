import dataclasses

import pandas as pd
import pytest

from pipeline.errors import PipelineError
from pipeline.report.results import Estimate, lines, mean_froc, operating_points, read
from tests.report import made


@pytest.fixture
def results(tmp_path):
    return read(made.reports(tmp_path), made.MIXTURES, made.SIZES)


def test_read_keeps_values_intervals_seeds_and_the_order_of_the_study(tmp_path):
    results = read(made.reports(tmp_path), made.MIXTURES, ["gan_120", "real"])
    gan = results.point("gan_120")
    assert [point.name for point in results.points] == ["gan_120", "real"]
    assert gan.of("sens_at_1fp") == Estimate(0.56, 0.46, 0.66) and gan.seeds["sens_at_1fp"] == [0.555, 0.565]
    assert (gan.n_train, gan.n_real, gan.n_synthetic) == (220, 100, 120)
    assert gan.of("no_such_metric") == Estimate()
    assert [(one.kind, one.difference.value) for one in results.contrasts] == [("real", 0.16), ("best_traditional", 0.06)]


def test_a_point_that_was_not_evaluated_is_named(tmp_path):
    made.reports(tmp_path)
    with pytest.raises(PipelineError, match="holds no point gan_300, gan_500"):
        read(tmp_path, made.MIXTURES, ["real", "gan_300", "gan_500"])


def test_arms_start_at_the_real_point(results):
    found = {line.arm: (line.base, [point.name for point in line.points]) for line in lines(results.points)}
    assert found == {
        "real": (None, ["real"]),
        "traditional": ("real", ["real", "traditional_120"]),
        "gan": ("real", ["real", "gan_60", "gan_120"]),
        "fresh": ("real", ["real", "fresh_120"]),
    }


def test_generated_images_on_the_traditional_plateau_start_there(results):
    point = results.point("gan_120")
    on_plateau = dataclasses.replace(point, name="both", mixture={"traditional": 120, "gan": 120}, n_train=340)
    on_nothing = dataclasses.replace(point, name="alone", mixture={"traditional": 7, "gan": 120}, n_train=227)
    found = [
        (line.base, [point.name for point in line.points]) for line in lines([*results.points, on_plateau, on_nothing]) if line.arm == "gan"
    ]
    assert found == [("real", ["real", "gan_60", "gan_120"]), ("traditional_120", ["traditional_120", "both"]), (None, ["alone"])]


def test_mean_froc_averages_step_functions_at_equal_rates():
    # seed 0: 0.4 from 0.5 on, 0.8 from 2 on; seed 1: 0.2 from 0.5 on, 0.6 from 1 on, ends at 4
    rows = [
        ("p", 0, 0.9, 0.5, 0.4),
        ("p", 0, 0.5, 2.0, 0.8),
        ("p", 1, 0.9, 0.5, 0.2),
        ("p", 1, 0.6, 1.0, 0.6),
        ("p", 1, 0.1, 4.0, 0.6),
        ("q", 0, 0.5, 0.1, 1.0),
    ]
    table = pd.DataFrame(rows, columns=["point", "seed", "threshold", "fp_per_image", "sensitivity"])
    found = mean_froc(table, "p")
    assert found["fp_per_image"].tolist() == [0.5, 1.0, 2.0, 4.0]
    assert found["sensitivity"].tolist() == pytest.approx([0.3, 0.5, 0.7, 0.7])
    assert mean_froc(table, "absent").empty


def test_operating_points_are_in_order_and_variants_left_out():
    names = ["sens_at_4fp", "recall", "sens_at_0.25fp", "sens_at_1fp_iou0.3_image", "sens_at_1fp"]
    assert operating_points(names) == [(0.25, "sens_at_0.25fp"), (1.0, "sens_at_1fp"), (4.0, "sens_at_4fp")]
