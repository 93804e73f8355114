"""What the machine has; no result depends on it."""

import os


def cores() -> int:
    """Processor cores that this process may use, >= 1."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
