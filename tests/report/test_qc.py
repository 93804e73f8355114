"""The QC sheet: every mammogram with its outlines; pixels only where they may be shown."""

import dataclasses

from pipeline.io import write_json
from pipeline.report import qc, quality, tables
from pipeline.report.results import read
from tests.report import made


def page(tmp_path, pixels, rows=None):
    write_json(tmp_path / "qc.json", rows or made.sheet())
    write_json(tmp_path / "preprocess.json", made.cleaning())
    return qc.page(tmp_path / "qc.json", tmp_path / "preprocess.json", pixels, simulated=False)


def test_pixels_are_in_the_page_only_where_they_may_be(tmp_path):
    shown, hidden = page(tmp_path, True), page(tmp_path, False)
    assert shown.count("data:image/jpeg;base64,UElYRUxT") == 2 and "UElYRUxT" not in hidden
    for html in (shown, hidden):
        assert html.count('<polygon class="breast" points="1.0 2.0 3.5 4.0"/>') == 2
    assert "report.real_pixels" in hidden and "report.real_pixels" not in shown


def test_counts_flags_and_order(tmp_path):
    html = page(tmp_path, False)
    assert '<td class="number">1</td><td>films that face the other side' in html
    assert '<td class="number">3</td><td>components of masks dropped' in html
    assert "1 of 2 mammograms have a doubt" in html and html.index("p1_L_CC") < html.index("p2_L_CC")
    assert '<small class="flag">faces the other side than recorded</small>' in html and "1.30 % removed" in html


def test_names_cannot_inject_markup(tmp_path):
    rows = [{**made.sheet()[0], "image_id": "<script>alert(1)</script>", "flags": ["<b>"]}]
    html = page(tmp_path, True, rows)
    assert "<script" not in html and "<b>" not in html and "&lt;script&gt;" in html


def test_hosts_of_another_style_put_a_warning_over_every_conclusion():
    (said,) = quality.warnings(made.quality(0.61))
    assert "AUC of 0.61" in said and "style of the hosts, not to synthesis" in said
    assert quality.warnings(made.quality(0.60)) == [] and quality.warnings({"host_style": {"auc": None, "limit": 0.6}}) == []


def test_the_second_source_has_a_row_a_point(tmp_path):
    results = read(made.reports(tmp_path), made.MIXTURES, list(made.SIZES))
    assert tables.second_table(results).rows == []
    row = {"mean": {"value": 2.5, "ci95": [1.5, 4.0]}, "seeds": {"0": {}, "1": {}}}
    block = {"n_images": 44, "n_patients": 30, "sources": ["DDSM"], "at_fp_per_image": 1.0, "points": {"real": row}}
    found = tables.second_table(dataclasses.replace(results, second=block))
    assert [cell.text for cell in found.rows[0]] == ["real", "2.500 (1.500 to 4.000)", "2"]
    assert "44 healthy mammograms of 30 patients of the second source (DDSM), at the score that leaves 1" in found.caption
