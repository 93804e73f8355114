"""Refuse a machine that cannot run the project, in one line with the remedy. Standard library only: it runs before the set-up."""

import platform
import shutil
import sys

VERSIONS = ((3, 11), (3, 12))
DISK_GB = 9.0


def faults(version: tuple[int, int], free_gb: float, system: str) -> list[str]:
    """What is in the way, one sentence each; an empty list on a machine that serves."""
    found = []
    if version not in VERSIONS:
        names = " or ".join(".".join(map(str, v)) for v in VERSIONS)
        found.append(f"Python {version[0]}.{version[1]} is not supported; install Python {names} and call `make PYTHON=python3.11 ...`")
    if free_gb < DISK_GB:
        found.append(f"{free_gb:.1f} GB of disk are free here, {DISK_GB:.0f} GB are needed; free some or clone to a larger disk")
    if system != "Linux":
        found.append(f"{system} is not supported; use Linux (a container or WSL2 will do)")
    return found


if __name__ == "__main__":
    trouble = faults(sys.version_info[:2], shutil.disk_usage(".").free / 1e9, platform.system())
    for line in trouble:
        print(f"error: {line}", file=sys.stderr)
    sys.exit(bool(trouble))
