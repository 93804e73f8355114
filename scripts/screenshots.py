"""Pictures of the report and of `dvc exp show` for the README, from the run that lies in the working tree.

    python -m scripts.screenshots            after `make run` and some experiments; needs Chromium or Chrome

Writes docs/images/report.png (1280 px wide), report_phone.png (390 px) and exp_show.png.
"""

import html
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.report.browser import Browser, find

OUT = Path("docs/images")
COLUMNS = (
    "dvc",
    "exp",
    "show",
    "--only-changed",
    "--drop",
    "Created|minus|share|reports|models|data|pipeline|stages|predictions",
    "--no-pager",
)
PAGE = (
    '<!DOCTYPE html><meta charset="utf-8"><body style="margin:16px;background:#fff"><pre style="font:13px/1.35 monospace;margin:0">{}</pre>'
)


def main() -> None:
    program = find()
    if program is None:
        sys.exit("error: no Chromium or Chrome on this machine; apt-get install chromium")
    OUT.mkdir(parents=True, exist_ok=True)
    wide = {**os.environ, "COLUMNS": "100"}
    shown = subprocess.run([sys.executable, "-m", *COLUMNS], capture_output=True, text=True, check=True, env=wide).stdout
    with Browser(program) as browser, tempfile.TemporaryDirectory() as folder:
        for name, width, height in (("report", 1280, 1500), ("report_phone", 390, 1500)):
            browser.open(Path("reports/index.html"), width, height)
            browser.screenshot(OUT / f"{name}.png", whole=False)
        page = Path(folder) / "exp_show.html"
        page.write_text(PAGE.format(html.escape(shown.strip("\n"))), encoding="utf-8")
        lines = shown.strip("\n").splitlines()
        browser.open(page, 40 + 8 * max(map(len, lines)), 36 + 18 * len(lines), frames=False)
        browser.screenshot(OUT / "exp_show.png", whole=False)


if __name__ == "__main__":
    main()
