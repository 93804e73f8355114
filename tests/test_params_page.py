"""params.yaml's comments, the schema and docs/params.md say the same."""

import subprocess
import sys

import pytest

from pipeline import params_page
from pipeline.params import Params
from pipeline.params_page import REMEDY, allowed, choices, comments, faults, rows
from tests.code_deps import ROOT

TEXT = (ROOT / "params.yaml").read_text(encoding="utf-8")


def found(text, tmp_path):
    """Faults of params.yaml where it reads `text`."""
    (tmp_path / "params.yaml").write_text(text)
    return params_page.build(tmp_path / "params.yaml")[1]


def test_every_key_is_documented_in_place_with_its_range_and_choices(tmp_path):
    wrong = found(TEXT, tmp_path)
    assert not wrong, "\n".join(["change these comments (see pipeline/params.py for the ranges):", *wrong])


def test_page_is_what_the_schema_and_the_comments_say():
    page, _ = params_page.build(ROOT / "params.yaml")
    assert page == (ROOT / "docs/params.md").read_text(encoding="utf-8"), f"a key has changed: run `{REMEDY}` and commit docs/params.md"


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("share of patients, 0..1 (holdout)", "share of patients (holdout)", "split.test: the comment must hold the range of the schema"),
        ("unet | crn", "unet", "gen.arch: the comment must offer the choices of the schema"),
        ("18 | 50 | 101", "18 | 34 | 50 | 101", "detector.depth: the comment must offer"),
        ("# images of a step, >= 1 (the paper: 4)", "", "detector.batch: has no comment"),
        ("that is kept, > 0, <= 1", "that is kept", "split.train_fraction: the comment must hold"),
    ],
)  # fmt: skip
def test_what_a_comment_lacks_is_named(tmp_path, old, new, fault):
    assert old in TEXT
    wrong = found(TEXT.replace(old, new), tmp_path)
    assert len(wrong) == 1 and fault in wrong[0]


def test_comment_of_a_key_inside_braces_is_that_of_its_line_or_block():
    words = comments("pools: # held, >= 0\n  gan: {n: 1}\ngen:\n  unet: {width: 2}  # channels, >= 1\n")
    schema = Params.model_json_schema()
    made = {row.key: row.words for row in rows({"pools": {"gan": {"n": 1}}, "gen": {"unet": {"width": 2}}}, words, schema)}
    assert made == {"pools.gan.n": "held, >= 0", "gen.unet.width": "channels, >= 1"}


def test_types_and_ranges_in_words():
    assert allowed({"type": "integer", "minimum": 1}) == "whole number >= 1"
    assert allowed({"type": "number", "minimum": 0, "exclusiveMaximum": 1}) == "number >= 0, < 1"
    assert allowed({"anyOf": [{"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2}, {"type": "null"}]}) == (
        "list of 2: whole number or null"
    )
    assert choices("network of the loss: vgg16 (the paper's) | vgg19 | none; more") == ["vgg16", "vgg19", "none"]


def test_a_comment_for_a_key_that_is_gone_is_named():
    made = list(rows({"seed": 1}, {"seed": ">= 0"}, Params.model_json_schema()))
    assert faults(made, {"seed": ">= 0", "old.key": "words"}) == ["params.yaml, old.key: not a key of pipeline/params.py"]


def test_check_ends_in_one_message(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/params.md").write_text("old")
    (tmp_path / "params.yaml").write_text(TEXT)
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.params_page", "--check"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and REMEDY in done.stderr and "Traceback" not in done.stderr
