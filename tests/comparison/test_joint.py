"""Experiments joined: what is shared, what is told apart, and numbers that can be counted on the fingers."""

import csv
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.comparison import joint
from pipeline.comparison.experiments import Experiment, differing, holds
from pipeline.errors import PipelineError
from pipeline.params import Params, check, read_yaml
from pipeline.profile import merge
from pipeline.report import comparison
from pipeline.report.results import lines
from tests.code_deps import ROOT
from tests.evaluation.cases import dataset, image, results
from tests.report import made

LESION, FAR = [10.0, 20.0, 30.0, 20.0], [100.0, 100.0, 10.0, 10.0]
CURVE = {"real": {}, "traditional_2": {"traditional": 2}, "gan_4": {"gan": 4}}
BASE = read_yaml(ROOT / "params.yaml")


def experiment(name: str, found: dict[str, int], change: dict[str, Any] | None = None, patients: str = "p") -> Experiment:
    """Twenty lesion images of ten patients and ten without; each point finds its number of lesions, without false positives."""
    images = [image(i + 1, f"{patients}{i // 2}", image_id=f"{patients}{i:02d}", laterality="L", view="CC") for i in range(30)]
    test = dataset(images, [(i + 1, LESION) for i in range(20)])
    cells = {(point, 0): results(*((i + 1, LESION, 0.9) for i in range(n)), (30, FAR, 0.6)) for point, n in found.items()}
    sizes = {
        point: {"arm": (list(CURVE[point]) or ["real"])[-1], "n_train": 8 + sum(CURVE[point].values()), "n_real": 8} for point in found
    }
    sizes = {point: {**one, "n_synthetic": one["n_train"] - 8} for point, one in sizes.items()}
    ours = {"curve": CURVE, "study": {"points": list(found), "seeds": [0], "baselines": []}, "evaluate": {"bootstrap": 100}}
    return Experiment(name, merge(merge(BASE, ours), change or {}), test, cells, sizes, made.quality())


def generator(arch: str, labels: str, gan: int) -> Experiment:
    return experiment(f"{arch}-{labels}", {"real": 4, "traditional_2": 6, "gan_4": gan}, {"gen": {"arch": arch, "labels": labels}})


def params() -> Params:
    return check(merge(BASE, {"evaluate": {"bootstrap": 100}}))


@pytest.fixture(scope="module")
def ablation(tmp_path_factory: pytest.TempPathFactory) -> tuple[joint.Joint, Path, Any]:
    """Four generators that find 7, 8, 9 and 10 of 20 lesions."""
    folder = tmp_path_factory.mktemp("ablation") / "comparison"
    four = [generator(arch, labels, 7 + n) for n, (arch, labels) in enumerate((a, b) for a in ("crn", "unet") for b in ("two", "tri"))]
    (group,) = joint.join(four)
    return group, folder, comparison.write(group, params(), folder)


def test_shared_points_are_kept_once_and_each_generator_has_its_point(ablation):
    group, _, results = ablation
    assert list(group.members) == [
        "real", "traditional_2", "gan_4 [two-channel CRN]", "gan_4 [tri-label CRN]",
        "gan_4 [two-channel U\N{NON-BREAKING HYPHEN}Net]", "gan_4 [tri-label U\N{NON-BREAKING HYPHEN}Net]",
    ]  # fmt: skip
    values = [point.of("sens_at_1fp").value for point in results.points]
    assert values == pytest.approx([0.2, 0.3, 0.35, 0.4, 0.45, 0.5])


def test_figure_6_has_a_line_for_each_generator_and_table_1_a_column(ablation):
    _, folder, _ = ablation
    with open(folder / "augmentation_curve.csv") as file:
        rows = list(csv.DictReader(file))
    lines = dict.fromkeys(row["line"] for row in rows)
    assert len([line for line in lines if "CRN" in line or "Net" in line]) == 4
    for line in lines:  # every line starts from the real images, which are drawn once
        assert next(row["point"] for row in rows if row["line"] == line) == "real"
    with open(folder / "table_1.csv") as file:
        table = list(csv.reader(file))
    own = next(row for row in table if row[0].startswith("Sensitivity at 1 false positive per image, here (gan_4)"))
    assert len(table[0]) == 5 and [cell[:5] for cell in own[1:]] == ["0.350", "0.400", "0.450", "0.500"]
    assert {path.name for path in folder.iterdir()} >= {"index.html", "froc.png", "froc.svg", "augmentation_curve.png", "metrics.json"}


def test_generators_are_contrasted_with_real_traditional_and_each_other_and_all_p_values_are_adjusted(ablation):
    _, _, results = ablation
    kinds = [one.kind for one in results.contrasts if one.metric == "sens_at_1fp"]
    assert (kinds.count("real"), kinds.count("best_traditional"), kinds.count("generator")) == (4, 4, 6)
    assert not any(one.primary for one in results.contrasts)
    last = next(one for one in results.contrasts if one.metric == "sens_at_1fp" and "U" in one.point and one.kind == "generator")
    assert last.difference.value > 0 and last.p_holm >= last.p


