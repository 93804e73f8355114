"""The QC sheet: every mammogram with its outlines; pixels only where they may be shown."""

from pipeline.io import write_json
from pipeline.report import qc
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
