"""One HTML page that opens without a network: style, script, figures and data are inside of it."""

import base64
import hashlib
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

SECTIONS = [
    ("augmentation", "Augmentation curve"), ("operating", "FROC"), ("contrasts", "Contrasts"), ("table1", "Table 1"),
    ("quality", "Quality"), ("definitions", "Definitions"), ("made", "How it was made"),
]  # fmt: skip
TYPES = {".png": "image/png", ".svg": "image/svg+xml"}


def render(**content: Any) -> str:
    """The page from its content (see page/index.html). All text is escaped; a value that is missing is an error.

    The page's policy forbids every request, and every script but its own, which is named by its hash.
    """
    folder = files("pipeline.report") / "page"
    css, js, template = ((folder / name).read_text(encoding="utf-8") for name in ("page.css", "page.js", "index.html"))
    digest = base64.b64encode(hashlib.sha256(js.encode()).digest()).decode()
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True)
    trusted = {"css": Markup(css), "js": Markup(js), "script_hash": f"sha256-{digest}"}
    return environment.from_string(template).render(sections=SECTIONS, **trusted, **content)


def data_uri(path: Path) -> str:
    """A PNG or SVG file as a data: address."""
    return f"data:{TYPES[path.suffix]};base64,{base64.b64encode(path.read_bytes()).decode()}"
