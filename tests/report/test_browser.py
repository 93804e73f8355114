"""The page in a real browser, at the width of a phone and of a desk."""

import pytest

from pipeline.report import build
from tests.report import made
from tests.report.browser import Browser, find

PROGRAM = find()
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no Chromium or Chrome on this machine")
LINES = "document.querySelectorAll('#curve svg[role=img] path[fill=none][stroke-width=\"1.8\"]').length"
TICKS = "[...document.querySelectorAll('#froc svg[role=img] text[text-anchor=middle]')].map((one) => one.textContent)"


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    build.write(made.params(), build.Paths(**made.inputs(folder)))
    return folder / "reports/index.html"


@pytest.fixture(scope="module")
def browser():
    with Browser(PROGRAM) as started:
        yield started


def centre(browser, selector):
    """Centre of an element after scrolling it into view."""
    found = f"document.querySelector({selector!r})"
    browser.run(f"{found}.scrollIntoView({{block: 'center', behavior: 'instant'}})")
    return browser.run(f"(() => {{ const r = {found}.getBoundingClientRect(); return [r.left + r.width / 2, r.top + r.height / 2]; }})()")


@pytest.mark.parametrize("width", [390, 1280])
def test_page_is_silent_asks_for_nothing_and_fits(browser, report, width):
    browser.open(report, width)
    assert browser.complaints() == []
    assert browser.requests() == [report.resolve().as_uri()]
    assert browser.run("document.documentElement.scrollWidth") <= width
    assert browser.run("[...document.images].every((one) => one.complete && one.naturalWidth > 0)")
    assert browser.run(LINES) == 4


@pytest.mark.parametrize("width", [390, 1280])
def test_qc_sheet_is_silent_asks_for_nothing_and_fits(browser, report, width):
    sheet = report.with_name("qc.html")
    browser.open(sheet, width, frames=False)
    assert browser.complaints() == [] and browser.requests() == [sheet.resolve().as_uri()]
    assert browser.run("document.documentElement.scrollWidth") <= width
    sizes = browser.run("[...document.querySelectorAll('.film svg')].map((one) => one.getBoundingClientRect().height)")
    assert len(sizes) == 3 and min(sizes) > 100


def test_arms_can_be_taken_away_and_brought_back(browser, report):
    browser.open(report, 1280)
    button = "[...document.querySelectorAll('#curve button')].find((one) => one.textContent === 'GAN')"
    browser.run(f"{button}.click()")
    assert browser.run(LINES) == 3 and browser.run(f"{button}.getAttribute('aria-pressed')") == "false"
    browser.run(f"{button}.click()")
    assert browser.run(LINES) == 4


def test_hovering_names_the_point_and_its_interval(browser, report):
    browser.open(report, 1280)
    x, y = centre(browser, '#curve path[fill="#0072B2"][transform]')  # the first GAN point
    browser.move(x + 3, y + 3)
    shown = browser.run("document.querySelector('#curve .tip').innerText")
    assert "100 real + 60 GAN" in shown and "0.520 (95 % 0.420 to 0.620)" in shown and "seeds: 0.515, 0.525" in shown
    browser.move(1, 1)
    assert browser.run("document.querySelector('#curve .tip').hidden")


def test_froc_reads_every_curve_at_a_rate(browser, report):
    browser.open(report, 390)
    x, y = centre(browser, "#froc svg[role=img]")
    browser.move(x, y)
    shown = browser.run("document.querySelector('#froc .tip').innerText").splitlines()
    assert shown[0].startswith("at ") and len(shown) == 5  # the smaller GAN point is off at first
    values = [float(line.split()[0]) for line in shown[1:]]
    assert values == sorted(values, reverse=True) and "fresh real" in shown[1]
    box = browser.run("(() => { const r = document.querySelector('#froc .tip').getBoundingClientRect(); return [r.left, r.right]; })()")
    assert box[0] >= 0 and box[1] <= 390


def test_axis_can_be_linear_or_logarithmic(browser, report):
    browser.open(report, 1280)
    assert {"1/16", "1", "16"} <= set(browser.run(TICKS))
    browser.run("document.querySelector('#froc input').click()")
    assert browser.run(TICKS)[:9] == [str(i) for i in range(9)]


def test_another_metric_can_be_chosen(browser, report):
    browser.open(report, 1280)
    browser.run(
        "(() => { const s = document.querySelector('#curve select'); s.value = 'recall'; s.dispatchEvent(new Event('change')); })()"
    )
    assert (
        browser.run("document.querySelector('#curve svg[role=img] text.title:last-of-type').textContent")
        == "Recall at score \N{GREATER-THAN OR EQUAL TO} 0.5"
    )
    assert browser.complaints() == []


def test_figures_are_shown_without_scripts(browser, report):
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(report, 1280, frames=False)
        widths = browser.run("[...document.querySelectorAll('.chart noscript img')].map((one) => one.naturalWidth)")
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)
    assert len(widths) == 2 and min(widths) > 300
