"""The confirmatory analysis on experiments whose numbers can be counted on the fingers."""

import json
import subprocess
import sys

import pytest

from pipeline.comparison import confirm, joint, packed
from pipeline.comparison.experiments import Experiment
from pipeline.errors import PipelineError
from pipeline.evaluation.froc import without_nan
from pipeline.io import read_json
from pipeline.report.comparison import rules
from tests.code_deps import ROOT
from tests.comparison.test_joint import experiment, params

FOUND = {"real": 4, "traditional_2": 6, "gan_4": 12}


def fold(number: int, found: dict[str, int], fraction: float = 0.25, folds: int = 2) -> Experiment:
    change = {"split": {"scheme": "kfold", "folds": folds, "fold": number, "train_fraction": fraction}}
    return experiment(f"{100 * fraction:g}-{number}", found, change, patients="pqrst"[number])


def analyse(experiments: list[Experiment]) -> dict:
    return confirm.analyse(experiments, [0.25, 1.0], rules(params()), 200, 17)


def test_folds_are_pooled_and_levels_and_differences_are_the_counted_ones():
    first, second = analyse([fold(0, FOUND), fold(1, FOUND | {"real": 6})])["fractions"]
    found = first["found"]
    assert (found["folds"], found["trainings"], found["test"]["lesions"]) == ([0, 1], 6, 40)
    assert {arm: one["value"] for arm, one in found["levels"].items()} == pytest.approx({"real": 0.25, "traditional": 0.3, "gan": 0.6})
    contrasts = {(one["arm"], one["against"]): one for one in found["contrasts"]}
    assert contrasts["gan", "real"]["difference"] == pytest.approx(0.35) and contrasts["gan", "real"]["p"] < 0.05
    assert [one["primary"] for one in found["contrasts"]] == [False, True, False]
    assert contrasts["gan", "real"]["p_holm"] is None
    secondary = sorted(contrasts[pair]["p"] for pair in (("traditional", "real"), ("gan", "traditional")))
    assert contrasts["traditional", "real"]["p_holm"] == pytest.approx(max(2 * secondary[0], secondary[1]))
    assert first["tested"] and second == {"train_fraction": 1.0, "tested": False, "found": None}


@pytest.mark.parametrize(
    ("real", "gan", "said"),
    [(4, 12, "the GAN raises it"), (12, 4, "the GAN lowers it"), (4, 4, "the GAN makes no significant difference")],
)
def test_the_second_fraction_is_tested_only_if_the_gan_helps_at_the_first_one(real, gan, said):
    result = analyse([fold(0, FOUND | {"real": real, "gan_4": gan}, folds=1), fold(0, FOUND, 1.0, folds=1)])
    assert [one["tested"] for one in result["fractions"]] == [True, gan > real]
    assert result["verdict"].startswith(f"25 % of the training patients: {said}; 100 % of the training patients")
    assert ("not tested" in result["verdict"]) == (gan <= real)
    assert result["fractions"][1]["found"]["levels"]["gan"]["value"] == pytest.approx(0.6)  # shown all the same


def test_nothing_is_tested_while_a_fold_is_missing():
    result = analyse([fold(0, FOUND, folds=3), fold(1, FOUND, folds=3)])
    assert not result["fractions"][0]["tested"]
    assert result["verdict"].startswith("25 % of the training patients: not tested, 2 of 3 folds")
    assert result["fractions"][0]["found"]["levels"]["gan"]["value"] == pytest.approx(0.6)


def test_points_that_were_run_later_join_those_of_the_same_fold():
    later = {"real": 4, "traditional_2": 6}
    result = analyse([fold(0, {"real": 4, "gan_4": 12}), fold(0, later), fold(1, {"real": 4, "gan_4": 12}), fold(1, later)])
    assert list(result["fractions"][0]["found"]["levels"]) == ["real", "gan", "traditional"]
    with pytest.raises(PipelineError, match="25-1: traditional_2, seed 0"):
        joint.join([fold(0, {"real": 4, "gan_4": 12}), fold(0, later), fold(1, {"real": 4, "gan_4": 12})])


def test_what_the_protocol_does_not_plan_is_refused():
    with pytest.raises(PipelineError, match=r"50-0: split.train_fraction 0.5 is none of the planned \[0.25, 1.0\]"):
        analyse([fold(0, FOUND, 0.5)])
    other = experiment("o", FOUND, {"split": {"scheme": "kfold", "fold": 1, "train_fraction": 0.25}, "gen": {"arch": "crn"}}, "q")
    with pytest.raises(PipelineError, match="differ in more than the fold"):
        analyse([fold(0, FOUND), other])


def test_the_command_gives_the_same_from_packed_files(tmp_path):
    files = [str(packed.pack(fold(number, FOUND), tmp_path)) for number in (0, 1)]
    command = [sys.executable, "-m", "stages.confirm", *files, "--resamples", "200", "--out", str(tmp_path / "confirm.json")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    expected = analyse([fold(0, FOUND), fold(1, FOUND)])
    assert read_json(tmp_path / "confirm.json") == json.loads(json.dumps(without_nan(expected)))
    assert confirm.markdown(expected).strip() in done.stdout


def test_the_page_holds_the_analysis_the_levels_and_the_notes(tmp_path):
    for number in (0, 1):
        packed.pack(fold(number, FOUND), tmp_path)
    (tmp_path / "NOTES.md").write_text("## Discussion\n\nNone.\n", encoding="utf-8")
    subprocess.run([sys.executable, "-m", "benchmarks.study_page", str(tmp_path)], cwd=ROOT, check=True, capture_output=True)
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "| gan | 12 | 0.600 [" in text and "| gan_4 | 12 | 0.600 [" in text and text.endswith("## Discussion\n\nNone.\n")
    assert [line.split(" [")[0] for line in text.splitlines() if line.startswith("| gan_4 - ")] == [
        "| gan_4 - real | +0.400",
        "| gan_4 - traditional_2 | +0.300",
    ]
    assert [line.split(" [")[0] for line in text.splitlines() if line.startswith("| 25-")][:2] == [
        f"| 25-{number} | 20 | +0.100" for number in (0, 1)
    ]
    assert "![differences](comparison/differences.png)" in text
    assert {"25-0", "25-1"} < {line.split(" | ")[0].strip("| ") for line in text.splitlines()}
    assert read_json(tmp_path / "confirm.json")["fractions"][0]["found"]["trainings"] == 6
    assert (
        all((tmp_path / f"comparison/{name}.png").is_file() for name in ("froc", "differences"))
        and len(list(tmp_path.glob(f"*{packed.ENDING}"))) == 2
    )


def test_the_text_has_a_row_for_every_arm_and_contrast():
    text = confirm.markdown(analyse([fold(0, FOUND)]))
    assert "| gan | 12 | 0.600 [" in text and "| gan - real | 0.400 [" in text and "| primary |" in text
    assert text.count("\n| ") == 2 * 2 + 3 + 3
