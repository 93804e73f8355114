"""The stage: files in, files out; numbers that can be counted on the fingers."""

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.params import read_yaml
from tests.code_deps import ROOT
from tests.evaluation.cases import dataset, image, results

LESION, FAR = [10.0, 20.0, 30.0, 20.0], [100.0, 100.0, 10.0, 10.0]
ON_VAL = {"traditional_2": 1, "traditional_4": 3}  # lesions found of 4 validation images
FOUND = {"real": 4, "traditional_2": 6, "traditional_4": 5, "gan_4": 7, "fresh_4": 10}  # lesions found of 20, all without false positives


def project(
    folder: Path, seeds: tuple[int, ...] = (0,), found: dict[str, int] = FOUND, on_val: dict[str, int] | None = None, **evaluate: Any
) -> Path:
    """Ten patients with two lesion images each and five without; 8 real training images; validation images where on_val is given."""
    val = [image(i, f"v{i}", file_name=f"images/v{i}.png") for i in range(4)] if on_val else []
    write(folder / "data/prepared/val/annotations.json", dataset(val, [(i, LESION) for i in range(len(val))]))
    patients = [
        image(i, f"p{i // 2}", file_name=f"images/{i}.png", laterality="L", density=1 + i % 2, view=("CC", "MLO")[i % 2], spacing_mm=0.2)
        for i in range(30)
    ]
    write(folder / "data/prepared/test/annotations.json", dataset(patients, [(i, LESION) for i in range(20)]))
    for point, n in found.items():
        synthetic = int(point.partition("_")[2] or 0)
        images = [{"id": i, "synthetic": True} if i < synthetic else {"id": i} for i in range(8 + synthetic)]
        write(folder / f"data/trainsets/{point}/annotations.json", {**dataset([], []), "images": images})
        for seed in seeds:
            hits = np.random.default_rng([5, seed]).permutation(20)[:n]
            write(
                folder / f"predictions/{point}/{seed}.json", results(*((int(i), LESION, 0.9) for i in hits), (29, FAR, 0.6), (0, FAR, 0.1))
            )
            hits = (i for i in range((on_val or {}).get(point, 0)))
            write(folder / f"predictions/{point}/{seed}.val.json", results(*((i, LESION, 0.9) for i in hits)))
    params = read_yaml(ROOT / "params.yaml")
    params["curve"] = {point: {point.partition("_")[0]: int(point.partition("_")[2])} if "_" in point else {} for point in found}
    params["study"] |= {"points": list(found), "seeds": list(seeds), "baselines": ["fresh"]}
    params["evaluate"] |= {"bootstrap": 200, **evaluate}
    write(folder / "params.yaml", params)  # JSON is YAML
    return folder


def write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def evaluate(folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {"PYTHONPATH": str(ROOT), "PATH": ""}
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "stages.evaluate"], cwd=folder, env=environment, capture_output=True, text=True
    )


