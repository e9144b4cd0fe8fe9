"""Machine code on disk, in the folder `kernels` of JAX's compiled programs, behind a checksum."""

import contextlib
import hashlib
import platform
import zlib
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

from lstm_research import disk

DIGEST = 32  # bytes of a checksum
MOST = 500  # kernels, of about 30 kB


def kind() -> str:
    """Return a name for programs that run here: jaxlib, machine, and what its processor can do."""
    try:
        told = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
        can = next(
            (line for line in told.splitlines() if line.startswith(("flags", "Features"))), ""
        )
    except OSError:
        can = platform.processor()
    return f"{metadata.version('jaxlib')}-{platform.machine()}-{zlib.crc32(can.encode()):08x}"


def place(name: str) -> Path | None:
    """Return where a piece of machine code lies; None: nothing is kept."""
    config: Any = jax.config
    root = config.jax_enable_compilation_cache and config.jax_compilation_cache_dir
    return Path(root, "kernels", name) if root else None


def held(place: Path | None) -> bytes | None:
    """Return the machine code in a file, None where there is none or a byte of it has changed."""
    try:
        found = b"" if place is None else place.read_bytes()
    except OSError:
        return None
    code = found[DIGEST:]
    return code if found and hashlib.sha256(code).digest() == found[:DIGEST] else None


def keep(place: Path | None, code: bytes, most: int = MOST) -> None:
    """Write machine code behind its checksum, and remove the oldest of many files."""
    if place is None:
        return
    with contextlib.suppress(OSError):  # a folder that cannot be written is no reason to stop
        place.parent.mkdir(parents=True, exist_ok=True)
        disk.write(place, hashlib.sha256(code).digest() + code)
        files = sorted(place.parent.glob(f"*{place.suffix}"), key=lambda path: path.stat().st_mtime)
        for old in files[:-most]:
            old.unlink(missing_ok=True)
