"""The curve and what is read off it, by hand; and the command."""

import json
import math
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.errors import PipelineError
from pipeline.evaluation.froc import Rules, evaluate, measure
from pipeline.evaluation.matching import parse_hit
from pipeline.evaluation.truth import detections, truth
from tests.evaluation.cases import dataset, image, results

A, B, FAR = [0.0, 0.0, 10.0, 20.0], [50.0, 0.0, 20.0, 10.0], [200.0, 200.0, 10.0, 10.0]


def run(gt: dict[str, Any], found: list[dict[str, Any]], n: int = 0, **rules: Any) -> dict[str, Any]:
    known = truth(gt)
    return evaluate(known, detections(found, known), Rules(parse_hit(rules.pop("hit", "iou:0.5")), **rules), n, seed=1)


def four_images() -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Patient a: images 1 (lesion A) and 2 (lesions A, B); patient b: images 3 (lesion A) and 4 (none)."""
    images = [
        image(1, "a", laterality="L"), image(2, "a", laterality="R"), image(3, "b", laterality="L"), image(4, "b", laterality="R"),
    ]  # fmt: skip
    gt = dataset(images, [(1, A), (2, A), (2, B), (3, A)])
    found = results((1, A, 0.9), (4, FAR, 0.8), (2, B, 0.7), (3, FAR, 0.7), (2, A, 0.6), (4, FAR, 0.4), (4, A, 0.3), (3, A, 0.2))
    return gt, found


def test_curve_by_hand() -> None:
    got = run(*four_images())
    assert got["curve"]["threshold"] == [0.9, 0.8, 0.7, 0.6, 0.4, 0.3, 0.2]
    assert got["curve"]["fp_per_image"] == [0, 0.25, 0.5, 0.5, 0.75, 1.0, 1.0]
    assert got["curve"]["sensitivity"] == [0.25, 0.25, 0.5, 0.75, 0.75, 0.75, 1.0]
    assert got["sensitivity_at"] == {"0.25": 0.25, "0.5": 0.75, "1": 1.0, "2": 1.0, "4": 1.0}
    assert got["past_end"] == ["2", "4"]
    assert got["mean_sens_0.25_4"] == 0.8
    # steps: .25 on [0, .5), .75 on [.5, 1), 1 at 1
    assert got["auc"] == {"support": 0.5, "support_end": 1.0, "0-0.25": 0.0625, "0-1": 0.5, "0-1_normalised": 0.5}
    assert got["recall"] == {"value": 0.75, "threshold": 0.5} and got["fp_per_image_recall"] == 0.5
    assert (got["n_images"], got["n_lesions"], got["n_patients"], got["n_units"]) == (4, 4, 2, 4)


def test_images_that_count_for_false_positives() -> None:
    """Three false positives lie in the only normal image, one in the three with lesions; all lesions count always."""
    gt, found = four_images()
    lesion, normal = (run(gt, found, images=which) for which in ("lesion", "normal"))
    assert lesion["curve"]["fp_per_image"] == [0, 0, 1 / 3, 1 / 3, 1 / 3, 1 / 3, 1 / 3]
    assert normal["curve"]["fp_per_image"] == [0, 1, 1, 1, 2, 3, 3]
    assert lesion["curve"]["sensitivity"] == normal["curve"]["sensitivity"] == run(gt, found)["curve"]["sensitivity"]
    assert normal["n_images_for_fp"] == 1 and normal["sensitivity_at"]["1"] == 0.75
    assert (lesion["fp_per_image_recall"], normal["fp_per_image_recall"]) == (1 / 3, 1)


def test_a_breast_or_patient_is_found_in_either_view() -> None:
    gt, found = four_images()
    assert run(gt, found, unit="breast")["curve"]["sensitivity"] == pytest.approx([1 / 3, 1 / 3, 2 / 3, 2 / 3, 2 / 3, 2 / 3, 1])
    assert run(gt, found, unit="patient")["curve"]["sensitivity"] == [0.5] * 6 + [1.0]
    views = dataset([image(1, "a", laterality="L", view="CC"), image(2, "a", laterality="L", view="MLO")], [(1, A), (2, A)])
    assert run(views, results((2, A, 0.3)), unit="breast")["curve"]["sensitivity"] == [1.0]
    assert run(views, results((2, A, 0.3)), unit="image")["curve"]["sensitivity"] == [0.5]


@pytest.mark.parametrize(("unit", "field"), [("breast", "laterality"), ("patient", "patient_id")])
def test_a_unit_without_its_metadata_is_an_error(unit: str, field: str) -> None:
    gt, found = four_images()
    gt["images"][2][field] = None
    with pytest.raises(PipelineError, match=f"image 3: {field}"):
        run(gt, found, unit=unit)


def test_ties_stay_together() -> None:
    """A hit and a false positive at one score: the point with the hit alone does not exist."""
    gt = dataset([image(1, "a"), image(2, "b")], [(1, A)])
    got = run(gt, results((1, A, 0.5), (2, FAR, 0.5)))
    assert got["curve"] == {"fp_per_image": [0.5], "sensitivity": [1.0], "threshold": [0.5]}
    assert got["sensitivity_at"]["0.25"] == 0.0 and got["sensitivity_at"]["0.5"] == 1.0


def test_the_lowest_threshold_is_not_dropped() -> None:
    gt = dataset([image(1, "a")], [(1, A), (1, B)])
    assert run(gt, results((1, A, 0.9), (1, B, 0.001)))["curve"]["sensitivity"] == [0.5, 1.0]


def test_an_empty_image_is_not_skipped() -> None:
    """One false positive, four images, three of them without lesion and without detection."""
    gt = dataset([image(i, i) for i in range(4)], [(0, A)])
    got = run(gt, results((0, FAR, 0.9), (0, A, 0.8)))
    assert got["curve"]["fp_per_image"] == [0.25, 0.25] and got["n_images"] == 4


def test_no_detections() -> None:
    got = run(four_images()[0], [], n=50)
    assert got["curve"] == {"fp_per_image": [], "sensitivity": [], "threshold": []}
    assert set(got["sensitivity_at"].values()) == {0.0} and got["recall"]["value"] == 0 and got["auc"]["support"] == 0
    assert len(got["past_end"]) == 5
    low, high = got["ci95"]["sensitivity_at"]["1"]
    assert low == 0 and high == pytest.approx(1 - 0.025 ** (1 / 2))  # two patients, exact binomial bound


def test_no_lesions_is_undefined_not_zero() -> None:
    got = run(dataset([image(1, "a"), image(2, "b")], []), results((1, A, 0.5)), n=20)
    assert got["curve"]["fp_per_image"] == [0.5]
    for value in (*got["curve"]["sensitivity"], *got["sensitivity_at"].values(), got["recall"]["value"], got["auc"]["0-1"], got["wafroc1"]):
        assert math.isnan(value)
    assert any("no lesions" in note for note in got["notes"])


def test_no_normal_images_is_undefined_not_zero() -> None:
    got = run(dataset([image(1, "a")], [(1, A)]), results((1, A, 0.5), (1, FAR, 0.9)), images="normal")
    assert math.isnan(got["sensitivity_at"]["1"]) and got["recall"]["value"] == 1.0
    assert any("no normal images" in note for note in got["notes"])


def test_the_order_of_the_file_matters_at_equal_scores_only() -> None:
    gt, found = four_images()
    assert run(gt, found[::-1]) == run(gt, found)


def test_wafroc_by_hand() -> None:
    """Image 1: lesions found at .9 and never; image 2: one at .4. Normal images: highest false positive .5 and none.

    Weights .5, .5 and 1; against .5: 1, 0, 0; against none: 1, 1/2 (both unmarked), 1: (.5 + .5 + .25 + 1) / (2 * 2).
    """
    gt = dataset([image(i, i) for i in (1, 2, 3, 4)], [(1, A), (1, B), (2, A)])
    found = results((1, A, 0.9), (2, A, 0.4), (3, FAR, 0.5), (3, A, 0.3), (1, FAR, 0.95))
    assert run(gt, found)["wafroc"] == pytest.approx(2.25 / 4)


def test_wafroc_leaves_normals_of_another_source_out() -> None:
    images = [image(1, 1, source="film"), image(2, 2, source="digital")]
    gt, found = dataset(images, [(1, A)]), results((1, A, 0.5), (2, FAR, 0.9), (1, FAR, 0.2))
    got = run(gt, found)
    assert "wafroc" not in got and got["wafroc1"] == 1.0
    assert any("1 normal images of other sources" in note for note in got["notes"])
    images[1]["source"] = "film"
    assert run(gt, found)["wafroc"] == 0.0


def test_intervals_hold_their_estimate_and_depend_on_the_seed_alone() -> None:
    rng = np.random.default_rng(0)
    gt = dataset([image(i, i // 2) for i in range(60)], [(i, A) for i in range(0, 60, 2)])
    found = results(
        *((i, A, float(rng.random())) for i in range(0, 60, 4)), *((int(rng.integers(60)), FAR, float(rng.random())) for _ in range(90))
    )
    got, again = run(gt, found, n=300), run(gt, found, n=300)
    assert got == again
    for name, value in got["sensitivity_at"].items():
        low, high = got["ci95"]["sensitivity_at"][name]
        assert 0 <= low < value < high <= 1
    assert got["bootstrap"] == {"n": 300, "seed": 1, "resampled": "patients", "clusters": 30}
    for one in gt["images"]:
        one["patient_id"] = None
    alone = run(gt, found, n=300)
    assert alone["bootstrap"]["resampled"] == "images" and alone["n_patients"] is None
    assert any("patients are not known" in note for note in alone["notes"])


def test_images_of_a_patient_are_drawn_together() -> None:
    """Ten views of one patient all hit, ten of another all missed: as wide as two patients, not as twenty images."""
    gt = dataset([image(i, i // 10) for i in range(20)], [(i, A) for i in range(20)])
    known = truth(gt)
    found = detections(results(*((i, A, 0.9) for i in range(10))), known)
    both, first, second = measure(known, found, Rules(parse_hit("iou:0.5")), np.array([[1, 1], [2, 0], [0, 2]]))["recall"]
    assert (both, first, second) == (0.5, 1.0, 0.0)


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-W", "error", "-m", "pipeline.evaluation.froc", *arguments], capture_output=True, text=True)


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, ...]:
    gt, found = four_images()
    (tmp_path / "gt.json").write_text(json.dumps(gt))
    (tmp_path / "dt.json").write_text(json.dumps(found))
    return ("--gt", str(tmp_path / "gt.json"), "--detections", str(tmp_path / "dt.json"))


def test_command_prints_json(files: tuple[str, ...]) -> None:
    done = command(*files, "--hit", "iou:0.5", "--json", "--bootstrap", "50", "--seed", "3", "--recall-score", "0.65")
    assert done.returncode == 0, done.stderr
    got = json.loads(done.stdout, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert got["sensitivity_at"]["0.5"] == 0.75 and got["recall"] == {"value": 0.5, "threshold": 0.65}
    assert set(got["ci95"]) >= {"sensitivity_at", "mean_sens_0.25_4", "auc", "recall", "fp_per_image_recall"}
    assert command(*files, "--json", "--bootstrap", "50", "--seed", "3", "--recall-score", "0.65").stdout == done.stdout


def test_command_prints_a_table_and_errors_in_one_line(files: tuple[str, ...]) -> None:
    shown = command(*files, "--bootstrap", "20").stdout
    assert "4 images, 4 lesions, 8 detections" in shown and "(the curve ends before)" in shown
    for wrong in (("--hit", "iou:2"), ("--hit", "distance:5"), ("--bootstrap", "-1")):
        done = command(*files, *wrong)
        assert done.returncode == 2 and done.stderr.startswith("error: ") and "Traceback" not in done.stderr


def test_help_is_quick_and_loads_no_network_library() -> None:
    start = time.perf_counter()
    assert command("--help").returncode == 0
    assert time.perf_counter() - start < 5  # 0.2 s on a quiet machine
    heavy = "import sys, pipeline.evaluation.froc; sys.exit(any(m in sys.modules for m in ('torch', 'mmdet', 'scipy', 'pandas')))"
    assert subprocess.run([sys.executable, "-c", heavy]).returncode == 0
