import base64
import hashlib
import re
import warnings
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from pipeline.io import read_json, write_json, write_text
from pipeline.params import ARCHS, load
from pipeline.report import build, figures, page, worst
from pipeline.report.results import read
from tests.report import made

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>'


@pytest.fixture
def inputs(tmp_path):
    return made.inputs(tmp_path)


class References(HTMLParser):
    """Collects what a browser would fetch, and the scripts."""

    def __init__(self):
        super().__init__()
        self.addresses, self.handlers, self.scripts, self.inside = [], [], [], None

    def handle_starttag(self, tag, attributes):
        self.addresses += [value for name, value in attributes if name in ("src", "href", "srcset", "action", "data")]
        self.handlers += [name for name, _ in attributes if name.startswith("on")]
        if tag == "script":
            self.inside = dict(attributes).get("type", "text/javascript")
            self.scripts.append((self.inside, ""))

    def handle_data(self, text):
        if self.inside:
            self.scripts[-1] = (self.inside, self.scripts[-1][1] + text)

    def handle_endtag(self, tag):
        if tag == "script":
            self.inside = None


def parsed(html):
    found = References()
    found.feed(html)
    return found


def html_of(params, inputs):
    """The page without the cost of drawing: empty figures stand in for the real ones."""
    for name in ("augmentation_curve", "froc", "differences", "losses"):
        write_text(inputs["reports"] / "figures" / f"{name}.svg", '<svg xmlns="http://www.w3.org/2000/svg"/>')
    results = read(inputs["reports"], params.curve, params.study.points)
    paths = build.Paths(**inputs)
    worst_of = worst.read(params, results, paths.prepared / "test/annotations.json", paths.predictions)
    return page.render("index.html", build.SECTIONS, **build.content(params, results, worst_of, paths))


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A report that was written once; tests only look at it."""
    inputs = made.inputs(tmp_path_factory.mktemp("built"))
    build.write(made.params(), build.Paths(**inputs))
    return inputs


def test_equal_inputs_give_equal_bytes(built):
    def files():
        return {path.relative_to(built["reports"]): path.read_bytes() for path in built["reports"].rglob("*") if path.is_file()}

    first = files()
    build.write(made.params(), build.Paths(**built))
    assert files() == first
    names = {path.name for path in first}
    assert {"index.html", "summary.json", "quality.json", "augmentation_curve.png", "froc.svg", "losses.csv"} <= names


def test_the_page_holds_everything_and_fetches_nothing(inputs):
    found = parsed(html_of(made.params(), inputs))
    assert [address[:30] for address in found.addresses if not address.startswith(("data:", "#"))] == []
    assert (
        sum(address.startswith("data:image/") for address in found.addresses) == 8
    )  # four figures, a contact sheet, three mammograms of the QC


def test_policy_allows_the_own_script_alone(inputs):
    html = html_of(made.params(), inputs)
    (script,) = [text for kind, text in parsed(html).scripts if kind == "text/javascript"]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)[1].replace("&#39;", "'")
    assert "default-src 'none'" in policy and f"script-src 'sha256-{digest}'" in policy


@pytest.mark.attack
def test_metadata_cannot_inject_markup(inputs):
    values = read_json(inputs["reports"] / "metrics.json")
    values["notes"] = [HOSTILE]
    values["points"]["real"]["notes"] = [HOSTILE]
    values["recovered"][0]["reason"] = HOSTILE
    write_json(inputs["reports"] / "metrics.json", values)
    write_json(inputs["weights"], {HOSTILE: {"sha256": HOSTILE, "source": HOSTILE}})
    measured = made.quality()
    measured["definitions"]["masks"] = HOSTILE
    write_json(inputs["quality"] / "quality.json", measured)
    found = parsed(html_of(made.params(data={"root": HOSTILE}), inputs))
    assert len(found.scripts) == 2 and not found.handlers and "x" not in found.addresses


@pytest.mark.attack
def test_names_in_the_data_block_cannot_end_the_script():
    content = dict.fromkeys(["title", "subtitle", "operating_points", "params", "worst_of"], "")
    table = build.Table("", [], [])
    tables = ("points", "contrasts", "strata", "recovered", "second", "table_1", "test_set", "weights", "versions", "inputs")
    content |= dict.fromkeys(tables, table)
    content |= {
        "notices": [],
        "cards": [],
        "quality": [],
        "sheets": [],
        "worst": [],
        "qc": [],
        "qc_pictures": [],
        "worst_pictures": [],
        "shows_pixels": True,
        "definitions": [],
        "notes": [],
        "images": dict.fromkeys(["augmentation_curve", "froc", "losses"], ""),
    }
    found = parsed(page.render("index.html", build.SECTIONS, **content, data={"lines": [{"label": "</script><script>alert(1)</script>"}]}))
    assert [kind for kind, _ in found.scripts] == ["application/json", "text/javascript"]


def test_a_phantom_run_says_that_it_proves_nothing(inputs, tmp_path):
    table = made.params(data={"source": "table", "root": "x"}, study={"points": ["real", "gan_120"], "baselines": []})
    assert "proves nothing" in html_of(made.params(), inputs)
    assert "proves nothing" not in html_of(table, made.inputs(tmp_path / "table", names=["real", "gan_120"]))


@pytest.mark.parametrize(
    ("source", "real_pixels", "shown"), [("phantom", False, True), ("table", False, False), ("table", True, True), ("second", False, False)]
)
def test_real_pixels_are_shown_on_request_alone(tmp_path, source, real_pixels, shown):
    study = {"points": ["real", "gan_120"], "baselines": []}
    inputs = made.inputs(tmp_path, names=study["points"])
    data = {"source": "phantom", "normals": "table", "normals_root": "x"} if source == "second" else {"source": source, "root": "x"}
    html = html_of(made.params(data=data, study=study, report={"real_pixels": real_pixels}), inputs)
    assert (page.data_uri(inputs["quality"] / "patches.png") in html) == shown
    assert ("Contact sheets are left out" in html) != shown and ("Pictures are left out" in html) != shown


@pytest.mark.parametrize("shown", [True, False])
def test_no_file_of_a_report_without_real_pixels_holds_any(tmp_path, shown):
    study = {"points": ["real", "gan_120"], "baselines": []}
    inputs = made.inputs(tmp_path, names=study["points"])
    build.write(made.params(data={"source": "table", "root": "x"}, study=study, report={"real_pixels": shown}), build.Paths(**inputs))
    drawn = {path.name for path in inputs["reports"].rglob("*.png")}
    assert ({"patches.png", "misses.png", "false_positives.png"} & drawn == {"patches.png", "misses.png", "false_positives.png"}) == shown
    assert drawn >= {"froc.png", "losses.png"} and len(drawn) == (7 if shown else 4)
    pages = [(inputs["reports"] / name).read_text() for name in ("index.html", "qc.html")]
    assert [text.count("data:image/png") for text in pages] == ([3, 0] if shown else [0, 0])
    assert [text.count("data:image/jpeg") for text in pages] == ([3, 3] if shown else [0, 0])
    assert [text.count('class="lesion"') for text in pages] == ([3, 3] if shown else [0, 3])  # outlines are no pixels


def test_qc_counts_and_names_what_is_doubtful(built):
    for name in ("index.html", "qc.html"):
        html = (built["reports"] / name).read_text()
        assert "5 px of lesions outside of the breast" in html and html.count('class="lesion"') == 3
        assert re.search(r"with lesion pixels outside of the breast</th><td[^>]*>1</td>", html)
        assert re.search(r"with assumed pixel spacing</th><td[^>]*>2</td>", html)
    found = parsed((built["reports"] / "qc.html").read_text())
    assert not found.scripts and all(address.startswith(("data:", "#")) for address in found.addresses)


def test_worst_cases_are_named(inputs):
    html = html_of(made.params(), inputs)
    assert "p2_L_CC, lesion 1" in html and ">no score<" in html and "p3_L_CC" in html and "training 0 of gan_120" in html


def test_undefined_numbers_are_words_not_nan(inputs):
    values = read_json(inputs["reports"] / "metrics.json")
    for point in values["points"].values():
        for block in [point["mean"], *point["seeds"].values()]:
            block["recall"] = {"value": None, "ci95": None}
    values["points"]["gan_120"]["mean"]["sens_at_1fp"] = {"value": None, "ci95": None}
    write_json(inputs["reports"] / "metrics.json", values)
    html = html_of(made.params(), inputs)
    data = next(text for kind, text in parsed(html).scripts if kind == "application/json")
    assert "NaN" not in data and html.count(">undefined<") >= 6
    figures.augmentation_curve(read(inputs["reports"], made.MIXTURES, made.SIZES), inputs["reports"])
    drawn = pd.read_csv(inputs["reports"] / "augmentation_curve.csv")
    assert drawn.loc[drawn["point"] == "gan_120", "value"].isna().all() and drawn["value"].notna().sum() > 0


@pytest.mark.parametrize("value", [None, 0.0])
def test_differences_that_are_undefined_or_without_spread_are_drawn_without_a_warning(tmp_path, value):
    values = made.metrics()
    for contrast in values["contrasts"]:
        for one in (contrast["metrics"]["sens_at_1fp"], *contrast["strata"]):
            one.update(difference=value, ci95=[value, value])
    reports = made.reports(tmp_path)
    write_json(reports / "metrics.json", values)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figures.differences(read(reports, made.MIXTURES, made.SIZES), made.params().evaluate, tmp_path)
    assert pd.read_csv(tmp_path / "differences.csv")["difference"].isna().all() == (value is None)
    assert (tmp_path / "differences.svg").is_file()


def test_figures_hold_neither_date_nor_version(built):
    for path in (built["reports"] / "figures").glob("*.[ps][nv]g"):
        content = path.read_bytes()
        assert b"Matplotlib" not in content and b"<dc:date>" not in content and b"Creator" not in content, path


def test_figure_data_can_be_checked_by_hand(built):
    drawn = pd.read_csv(built["reports"] / "figures/augmentation_curve.csv")
    gan = drawn[drawn["line"] == "GAN"]
    assert gan["n_train"].tolist() == [100, 160, 220] and gan["value"].tolist() == [0.40, 0.52, 0.56]
    forest = pd.read_csv(built["reports"] / "figures/differences.csv")
    assert forest["against"].tolist() == ["real", "traditional_120"] * 2
    assert forest["label"].tolist() == ["Sensitivity at 1 false positive per image"] * 2 + ["size < 8.1 mm (14)"] * 2
    assert forest["difference"].tolist() == [0.16, 0.06, 0.2, 0.2] and forest["ci_low"].tolist() == [0.09, -0.01, -0.1, -0.1]
    losses = pd.read_csv(built["reports"] / "figures/losses.csv")
    assert losses.groupby(["model", "loss"]).size().to_dict() == {
        ("Infilling GAN", "adversarial"): 60, ("Infilling GAN", "discriminator"): 60, ("Infilling GAN", "feature_matching"): 60,
        ("Mask GAN", "discriminator"): 60, ("Mask GAN", "generator"): 60,
    }  # fmt: skip


def test_one_point_and_one_seed_are_enough(tmp_path):
    inputs = made.inputs(tmp_path, seeds=1, names=["real"])
    build.write(made.params(study={"points": ["real"]}), build.Paths(**inputs))
    assert "no point with GAN images" in (inputs["reports"] / "index.html").read_text()
    assert not (inputs["reports"] / "figures/differences.svg").exists()
    assert read_json(inputs["reports"] / "summary.json")["sens_at_1fp_real"] == 0.4


@pytest.mark.parametrize(
    ("changes", "title"),
    [
        ({}, "Light-Head R-CNN with ResNet-18"),
        ({"arch": "retinanet", "backbone": "efficientnet_lite0"}, "RetinaNet with EfficientNet-Lite0"),
        ({"arch": "configs/mine.py"}, "mine.py"),
    ],
)
def test_the_page_names_the_detector_that_was_trained(changes, title):
    params = load(Path("params.yaml"))
    assert build.detector_title(params.model_copy(update={"detector": params.detector.model_copy(update=changes)})) == title


def test_every_detector_has_a_name():
    assert set(build.DETECTORS) == set(ARCHS)
