"""The reader study: a page without the truth, and the scoring of answers by hand."""

import base64
import csv
import json
import re

import numpy as np
import pytest

from pipeline.errors import PipelineError
from pipeline.realism import reader
from pipeline.realism.sets import Set
from tests.report.browser import Browser, find


def patches(name, n, grey):
    images = np.full((n, 32, 32), grey, np.float32)
    images[:, 4, :] = np.linspace(0, 1, n)[:, None]
    names = [f"{name}{k}" for k in range(n)]
    return Set(images, np.ones(images.shape, bool), np.ones(n), [f"patient_{name}{k}" for k in range(n)], names)


@pytest.fixture
def study(tmp_path):
    reader.write(patches("real", 12, 0.2), patches("made", 15, 0.8), 10, 5, tmp_path / "study")
    return tmp_path / "study"


def key_of(study):
    with open(study / "key.csv", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def answer(path, rows):
    path.write_text("study,item,rating,seconds\n" + "".join(",".join(map(str, row)) + "\n" for row in rows), encoding="utf-8")
    return path


def test_the_page_shows_all_and_tells_nothing(study):
    page, key = (study / "index.html").read_text(encoding="utf-8"), key_of(study)
    items = json.loads(re.search(r"items = (\[.*?\]), ratings", page)[1])
    assert [one["item"] for one in items] == list(range(1, 21)) and all(set(one) == {"item", "png"} for one in items)
    assert sum(int(row["synthetic"]) for row in key) == 10 and len({row["name"] for row in key}) == 20
    assert not re.search(r"made\d|real\d|patient_|https?://|/\*", page)
    kinds = [int(row["synthetic"]) for row in key]
    assert kinds != sorted(kinds) and kinds != sorted(kinds, reverse=True)
    for one in items:
        assert b"tEXt" not in base64.b64decode(one["png"])


def test_scores_by_hand(study, tmp_path):
    key = key_of(study)
    perfect = [(row["study"], row["item"], 5 if row["synthetic"] == "1" else 1, 2.5) for row in key]
    found = reader.score(study / "key.csv", answer(tmp_path / "a.csv", perfect))
    assert (found["auc"], found["accuracy"], found["sensitivity"], found["specificity"]) == (1.0, 1.0, 1.0, 1.0)
    assert found["n"] == [10, 10] and found["seconds"] == 2.5 and found["ci_low"] < 1
    blind = [(study_, item, 3, 1) for study_, item, _, _ in perfect]
    found = reader.score(study / "key.csv", answer(tmp_path / "b.csv", blind))
    assert found["auc"] == 0.5 and found["undecided"] == 20 and found["accuracy"] is None
    mixed = [(s, i, 4 if k % 2 == 0 else 2, 1) for k, (s, i, _, _) in enumerate(sorted(perfect, key=lambda row: row[2]))]
    found = reader.score(study / "key.csv", answer(tmp_path / "c.csv", mixed))
    assert found["accuracy"] == found["sensitivity"] == found["specificity"] == found["auc"] == 0.5


def test_faulty_answers_are_named_at_once(study, tmp_path):
    key = key_of(study)
    rows = [(row["study"], row["item"], 4, 1) for row in key[1:]] + [(key[1]["study"], key[1]["item"], 9, 1), ("other", "99", 2, 1)]
    with pytest.raises(PipelineError) as error:
        reader.score(study / "key.csv", answer(tmp_path / "a.csv", rows))
    missing, double = key[0]["item"], key[1]["item"]
    for part in ("item 99: is of study other", "rating '9'", f"item {missing}: answered 0 times", f"item {double}: answered 2 times",
                 "item 99: is not in the key"):  # fmt: skip
        assert part in str(error.value)


def test_too_few_patches_are_an_error(tmp_path):
    with pytest.raises(PipelineError, match="3 real patches, 10 are asked for"):
        reader.write(patches("real", 3, 0.2), patches("made", 15, 0.8), 10, 5, tmp_path / "study")


@pytest.mark.skipif(find() is None, reason="no Chromium or Chrome on this machine")
def test_a_reader_answers_in_a_browser(study, tmp_path):
    """Buttons and keys answer, back corrects, saving waits for the last answer, and what is saved can be scored."""
    catch = "URL.createObjectURL = (blob) => { window.saved = blob.text(); return '#'; }"
    with Browser(find()) as browser:
        browser.open(study / "index.html", 1280)
        browser.run(catch)
        press = "document.onkeydown({{key: '{}'}})"
        for number in range(20):
            assert browser.run("document.getElementById('save').disabled") is True
            browser.run(press.format(4) if number % 2 else "document.querySelectorAll('#buttons button')[1].click()")
        browser.run("show(0)")
        browser.run(press.format(5))
        browser.run("document.getElementById('save').click()")
        saved = browser.run("window.saved")
        assert browser.complaints() == [] and browser.requests() == [(study / "index.html").resolve().as_uri()]
    (tmp_path / "answers.csv").write_text(saved, encoding="utf-8")
    assert [line.split(",")[2] for line in saved.splitlines()[1:4]] == ["5", "4", "2"]
    assert reader.score(study / "key.csv", tmp_path / "answers.csv")["n"] == [10, 10]
