import copy

import pytest

from pipeline.io import read_json, write_json
from pipeline.report import definitions, quality, tables
from pipeline.report.results import Estimate, read
from pipeline.report.tables import Trained
from tests.report import made


@pytest.fixture
def results(tmp_path):
    return read(made.reports(tmp_path), made.MIXTURES, made.SIZES)


def changed(folder, change):
    made.reports(folder)
    values = read_json(folder / "metrics.json")
    change(values)
    write_json(folder / "metrics.json", values)
    return read(folder, made.MIXTURES, made.SIZES)


def test_summary_holds_the_headline(results):
    assert tables.summary(results) == {
        "sens_at_1fp_real": 0.40, "sens_at_1fp_trad": 0.50, "sens_at_1fp_gan": 0.56,
        "gan_minus_real": 0.16, "gan_minus_trad": 0.06, "share_recovered": 0.8,
    }  # fmt: skip


def test_summary_says_null_where_the_study_has_no_gan(tmp_path):
    names = ["real", "traditional_120"]
    found = tables.summary(read(made.reports(tmp_path, names=names), made.MIXTURES, names))
    assert found.pop("sens_at_1fp_real") == 0.40 and set(found.values()) == {None}


def test_numbers_carry_their_intervals_and_undefined_is_said():
    assert tables.whole(Estimate(0.56, 0.46, 0.66)) == "0.560 (0.460 to 0.660)"
    assert tables.whole(Estimate(-0.0614, -0.2, 0.1), signed=True) == "\N{MINUS SIGN}0.061 (\N{MINUS SIGN}0.200 to +0.100)"
    assert tables.whole(Estimate()) == "undefined" and tables.whole(Estimate(0.5)) == "0.500"


def test_cards_show_the_points_behind_the_primary_contrasts(results):
    (_, levels), (_, gains) = tables.cards(results)
    assert [card.value for card in levels] == ["0.400", "0.500", "0.560", "0.600"]  # gan_60 is not a headline
    assert [(card.what, card.value, card.interval) for card in gains] == [
        ("gan_120 \N{MINUS SIGN} real", "+0.160", "+0.090 to +0.230"),
        ("gan_120 \N{MINUS SIGN} traditional_120", "+0.060", "\N{MINUS SIGN}0.010 to +0.130"),
        ("Share recovered: (gan_120 \N{MINUS SIGN} real) / (fresh_120 \N{MINUS SIGN} real)", "0.80", "0.200 to 1.400"),
    ]


def test_an_undefined_share_gives_its_reason(tmp_path):
    def change(values):
        values["recovered"][0].update(value=None, ci95=None, reason="fresh gains nothing")

    found = changed(tmp_path, change)
    assert tables.cards(found)[1][1][-1][1:3] == ("undefined", "fresh gains nothing")
    assert tables.recovered_table(found).rows[0][2].text == "undefined"


@pytest.mark.parametrize(("arch", "labels", "column"), [("unet", "tri", 4), ("unet", "two", 3), ("crn", "tri", 2), ("crn", "two", 1)])
def test_table_1_puts_our_numbers_under_the_generator_that_was_trained(results, arch, labels, column):
    table = tables.table_1([Trained(arch, labels, [("whole patch", "0.2")], tables.gan_point(results))], made.params().evaluate)
    own = [row for row in table.rows if "here" in row[0].text]
    assert [row[column].text for row in own] == ["0.2", "0.660 (0.560 to 0.760)", "0.680 (0.580 to 0.780)", "0.560 (0.460 to 0.660)"]
    assert all(row[i].text == "not trained here" for row in own for i in range(1, 5) if i != column)


def test_table_1_repeats_the_values_of_the_paper(results):
    rows = {
        row[0].text: [cell.text for cell in row[1:]]
        for row in tables.table_1([Trained("unet", "tri", [], None)], made.params().evaluate).rows
    }
    assert rows["LPIPS, paper, DDSM"] == ["0.02549", "0.02436", "0.02170", "0.02021"]
    assert rows["LPIPS, paper, private"] == ["0.17134", "0.16768", "0.15839", "0.15342"]
    assert rows["Recall, paper, DDSM"] == ["0.8165", "0.8188", "0.8259", "0.8273"]
    assert rows["Recall, paper, private"] == ["0.8100", "0.8128", "0.8177", "0.8182"]


