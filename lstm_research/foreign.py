"""XLA's interface for foreign functions, as this jaxlib speaks it."""

import re
from functools import cache
from pathlib import Path

import jax


@cache
def version() -> tuple[int, int]:
    """Return the version of the interface: major, minor."""
    text = Path(jax.ffi.include_dir(), "xla/ffi/api/c_api.h").read_text(encoding="utf-8")
    numbers = re.findall(r"#define XLA_FFI_API_(?:MAJOR|MINOR) (\d+)", text)
    return int(numbers[0]), int(numbers[1])
