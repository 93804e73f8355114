"""What the report says of the hosts of synthetic masses and of a second source."""

import dataclasses

from pipeline.report import qc, quality, tables
from pipeline.report.results import read
from tests.report import made


def test_hosts_of_another_style_put_a_warning_over_every_conclusion():
    (said,) = quality.warnings(made.quality(0.61))
    assert "AUC of 0.610 (0.560 to 0.660), limit 0.6" in said and "style of the hosts, not to synthesis" in said
    assert quality.warnings(made.quality(0.60)) == [] and quality.warnings({"host_style": {"auc": None, "limit": 0.6}}) == []


def test_what_hosts_were_used_is_told():
    table = quality.tables(made.quality(0.52), "lesion_free")[-1]
    assert table.caption.startswith("Hosts of synthetic masses (lesion_free)")
    assert [cell.text for cell in table.rows[0]] == ["Hosts of synthetic masses", "30", "15", "films, others", "0.520 (0.470 to 0.570)"]


def test_the_second_source_has_a_row_a_point(tmp_path):
    results = read(made.reports(tmp_path), made.MIXTURES, list(made.SIZES))
    assert tables.second_table(results).rows == []
    row = {"mean": {"value": 2.5, "ci95": [1.5, 4.0]}, "seeds": {"0": {}, "1": {}}}
    block = {"n_images": 44, "n_patients": 30, "sources": ["DDSM"], "at_fp_per_image": 1.0, "points": {"real": row}}
    found = tables.second_table(dataclasses.replace(results, second=block))
    assert [cell.text for cell in found.rows[0]] == ["real", "2.500 (1.500 to 4.000)", "2"]
    assert "44 healthy mammograms of 30 patients of the second source (DDSM), at the score that leaves 1" in found.caption


def test_balance_of_the_parts_is_told(tmp_path):
    made.test_part(tmp_path, [])
    by_caption = {table.caption: table.rows for table in qc.tables(qc.read(tmp_path))}
    rows = [[cell.text for cell in row] for row in by_caption["Balance of the parts: reported, not forced"]]
    assert ["train", "2: 1, 3: 4", "CC: 5", "8, 9.5, 11"] in rows and len(rows) == 3
    noted = {row[0].text: row[1].text for row in by_caption["What preprocessing changed, dropped or doubts"]}
    assert noted["with bright pixels removed (labels, tape, borders)"] == "2"
