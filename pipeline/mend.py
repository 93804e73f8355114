"""What a kill or a full disk can leave of DVC's own files, which DVC writes in place and then refuses to read; mended before a run."""

import json
import logging
from pathlib import Path

from pipeline.errors import PipelineError

LOCK = Path("dvc.lock")
USERS = Path(".dvc/tmp/rwlock")  # who reads and writes which output at the moment
log = logging.getLogger(__name__)


def dvc_files() -> None:
    """Mend the files of the repository in the current folder."""
    set_aside_broken_lock(LOCK)
    remove_broken_users(USERS)


def set_aside_broken_lock(lock: Path) -> None:
    """Rename a dvc.lock that has been cut off, with a warning.

    Without it DVC finds every finished stage in its run cache, so no training runs again.
    """
    from pipeline.params import read_yaml

    if not lock.is_file():
        return
    try:
        whole = read_yaml(lock)
        sound = isinstance(whole, dict) and isinstance(whole.get("stages"), dict) and "schema" in whole
    except PipelineError:
        sound = False
    if not sound:
        aside = lock.with_name(f"{lock.name}.broken")
        lock.replace(aside)
        log.warning("%s was cut off while it was written; it is now %s, and DVC's run cache gives back what was done", lock, aside)


def remove_broken_users(users: Path) -> None:
    """Remove a list of users that has been cut off, with a warning; those in it are dead, or a process is at this moment writing it.

    A process that writes the list holds the lock beside it; then everything is left as it is.
    """
    from zc.lockfile import LockError, LockFile

    if not users.is_file() or not _broken(users):
        return
    try:
        guard = LockFile(str(users.with_name(f"{users.name}.lock")))
    except LockError:
        return
    try:
        if users.is_file() and _broken(users):
            users.unlink()
            log.warning("%s was cut off while it was written; it is removed, DVC makes it anew", users)
    finally:
        guard.close()


def _broken(users: Path) -> bool:
    try:
        return not isinstance(json.loads(users.read_text(encoding="utf-8")), dict)
    except ValueError:
        return True
