"""Where the measurement runs, told without starting JAX here: a processor, its load, its memory."""

import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from race.turns import CORES, Workers


def machine(workers: Workers, setting: str) -> dict[str, Any]:
    """Return `environment` as a run's record has it, and `machine`: processor, cores, memory, GPU."""
    told = workers[setting].ask(do="facts")
    about = {"processor": processor(), "cores": CORES, "memory_gib": memory(), "gpu": gpu()}
    return {"environment": told, "machine": about}


def processor() -> str:
    """Return the processor's own name, with family and model, which tell a virtual one apart."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor() or platform.machine()
    pairs = (line.partition(":") for line in reversed(text.splitlines()))
    found = {key.strip(): value.strip() for key, _, value in pairs}
    name = found.get("model name", platform.machine())
    known = [f"{key} {found[key]}" for key in ("cpu family", "model") if key in found]
    wide = [each for each in ("avx512f", "avx2") if each in found.get("flags", "").split()]
    return ", ".join([name, *known, *wide[:1]])


def memory() -> float | None:
    """Return the memory of the machine in GiB."""
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError, AttributeError):
        return None


def gpu() -> str | None:
    """Return name and driver of the first GPU, None where there is none."""
    query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(
            query, capture_output=True, text=True, check=True, timeout=20
        ).stdout.splitlines()[0]
    except (OSError, subprocess.SubprocessError, IndexError):
        return None


def load() -> float | None:
    """Return how many processes wanted a core during the last minute."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
