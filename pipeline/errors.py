"""The one exception that users see as a message instead of a traceback."""

from collections.abc import Sequence


class PipelineError(Exception):
    """Work that cannot be done, said in one line: the offender, the value and the remedy."""


def raise_all(offences: Sequence[str], heading: str, limit: int = 50) -> None:
    """Raise one PipelineError that lists every offence (the first `limit` in full); do nothing if there is none."""
    if not offences:
        return
    shown = "\n".join(f"  - {line}" for line in offences[:limit])
    more = f"\n  ... and {len(offences) - limit} more" if len(offences) > limit else ""
    raise PipelineError(f"{heading} ({len(offences)}):\n{shown}{more}")
