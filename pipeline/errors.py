"""The one exception that users see as a message instead of a traceback."""

import errno
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


AGAIN = "nothing is lost: `dvc repro` goes on from the last checkpoint"
REMEDIES = {
    errno.ENOSPC: "the disk is full; free some space",
    errno.EDQUOT: "the disk quota is used up; free some space",
    errno.EFBIG: "the file would be larger than the limit set here (ulimit -f); raise it",
    errno.EROFS: "the folder is read-only; make it writable or move the project",
    errno.EACCES: "permission is denied; make the file or folder readable and writable",
    errno.EPERM: "permission is denied; make the file or folder readable and writable",
    errno.EIO: "the disk fails (input/output error); look at the system's log and move the project",
    errno.EMFILE: "too many files are open; raise the limit (ulimit -n)",
}


def of_system(error: BaseException) -> str | None:
    """What to do about trouble with the machine (disk, permissions, memory), None where `error` is no such trouble."""
    if isinstance(error, MemoryError):
        return f"the memory is full ({error or 'MemoryError'}); lower batch sizes or image sizes, or use a larger machine; {AGAIN}"
    known = error
    while known is not None and getattr(known, "errno", None) not in REMEDIES:
        known = known.__cause__ or known.__context__  # type: ignore[assignment]
    if known is None or not isinstance(known, OSError) or known.errno is None:
        return None
    where = known.filename or next(iter(getattr(error, "__notes__", ())), "")
    return f"{where}{': ' if where else ''}{REMEDIES[known.errno]}; {AGAIN}"
