"""How many cores this process may use: those it may run on, and the share of time that a container has."""

import math
import os
from pathlib import Path

ALONE = "--xla_cpu_multi_thread_eigen=false"  # of XLA_FLAGS: one thread inside each operation
QUOTA = Path("/sys/fs/cgroup/cpu.max")  # microseconds of all cores together, in so many


def usable() -> int:
    """Return how many cores this process may use, at least 1."""
    affinity = getattr(os, "sched_getaffinity", None)
    here = len(affinity(0)) if affinity else os.cpu_count() or 1
    try:
        quota, period = map(int, QUOTA.read_text(encoding="utf-8").split())
    except (OSError, ValueError):  # no Linux, or no limit
        return here
    return max(1, min(here, math.ceil(quota / period)))
