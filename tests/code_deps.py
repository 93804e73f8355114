"""Which modules of the project a stage imports, directly or not: read from the source, nothing is run."""

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def _file(module: str) -> Path | None:
    path = ROOT.joinpath(*module.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


@cache
def imports(file: Path) -> frozenset[Path]:
    """Project files that `file` imports anywhere in it, in functions too, except under TYPE_CHECKING."""
    found = set()
    tree = ast.parse(file.read_text(encoding="utf-8"))
    typing_only = {id(n) for i in ast.walk(tree) if isinstance(i, ast.If) and "TYPE_CHECKING" in ast.dump(i.test) for n in ast.walk(i)}
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        found |= {path for name in names if name.split(".")[0] in ("pipeline", "stages") and (path := _file(name))}
    return frozenset(found)


def closure(file: Path) -> set[str]:
    """All project files behind `file`, itself included, relative to the repository; empty __init__ files left out."""
    seen, todo = set(), [file]
    while todo:
        one = todo.pop()
        if one not in seen:
            seen.add(one)
            todo.extend(imports(one))
    return {path.relative_to(ROOT).as_posix() for path in seen if path.stat().st_size}
