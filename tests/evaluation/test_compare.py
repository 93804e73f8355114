"""Strata, the export for RJafroc and the command that compares runs."""

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.errors import PipelineError
from pipeline.evaluation import rjafroc
from pipeline.evaluation.events import events
from pipeline.evaluation.matching import match, parse_hit
from pipeline.evaluation.strata import sensitivities, strata, table
from pipeline.evaluation.truth import detections, truth
from tests.evaluation.cases import dataset, image, results

FAR = [300.0, 300.0, 10.0, 10.0]


def six_lesions() -> dict[str, Any]:
    """Boxes of 10, 20, 30 px in patient a (density 1), 10, 20, 30 px in patient b (density 2), and a normal patient c."""
    images = [image(1, "a", density=1, view="CC"), image(2, "b", density=2), image(3, "c", density=1)]
    gt = dataset(images, [(i, [100.0 * k, 0.0, 10.0 * k, 10.0 * k]) for i in (1, 2) for k in (1, 2, 3)])
    for annotation, shape in zip(gt["annotations"], ("oval", "round") * 3, strict=True):
        annotation["shape"] = shape
    gt["annotations"][0]["margins"] = "spiculated"
    return gt


def box(gt: dict[str, Any], lesion: int, score: float) -> dict[str, Any]:
    one = gt["annotations"][lesion]
    return results((one["image_id"], one["bbox"], score))[0]


def test_strata_of_size_density_view_shape_and_margins() -> None:
    rows = {(one["variable"], one["level"]): (one["n_lesions"], one["n_clusters"]) for one in table(truth(six_lesions()))}
    assert rows == {
        ("size", "< 16.7 px"): (2, 2), ("size", "16.7 to 23.3 px"): (2, 2), ("size", "> 23.3 px"): (2, 2),
        ("density", "1"): (3, 1), ("density", "2"): (3, 1), ("view", "CC"): (3, 1), ("view", "unknown"): (3, 1),
        ("shape", "oval"): (3, 2), ("shape", "round"): (3, 2), ("margins", "spiculated"): (1, 1), ("margins", "unknown"): (5, 2),
    }  # fmt: skip
    gt = six_lesions()
    for one in gt["images"]:
        one["spacing_mm"] = 0.5
    assert ("size", "< 8.3 mm") in strata(truth(gt))
    assert strata(truth(dataset([image(1)], []))) == {}


def test_sensitivity_of_strata_at_one_false_positive_per_image() -> None:
    """Three images: the fourth false positive, at .2, is one too many, so the hit at .1 does not count."""
    gt = six_lesions()
    found = [box(gt, 0, 0.9), box(gt, 3, 0.8), box(gt, 5, 0.55), box(gt, 4, 0.1), *results(*((3, FAR, s) for s in (0.7, 0.6, 0.5, 0.2)))]
    known = truth(gt)
    boxes = detections(found, known)
    matches = match(known, boxes, parse_hit("iou:0.5"))
    weights = np.array([[1, 1, 1], [2, 1, 0], [1, 2, 0]])
    got = sensitivities(known, matches, events(known, boxes, matches), weights)
    assert got["size", "< 16.7 px"].tolist() == [1, 1, 1]
    assert got["size", "16.7 to 23.3 px"].tolist() == pytest.approx([0, 1 / 3, 2 / 3])  # without patient c the lowest hit counts
    assert got["density", "1"].tolist() == pytest.approx([1 / 3] * 3)
    assert got["size", "> 23.3 px"].tolist() == pytest.approx([1 / 2, 1 / 3, 2 / 3])  # the hit at .55, after two false positives
    assert got["density", "2"].tolist() == pytest.approx([2 / 3, 1, 1])


def rows(path: Path) -> list[list[str]]:
    with open(path, newline="") as file:
        return list(csv.reader(file))


def reading(gt: dict[str, Any], found: list[dict[str, Any]], arm: str, seed: str) -> rjafroc.Reading:
    known = truth(gt)
    boxes = detections(found, known)
    return rjafroc.Reading(arm, seed, known, boxes, match(known, boxes, parse_hit("iou:0.5")))


def test_rjafroc_sheets_by_hand(tmp_path: Path) -> None:
    gt = dataset([image(11, "a"), image(12, "b")], [(12, [0, 0, 10, 10]), (12, [50, 0, 10, 10])])
    first = results((12, [50, 0, 10, 10], 0.9), (11, FAR, 0.8), (12, FAR, 0.7), (11, FAR, 0.95))
    rjafroc.write(tmp_path, [reading(gt, first, "real", "0"), reading(gt, [], "gan", "0")])
    assert rows(tmp_path / "TRUTH.csv") == [
        ["CaseID", "LesionID", "Weight", "ReaderID", "ModalityID", "Paradigm"],
        ["1", "0", "0", "0", "0,1", "FROC"], ["2", "1", "0.5", "0", "0,1", "FCTRL"], ["2", "2", "0.5", "0", "0,1", ""],
    ]  # fmt: skip
    assert rows(tmp_path / "TP.csv") == [["ReaderID", "ModalityID", "CaseID", "LesionID", "TP_Rating"], ["0", "0", "2", "2", "0.9"]]
    assert rows(tmp_path / "FP.csv")[1:] == [["0", "0", "1", "0.8"], ["0", "0", "1", "0.95"], ["0", "0", "2", "0.7"]]
    assert ["modality", "1", "gan"] in rows(tmp_path / "cases.csv") and ["case", "2", "12"] in rows(tmp_path / "cases.csv")


