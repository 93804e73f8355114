"""Text for README files and terminals."""

from collections.abc import Sequence


def interval(value: float, ci95: Sequence[float | None], sign: str = "") -> str:
    """`0.500 [0.400, 0.600]`; the value alone where it has no interval. sign: `+` shows that of numbers above 0 too."""
    low, high = ci95
    return f"{value:{sign}.3f}" + ("" if low is None or high is None else f" [{low:{sign}.3f}, {high:{sign}.3f}]")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, without a newline at its end."""
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows))