def test_contrasts_name_both_sides_and_their_p_values(results):
    rows = [[cell.text for cell in row] for row in tables.contrasts_table(results, made.params()).rows]
    assert rows[0] == [
        "gan_120 \N{MINUS SIGN} real (primary)\nSensitivity at 1 false positive per image",
        "+0.160\n+0.090 to +0.230",
        "0.100",
        "0.030",
        "0.060",
    ]


def test_lpips_stands_beside_floor_and_ceiling():
    measured = made.quality()
    assert quality.lpips_rows(measured) == [("reconstruction", "0.100 (ceiling 0.300)"), ("random pairs", "0.200 (floor 0.150)")]
    rows = [[cell.text for cell in row] for row in quality.tables(measured, "normals")[0].rows]
    assert rows[0] == ["Reconstruction, whole patch", "0.100 (0.090 to 0.110)", "does not apply", "0.300 (0.290 to 0.310)", "40", "12"]
    assert rows[3][1:4] == ["0.400 (0.390 to 0.410)", "0.300 (0.290 to 0.310)", "does not apply"]
    single = copy.deepcopy(measured)
    single["comparisons"][0].update(ci_low=None, ci_high=None)
    assert quality.tables(single, "normals")[0].rows[0][1].text == "0.100"


def test_definitions_follow_the_rules_of_the_evaluation():
    strict = made.params(evaluate={"hit": "distance:10", "duplicates": "ignore", "images": "normal", "recall_score": 0.25})
    text = dict(definitions.general(strict.evaluate, definitions.effort(strict.detector.model_dump())))
    assert (
        "at most 10 mm apart" in text["Hit"]
        and "count neither way" in text["Hit"]
        and "in which nothing is outlined" in text["False positives per image"]
    )
    assert definitions.metric("recall", strict.evaluate).label == "Recall at score \N{GREATER-THAN OR EQUAL TO} 0.25"
    assert f"{strict.detector.iterations} iterations" in text["Training images"]
    assert "10 epochs" in definitions.effort(made.params(detector={"schedule": "epochs"}).detector.model_dump())


@pytest.mark.parametrize(
    ("synthetic", "said"),
    [
        ({}, "600 iterations a training; images of pools added to the real ones"),
        ({"share": 0.25}, "added to the real ones, 25 % of each batch"),
        ({"mode": "replace"}, "images of pools put in the place of real ones"),
        ({"mode": "pretrain"}, "seen alone in the first 50 % of the iterations, real ones alone after"),
    ],
)
def test_figures_say_how_the_detectors_were_trained(synthetic, said):
    settings = made.params(detector={"iterations": 600, "synthetic": synthetic})
    assert said in definitions.training(settings.detector.model_dump())
    assert said.split("pools ")[-1] in definitions.effort(settings.detector.model_dump())


def test_a_metric_without_a_definition_is_an_error():
    with pytest.raises(KeyError, match="has no definition"):
        definitions.metric("sharpness", made.params().evaluate)


def test_groups_of_lesions_have_a_column_for_each_headline_point_and_primary_contrast(results):
    table, minus = tables.strata_table(results), "\N{MINUS SIGN}"
    contrasts = [f"gan_120 {minus} real", f"gan_120 {minus} traditional_120"]
    assert [cell.text for cell in table.columns][1:] == ["real", "traditional_120", "gan_120", "fresh_120", *contrasts]
    assert table.rows[0][-1].text == f"+0.200\n{minus}0.100 to +0.500"
    assert [cell.text for cell in table.rows[0]][:2] == ["size: < 8.1 mm\n14 lesions, 11 patients", "0.300\n0.200 to 0.400"]


def test_primary_contrasts_come_first_and_only_they_show_further_metrics(tmp_path):
    def change(values):
        recall = values["contrasts"][0]["metrics"]["sens_at_1fp"] | {"p": None, "p_holm": None}
        other = {"point": "fresh_120", "against": "real", "kind": "real", "primary": False, "strata": []}
        metrics = values["contrasts"][0]["metrics"]
        metrics["recall"] = recall
        values["contrasts"].insert(0, other | {"metrics": metrics})

    rows = [[cell.text for cell in row] for row in tables.contrasts_table(changed(tmp_path, change), made.params()).rows]
    assert [tuple(line.split(" ")[0] for line in row[0].split("\n")) for row in rows] == [
        ("gan_120", "Sensitivity"), ("gan_120", "Recall"), ("gan_120", "Sensitivity"), ("fresh_120", "Sensitivity"),
    ]  # fmt: skip
    assert rows[1][3:] == ["", ""]
