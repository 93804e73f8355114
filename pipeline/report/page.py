"""One HTML page that opens without a network: style, script, figures and data are inside of it."""

import base64
import hashlib
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

PHANTOM = (
    "This run used the built-in phantom: simulated mammograms. It demonstrates that the pipeline works and what its numbers look like; "
    "it proves nothing about real mammograms or about the method of the paper."
)
TYPES = {".png": "image/png", ".svg": "image/svg+xml"}


def render(template: str, sections: list[tuple[str, str]], **content: Any) -> str:
    """The page of a template of page/ from its content. All text is escaped; a value that is missing is an error.

    sections: (id, name) of the headings that the page links to. The page's policy forbids every request,
    and every script but its own, which is named by its hash.
    """
    folder = files("pipeline.report") / "page"
    css, js = ((folder / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    digest = base64.b64encode(hashlib.sha256(js.encode()).digest()).decode()
    loader = FileSystemLoader(str(folder))
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True)
    trusted = {"css": Markup(css), "js": Markup(js), "script_hash": f"sha256-{digest}"}
    return environment.get_template(template).render(sections=sections, **trusted, **content)


def images(folder: Path) -> dict[str, str]:
    """Name and data: address of every figure (SVG) of `folder`."""
    return {path.stem: data_uri(path) for path in sorted(folder.glob("*.svg"))}


def data_uri(path: Path) -> str:
    """A PNG or SVG file as a data: address."""
    return f"data:{TYPES[path.suffix]};base64,{base64.b64encode(path.read_bytes()).decode()}"