def metrics(folder: Path) -> Any:
    done = evaluate(folder)
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "reports/metrics.json").read_text(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def table(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_points_and_tables(tmp_path: Path) -> None:
    got = metrics(project(tmp_path))
    assert got["test"] == {
        "n_images": 30, "n_normal_images": 10, "n_lesions": 20, "n_patients": 15, "n_patients_with_lesions": 10, "resampled": "patients",
    }  # fmt: skip
    assert list(got["points"]) == sorted(FOUND)
    gan = got["points"]["gan_4"]
    assert (gan["arm"], gan["n_train"], gan["n_real"], gan["n_synthetic"]) == ("gan", 12, 8, 4)
    for numbers in (gan["seeds"]["0"], gan["mean"]):
        assert numbers["sens_at_1fp"]["value"] == numbers["recall"]["value"] == pytest.approx(7 / 20)
        assert numbers["sens_at_1fp"]["ci95"][0] < 7 / 20 < numbers["sens_at_1fp"]["ci95"][1]
    assert gan["mean"]["sens_at_1fp"]["ci95"] == gan["seeds"]["0"]["sens_at_1fp"]["ci95"]  # one seed
    rules = {f"sens_at_1fp_{hit}_{unit}" for hit in ("iou0.1", "iou0.2", "iou0.3", "iou0.5", "centre") for unit in ("image", "patient")}
    assert rules | {"wafroc", "auc_support", "auc_0_0.25", "auc_0_1", "mean_sens_0.25_4"} < set(gan["mean"])
    assert gan["mean"]["sens_at_1fp_iou0.3_patient"]["value"] >= gan["mean"]["sens_at_1fp_iou0.3_image"]["value"]
    assert sum(one["n_lesions"] for one in gan["strata"] if one["variable"] == "density") == 20
    contrast = next(one for one in got["contrasts"] if (one["point"], one["against"]) == ("gan_4", "real"))
    for group, own, of_real in zip(contrast["strata"], gan["strata"], got["points"]["real"]["strata"], strict=True):
        assert group["difference"] == pytest.approx(own["value"] - of_real["value"]) and group["level"] == own["level"]
    assert any("curve ends at 0.0667" in note for note in gan["notes"])  # two false positives in thirty images
    curve = table(tmp_path / "reports/curve.csv")
    assert [row["value"] for row in curve if (row["point"], row["seed"], row["metric"]) == ("gan_4", "mean", "sens_at_1fp")] == ["0.35"]
    assert {row["seed"] for row in curve} == {"0", "mean"} and {row["n_train"] for row in curve if row["point"] == "real"} == {"8"}
    froc = [row for row in table(tmp_path / "reports/froc.csv") if row["point"] == "gan_4"]
    assert [(float(r["threshold"]), float(r["fp_per_image"]), float(r["sensitivity"])) for r in froc] == [
        (0.9, 0, 0.35),
        (0.1, pytest.approx(2 / 30), 0.35),
    ]


def test_contrasts_say_what_is_compared(tmp_path: Path) -> None:
    got = metrics(project(tmp_path))
    pairs = [(one["point"], one["against"], one["kind"], one["primary"]) for one in got["contrasts"]]
    assert pairs == [
        ("traditional_2", "real", "real", False), ("traditional_4", "real", "real", False), ("gan_4", "real", "real", True),
        ("fresh_4", "real", "real", False), ("gan_4", "traditional_2", "best_traditional", True),
        ("fresh_4", "traditional_2", "best_traditional", False),
    ]  # fmt: skip
    for one in got["contrasts"]:
        found = one["metrics"]["sens_at_1fp"]
        assert found["difference"] == pytest.approx((FOUND[one["point"]] - FOUND[one["against"]]) / 20)
        assert found["p_holm"] == found["p"] if one["primary"] else found["p_holm"] >= found["p"]
    assert any("best traditional point: traditional_2" in note for note in got["notes"])
    assert any("one training of each" in note for note in got["notes"])


def test_the_best_traditional_point_is_chosen_on_validation_images(tmp_path: Path) -> None:
    """traditional_2 finds more of the test images, traditional_4 of the validation images."""
    got = metrics(project(tmp_path, on_val=ON_VAL))
    assert {one["against"] for one in got["contrasts"] if one["kind"] == "best_traditional"} == {"traditional_4"}
    assert any("traditional_4, chosen on the validation images (sens_at_1fp 0.750 there)" in note for note in got["notes"])
    assert got["points"]["traditional_2"]["val_sens_at_1fp"] == 0.25 and got["points"]["real"]["val_sens_at_1fp"] == 0.0


def test_without_validation_images_the_choice_on_test_images_is_told(tmp_path: Path) -> None:
    got = metrics(project(tmp_path))
    assert got["points"]["traditional_2"]["val_sens_at_1fp"] is None
    assert any("traditional_2, the best on these test images, as none of validation are there" in note for note in got["notes"])


def test_the_primary_contrast_is_fixed_by_the_design(tmp_path: Path) -> None:
    """The largest point, though a smaller one did better."""
    got = metrics(project(tmp_path, found={"real": 4, "gan_2": 9, "gan_4": 7}))
    assert [one["point"] for one in got["contrasts"] if one["primary"]] == ["gan_4"]


def test_share_recovered(tmp_path: Path) -> None:
    """(7 - 4) / (10 - 4) = 0.5."""
    (one,) = metrics(project(tmp_path))["recovered"]
    assert (one["point"], one["fresh"], one["value"], one["reason"]) == ("gan_4", "fresh_4", pytest.approx(0.5), None)
    assert 0 <= one["ci95"][0] < 0.5 < one["ci95"][1]


def test_share_recovered_is_null_with_a_reason_where_undefined(tmp_path: Path) -> None:
    (equal,) = metrics(project(tmp_path / "a", found={"real": 4, "gan_4": 7, "fresh_4": 4}))["recovered"]
    assert (equal["value"], equal["ci95"]) == (None, [None, None]) and "fresh_4 is not above real" in equal["reason"]
    (near,) = metrics(project(tmp_path / "b", found={"real": 4, "gan_4": 7, "fresh_4": 5}))["recovered"]
    assert near["value"] == pytest.approx(3) and near["ci95"] == [None, None] and "of the resamples" in near["reason"]
    (other,) = metrics(project(tmp_path / "c", found={"real": 4, "gan_4": 7, "fresh_2": 9}))["recovered"]
    assert other["value"] is None and other["reason"] == "no point of arm fresh has 4 synthetic images"
    assert metrics(project(tmp_path / "d", found={"real": 4, "gan_4": 7}))["recovered"] == []


def test_seeds_are_averaged_and_widen_the_interval(tmp_path: Path) -> None:
    folder = project(tmp_path, seeds=(0, 1, 2))
    for seed, n in ((0, 2), (1, 7), (2, 12)):  # trainings of one point that differ much
        write(folder / f"predictions/gan_4/{seed}.json", results(*((i, LESION, 0.9) for i in range(n))))
    got = metrics(folder)["points"]["gan_4"]
    mean, single = got["mean"]["sens_at_1fp"], got["seeds"]["1"]["sens_at_1fp"]
    assert mean["value"] == pytest.approx(7 / 20) and mean["n_runs"] == 3 and mean["var_runs"] > 0
    assert mean["se"] ** 2 == pytest.approx(mean["var_patients"] + mean["var_runs"])
    assert [got["seeds"][seed]["sens_at_1fp"]["value"] for seed in "012"] == pytest.approx([0.1, 0.35, 0.6])
    assert mean["ci95"][0] < single["value"] < mean["ci95"][1]


def test_same_input_same_bytes_and_dropped_points_are_not_read(tmp_path: Path) -> None:
    folder = project(tmp_path, found={"real": 4, "gan_4": 7})
    metrics(folder)
    first = {path.name: path.read_bytes() for path in sorted((folder / "reports").iterdir())}
    assert set(first) == {"metrics.json", "curve.csv", "froc.csv"}
    write(folder / "predictions/left_over/0.json", "not even results")
    metrics(folder)
    assert {path.name: path.read_bytes() for path in sorted((folder / "reports").iterdir())} == first


def test_every_missing_file_is_named(tmp_path: Path) -> None:
    folder = project(tmp_path, seeds=(0, 1))
    (folder / "predictions/gan_4/1.json").unlink()
    (folder / "data/trainsets/real/annotations.json").unlink()
    done = evaluate(folder)
    assert done.returncode == 2 and not (folder / "reports").exists()
    assert (
        "predictions/gan_4/1.json" in done.stderr
        and "data/trainsets/real/annotations.json" in done.stderr
        and "Traceback" not in done.stderr
    )


def test_a_test_set_without_lesions_or_patients_is_written_with_nulls_and_notes(tmp_path: Path) -> None:
    folder = project(tmp_path, found={"real": 4, "gan_4": 7})
    write(folder / "data/prepared/test/annotations.json", dataset([image(i) for i in range(30)], []))
    got = metrics(folder)
    assert got["points"]["gan_4"]["mean"]["sens_at_1fp"]["value"] is None
    assert got["test"]["n_patients"] is None and got["contrasts"][0]["metrics"]["sens_at_1fp"]["p"] is None
    assert any("no lesions" in note for note in got["notes"]) and any("patients are not known" in note for note in got["notes"])


def test_without_resamples_there_are_values_and_no_intervals(tmp_path: Path) -> None:
    got = metrics(project(tmp_path, bootstrap=0))["points"]["gan_4"]["mean"]["sens_at_1fp"]
    assert got["value"] == pytest.approx(0.35) and got["ci95"] == [None, None]