def test_rjafroc_needs_a_crossed_design(tmp_path: Path) -> None:
    gt = dataset([image(1, "a")], [(1, [0, 0, 10, 10])])
    with pytest.raises(PipelineError, match="every arm needs the same seeds"):
        rjafroc.write(tmp_path, [reading(gt, [], "real", "0"), reading(gt, [], "gan", "1")])
    with pytest.raises(PipelineError, match="the same images"):
        rjafroc.write(tmp_path, [reading(gt, [], "real", "0"), reading(dataset([image(2, "a")], []), [], "gan", "0")])


def study(folder: Path, folds: int = 1, seeds: int = 3) -> Path:
    """Arms that find a mass with chance .4 (real), .5 (traditional) and .9 (gan) among false positives; 30 patients a fold."""
    lines = ["arm,seed,fold,gt,detections"]
    for fold in range(folds):
        gt = dataset([image(i, f"{fold}-{i // 2}") for i in range(60)], [(i, [10.0, 20.0, 30.0, 20.0]) for i in range(40)])
        (folder / f"gt{fold}.json").write_text(json.dumps(gt))
        for arm, chance in (("real", 0.4), ("traditional", 0.5), ("gan", 0.9)):
            for seed in range(seeds):
                rng = np.random.default_rng([fold, seed, int(10 * chance)])
                hits = [(i, [10.0, 20.0, 30.0, 20.0], float(rng.uniform(0.3, 1))) for i in range(40) if rng.random() < chance]
                false = [(int(rng.integers(60)), FAR, float(rng.uniform(0, 1))) for _ in range(90)]
                name = f"{arm}{fold}{seed}.json"
                (folder / name).write_text(json.dumps(results(*hits, *false)))
                lines.append(f"{arm},{seed},{fold},gt{fold}.json,{name}")
    (folder / "runs.csv").write_text("\n".join(lines) + "\n")
    return folder / "runs.csv"


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-W", "error", "-m", "pipeline.evaluation.compare", *arguments], capture_output=True, text=True)


def test_command_compares_arms(tmp_path: Path) -> None:
    arguments = (str(study(tmp_path)), "--primary", "gan", "--bootstrap", "200", "--rjafroc", str(tmp_path / "out"))
    done = command(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    got = json.loads(done.stdout)
    assert got["n_patients_with_lesions"] == 20
    gan, traditional = ({one["arm"]: one for one in got["contrasts"]}[arm] for arm in ("gan", "traditional"))
    assert gan["primary"] and not traditional["primary"] and gan["against"] == "real"
    found = gan["metrics"]["sens_at_1fp"]
    assert found["difference"] == pytest.approx(got["arms"]["gan"]["sens_at_1fp"]["value"] - got["arms"]["real"]["sens_at_1fp"]["value"])
    assert found["ci95"][0] > 0 and found["p"] < 0.05 and found["var_patients"] > 0
    assert found["se"] ** 2 == pytest.approx(found["var_patients"] + found["var_runs"])
    assert traditional["metrics"]["sens_at_1fp"]["p_holm"] == traditional["metrics"]["sens_at_1fp"]["p"]  # one secondary comparison
    assert gan["metrics"]["recall"]["p"] is None and gan["nadeau_bengio"]["reason"]
    assert {one["variable"] for one in got["strata"]["gan"]} == {"size"}
    (group,), levels = gan["strata"], {arm: blocks[0]["value"] for arm, blocks in got["strata"].items()}
    assert (group["variable"], group["n_lesions"]) == ("size", 40)  # all of one size, so the group is the whole set
    assert group["difference"] == pytest.approx(levels["gan"] - levels["real"]) == pytest.approx(found["difference"])
    assert group["ci95"] == pytest.approx(found["ci95"])
    text = command(*arguments).stdout
    assert (tmp_path / "out/TRUTH.csv").is_file() and "gan - real (primary)" in text
    shown = (found["minimal_detectable"], found["var_patients"], found["var_runs"])
    assert "smallest detectable {:.2g}, variance over patients {:.2g}, between runs {:.2g}".format(*shown) in text


def test_command_joins_folds(tmp_path: Path) -> None:
    done = command(str(study(tmp_path, folds=3, seeds=1)), "--json", "--bootstrap", "200")
    assert done.returncode == 0, done.stderr
    got = json.loads(done.stdout)
    assert got["n_patients_with_lesions"] == 60 and got["strata"] == {}
    check = got["contrasts"][1]["nadeau_bengio"]
    assert check["reason"] is None and 0 < check["p"] < 0.05
    assert got["contrasts"][1]["metrics"]["sens_at_1fp"]["var_runs"] is None  # one training of each
    text = command(str(tmp_path / "runs.csv"), "--bootstrap", "200").stdout
    assert f"between runs unknown, Nadeau-Bengio p {check['p']:.4f}" in text
    assert any("one training of each" in note for note in got["notes"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("detections", "boxes"), "lacks rows or the columns detections"),
        (lambda text: text + text.splitlines()[1] + "\n", "runs listed twice"),
        (lambda text: text.replace("real,0,0,gt0.json", "real,0,0,gt1.json"), "need one ground truth"),
        (lambda text: "\n".join(line for line in text.splitlines() if not line.startswith("gan,0,1")), "arm gan: fold 1"),
    ],
)
def test_tables_that_make_no_comparison_are_refused(tmp_path: Path, change: Any, message: str) -> None:
    table = study(tmp_path, folds=2, seeds=1)
    table.write_text(change(table.read_text()))
    done = command(str(table))
    assert done.returncode == 2 and message in done.stderr and "Traceback" not in done.stderr


def test_unknown_arms_are_refused(tmp_path: Path) -> None:
    done = command(str(study(tmp_path)), "--reference", "reel")
    assert done.returncode == 2 and "--reference reel" in done.stderr and "real, traditional, gan" in done.stderr
