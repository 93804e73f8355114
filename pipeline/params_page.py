"""docs/params.md: every key of params.yaml with its default, what is allowed, and what it does.

What is allowed comes from the schema (pipeline/params.py), the words from the comments of params.yaml; a test keeps
the three together. `python -m pipeline.params_page --write` writes the page, `--check` lists what does not fit.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.cli import guarded, parser
from pipeline.errors import raise_all

PAGE = Path("docs/params.md")
REMEDY = "python -m pipeline.params_page --write"
KEY = re.compile(r"^( *)([A-Za-z0-9_]+):(?:\s|$)")
COMMENT = re.compile(r"(?:^|\s)#\s?(.*)$")
KINDS = {
    "integer": "whole number", "number": "number", "string": "text", "boolean": "true \\| false", "null": "null",
    "object": "names with values",
}  # fmt: skip
FREE = "curve"  # a block whose keys the user chooses
HEAD = """# Parameters

Every key of `params.yaml`: its value in the default run, what is allowed, and what it does. Unknown keys, wrong types and combinations
that cannot work are refused before any stage starts, all of them at once. One value: `dvc exp run -S gen.arch=crn`; a whole setting:
`profiles/`.

Made from `pipeline/params.py` and the comments of `params.yaml` by `python -m pipeline.params_page --write`; not edited by hand.
"""


class Row(NamedTuple):
    """One key. key: dotted path; default: its value in params.yaml; schema: its JSON schema; words: its comment."""

    key: str
    default: Any
    schema: dict[str, Any]
    words: str


def comments(text: str) -> dict[str, str]:
    """Dotted path -> comment on the line of that key in params.yaml (two spaces a level)."""
    found: dict[str, str] = {}
    path: list[str] = []
    for line in text.splitlines():
        if key := KEY.match(line):
            path = [*path[: len(key[1]) // 2], key[2]]
            said = COMMENT.search(line)
            found[".".join(path)] = said[1].strip() if said else ""
    return found


def rows(values: dict[str, Any], words: dict[str, str], schema: dict[str, Any]) -> Iterator[Row]:
    """A row for each key, in the order of params.yaml; a key inside of braces has the words of its line, or of the block above."""

    def walk(value: Any, at: dict[str, Any], path: tuple[str, ...]) -> Iterator[Row]:
        at = schema["$defs"][at["$ref"].rsplit("/", 1)[1]] if "$ref" in at else at
        if isinstance(value, dict) and "properties" in at:
            for key, inner in value.items():
                yield from walk(inner, at["properties"][key], (*path, key))
        else:
            yield Row(".".join(path), value, at, _words(words, path))

    for key, value in values.items():
        yield from walk(value, schema["properties"][key], (key,))


def _words(words: dict[str, str], path: tuple[str, ...]) -> str:
    names = [".".join(path[:n]) for n in range(len(path), 0, -1)]
    return words[names[0]] if names[0] in words else next((words[name] for name in names if words.get(name)), "")


def allowed(schema: dict[str, Any]) -> str:
    """The type and range of a JSON schema in words."""
    if "anyOf" in schema:
        return " or ".join(allowed(one) for one in schema["anyOf"])
    if "enum" in schema or "const" in schema:
        return " \\| ".join(f"`{one}`" for one in schema.get("enum", [schema.get("const")]))
    if schema["type"] == "array":
        low, high = schema.get("minItems"), schema.get("maxItems")
        size = f" of {low}" if low == high and low else f" of at least {low}" if low else ""
        return f"list{size}: {allowed(schema['items'])}"
    return f"{KINDS[schema['type']]} {span(schema)}".strip()


def span(schema: dict[str, Any]) -> str:
    """The range of a number as the comments of params.yaml write it: `0..1`, `>= 1`, `> 0, <= 1`; empty where there is none."""
    limits = ("minimum", ">="), ("exclusiveMinimum", ">"), ("maximum", "<="), ("exclusiveMaximum", "<")
    if "minimum" in schema and "maximum" in schema:
        return f"{schema['minimum']:g}..{schema['maximum']:g}"
    return ", ".join(f"{sign} {schema[key]:g}" for key, sign in limits if key in schema)


def faults(found: list[Row], words: dict[str, str]) -> list[str]:
    """What a comment of params.yaml lacks: words, the range of a number, or the choices of the schema; each with its remedy."""
    return [f"params.yaml, {row.key}: {fault}" for row in found if row.key != FREE for fault in _faults(row)] + [
        f"params.yaml, {name}: not a key of pipeline/params.py"
        for name in sorted(set(words) - _known(found))
        if not name.startswith(f"{FREE}.")
    ]


def _known(found: list[Row]) -> set[str]:
    return {".".join(parts[:n]) for row in found if (parts := row.key.split(".")) for n in range(1, len(parts) + 1)}


def _faults(row: Row) -> Iterator[str]:
    if not row.words:
        yield "has no comment; say on its line what it is, with its unit"
        return
    for one in _leaves(row.schema):
        if "enum" in one:
            said, options = choices(row.words), [str(option) for option in one["enum"]]
            if sorted(said) != sorted(options):
                offered = " | ".join(said) or "none"
                yield f"the comment must offer the choices of the schema, written `{' | '.join(options)}`; it offers {offered}"
        elif (limits := span(one)) and limits not in row.words:
            yield f"the comment must hold the range of the schema, written `{limits}`; it is `{row.words}`"


def choices(words: str) -> list[str]:
    """The alternatives that a comment offers, as in `a: what it does: x (the paper) | y | z; more`."""
    parts = re.sub(r"\([^)]*\)", "", words).split(" | ")
    if len(parts) == 1:
        return []
    picked = [re.findall(r"[\w.+-]+", parts[0])[-1], *(re.findall(r"[\w.+-]+", part)[0] for part in parts[1:])]
    return [one.strip(".-") for one in picked]


def _leaves(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The parts of a schema that say what a single value may be."""
    if "anyOf" in schema:
        for one in schema["anyOf"]:
            yield from _leaves(one)
    elif schema.get("type") == "array":
        yield from _leaves(schema["items"])
    else:
        yield schema


