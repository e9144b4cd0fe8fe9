"""Where a run happened: commit, versions, device. Nothing a person would want to hide goes in.

The one decision: the record is built from a short list of named facts. No environment variable,
no argument vector, no host name and no git remote is ever read into it, so there is nothing to
redact afterwards.
"""

import functools
import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from lstm_research.cores import usable

PACKAGE = Path(__file__).resolve().parent
DISTRIBUTIONS = ("lstm_research", "jax", "jaxlib", "flax", "optax", "numpy")


def environment() -> dict:
    """Return the facts that `environment.json` holds, all of them plain JSON.

    Keys: `commit` (40 hex digits, or None outside a checkout), `dirty` (does the package differ
    from that commit), `versions` (name -> version or None), `system`, `platform` (JAX backend),
    `device` (its kind), `devices` (how many), `cores` (usable by this process), `started` (UTC,
    ISO 8601).
    """
    import jax

    return {
        **_commit(),
        "versions": {"python": platform.python_version(), **_versions()},
        "system": f"{platform.system()} {platform.machine()}",
        "platform": jax.default_backend(),
        "device": jax.devices()[0].device_kind,
        "devices": jax.device_count(),
        "cores": usable(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


@functools.cache
def _versions() -> dict[str, str | None]:
    return {name: _version(name) for name in DISTRIBUTIONS}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


@functools.cache  # the code was read when the process started, so the first answer is the right one
def _commit() -> dict:
    root = _git("rev-parse", "--show-toplevel")
    if root is None or Path(root).resolve() != PACKAGE.parent:
        return {"commit": None, "dirty": None}  # installed, and inside somebody else's repository
    changed = _git("status", "--porcelain", "--", str(PACKAGE))
    dirty = None if changed is None else bool(changed)
    return {"commit": _git("rev-parse", "HEAD"), "dirty": dirty}


def _git(*arguments: str) -> str | None:
    command = ["git", "-C", str(PACKAGE), *arguments]
    quiet = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}  # `status` shall not touch a busy index
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=10, check=True, env=quiet
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