def test_folds_are_pooled_over_all_patients():
    folds = [
        experiment(f"fold{k}", {"real": n, "gan_4": n + 3}, {"split": {"scheme": "kfold", "fold": k}}, patients=f"f{k}p")
        for k, n in enumerate((4, 10))
    ]
    (group,) = joint.join(folds)
    assert len(group.truth.images) == 60 and list(group.members) == ["real", "gan_4"] and group.truth.n_patients == 30
    tables = comparison.study.evaluate(
        group.truth, [one.point for one in group.members.values()], comparison.rules(params()), 50, 1, group.plan
    )
    assert tables.metrics["points"]["real"]["mean"]["recall"]["value"] == pytest.approx(14 / 40)
    assert tables.metrics["points"]["gan_4"]["mean"]["recall"]["value"] == pytest.approx(20 / 40)
    assert "folds 0, 1 of 5 pooled" in comparison.remarks(group)[0]


def test_definitions_are_those_of_the_experiments_and_not_of_the_workspace():
    change = {"detector": {"iterations": 77, "synthetic": {"mode": "pretrain"}}, "split": {"scheme": "kfold"}}
    folds = [experiment(f"f{k}", {"real": 4}, merge(change, {"split": {"fold": k}}), patients=f"f{k}p") for k in (0, 1)]
    (pooled,), (alone,) = joint.join(folds), joint.join(folds[:1])
    said, of_one = (dict(comparison.general(group, params())) for group in (pooled, alone))
    assert said["Training images"].count("trained for 77 iterations") == 1 and "seen alone in the first" in said["Training images"]
    assert "each has its own training of the GANs" in said["95 % interval"] and "this one split" in of_one["95 % interval"]


def test_params_that_an_earlier_version_did_not_have_are_no_difference():
    folds = [experiment(f"fold{k}", {"real": 4}, {"split": {"scheme": "kfold", "fold": k}}, patients=f"f{k}p") for k in (0, 1)]
    folds[0] = replace(folds[0], params=deepcopy(folds[0].params))
    del folds[0].params["diffusion"], folds[0].params["gen"]["grain"]
    (group,) = joint.join(folds)
    assert [len(family.folds) for family in group.families] == [2]
    other = experiment("other", {"real": 5}, {"split": {"scheme": "kfold", "fold": 1}, "gen": {"grain": 2.0}}, patients="f1p")
    assert differing([*folds, other]) == ["gen.grain"]
    assert holds(folds[1].params | {"split": 0}, folds[0].params | {"split": 0}) and not holds(folds[0].params, folds[1].params)
    assert not holds(other.params, folds[1].params)


def test_folds_that_share_patients_are_refused():
    folds = [experiment(f"fold{k}", {"real": 4}, {"split": {"scheme": "kfold", "fold": k}}) for k in (0, 1)]
    with pytest.raises(PipelineError, match=r"share patients.*\(15\)"):
        joint.join(folds)


def test_fractions_of_the_real_images_are_lines_of_their_own():
    quarter = experiment("quarter", {"real": 2, "gan_4": 5}, {"split": {"train_fraction": 0.25}})
    (group,) = joint.join([quarter, experiment("whole", {"real": 4, "gan_4": 7})])
    assert list(group.members) == [f"{point} [split.train_fraction {fraction}]" for fraction in (0.25, 1.0) for point in ("real", "gan_4")]
    found = comparison.study.evaluate(
        group.truth, [one.point for one in group.members.values()], comparison.rules(params()), 50, 1, group.plan
    )
    pairs = {(one["point"], one["against"]) for one in found.metrics["contrasts"] if one["kind"] == "real"}
    assert pairs == {(f"gan_4 [split.train_fraction {f}]", f"real [split.train_fraction {f}]") for f in (0.25, 1.0)}
    curves = lines(comparison.joined(found, group).points)
    based = {line.points[-1].name: line.base for line in curves if line.base}
    assert based == dict(pairs)


def test_other_test_sets_get_a_group_of_their_own_and_equal_experiments_count_once():
    one, again = experiment("a", {"real": 4}), experiment("workspace", {"real": 4})
    other = experiment("b", {"real": 4}, {"data": {"source": "table", "root": "x"}}, patients="q")
    assert [[family.name for family in group.families] for group in joint.join([one, again, other])] == [["a"], ["b"]]


def test_equal_params_with_other_detections_are_refused():
    with pytest.raises(PipelineError, match="a and b have equal params and other detections"):
        joint.join([experiment("a", {"real": 4}), experiment("b", {"real": 5})])