def page(found: list[Row], words: dict[str, str]) -> str:
    """The Markdown of docs/params.md: a table a block."""
    lines, last = [HEAD], None
    for row in found:
        block = row.key.split(".")[0]
        if block != last:
            lines += [f"\n## {block}", *([f"\n{_cell(words[block])}"] if words.get(block) and "." in row.key else [])]
            lines += ["\n| key | default | allowed | what |", "|---|---|---|---|"]
            last = block
        default = "as in `params.yaml`" if row.key == FREE else f"`{json.dumps(row.default)}`"
        lines.append(f"| `{row.key}` | {default} | {allowed(row.schema)} | {_cell(row.words)} |")
    return "\n".join(lines).replace("\n\n\n", "\n\n") + "\n"


def _cell(words: str) -> str:
    return words.replace("|", "\\|").replace("*", "\\*")


def build(params: Path = Path("params.yaml")) -> tuple[str, list[str]]:
    """The page, and the faults of the comments."""
    from pipeline.params import Params, read_yaml

    words = comments(params.read_text(encoding="utf-8"))
    found = list(rows(read_yaml(params), words, Params.model_json_schema()))
    return page(found, words), faults(found, words)


def main() -> None:
    made = parser(__doc__)
    choice = made.add_mutually_exclusive_group(required=True)
    choice.add_argument("--write", action="store_true", help=f"write {PAGE}")
    choice.add_argument("--check", action="store_true", help="say whether the page and the comments fit the schema")
    args = made.parse_args()

    def work() -> None:
        from pipeline.io import write_text

        text, wrong = build()
        if args.write:
            write_text(PAGE, text)
        elif text != PAGE.read_text(encoding="utf-8"):
            wrong.append(f"{PAGE} is not what the schema and params.yaml say; run `{REMEDY}`")
        raise_all(wrong, "the documentation of the params is not whole")

    guarded(work, args.debug)


if __name__ == "__main__":
    main()
