"""XLA's interface for foreign functions, as this jaxlib speaks it (c_api.h beside it), and calls by it."""

# JAX leaves types unknown in its own signatures:
# pyright: reportUnknownMemberType=false

import contextlib
import ctypes
import re
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

API, CONTEXT = 16, 24  # bytes into a call
EXTENSION, STAGE, ARGUMENTS, RESULTS = 8, 32, 72, 112  # bytes into a call
DATA, SIDES = 24, 40  # bytes into a buffer
KIND, METADATA, MAJOR = 8, 24, 24  # bytes into an extension, and into what it points at
ERROR_CREATE, ERROR_DESTROY, STREAM_GET, SCHEDULE = 48, 64, 80, 136  # bytes into the interface
EXECUTE = 3
PASSED: dict[str, Any] = {}  # by name, the engines of what XLA calls: they must outlive it
ONE = threading.Lock()  # one thread at a time passes on
NOTED: ContextVar[list[tuple[str, str]] | None] = ContextVar("NOTED", default=None)  # see `noting`


@cache
def version() -> tuple[int, int]:
    """Return the version of the interface: major, minor."""
    text = Path(jax.ffi.include_dir(), "xla/ffi/api/c_api.h").read_text(encoding="utf-8")
    numbers = re.findall(r"#define XLA_FFI_API_(?:MAJOR|MINOR) (\d+)", text)
    return int(numbers[0]), int(numbers[1])


@contextlib.contextmanager
def noting() -> Iterator[list[tuple[str, str]]]:
    """Collect the kernels that what is lowered in between calls: (mark, the module that recalls it)."""
    kernels = list[tuple[str, str]]()
    before = NOTED.set(kernels)
    try:
        yield kernels
    finally:
        NOTED.reset(before)


def note(mark: str, writer: str) -> None:
    """Say that what is being lowered calls a kernel; `recalled(mark)` of its writer gives it to XLA again."""
    if (kernels := NOTED.get()) is not None and (mark, writer) not in kernels:
        kernels.append((mark, writer))


def named(mark: str) -> str:
    """Return the name by which XLA calls a kernel."""
    return f"lstm_research_{mark[:16]}"


def register(name: str, engine: Any, platform: str) -> None:
    """Let XLA call by a name the function `handle` of an engine of LLVM, which stays from then on.

    The first of a name stays where threads have made several: what XLA calls must not be freed.
    """
    with ONE:
        if name not in PASSED:
            address = engine.get_function_address("handle")
            pointer = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)(address)
            jax.ffi.register_ffi_target(name, jax.ffi.pycapsule(pointer), platform=platform)
            PASSED[name] = engine


def one_by_one(call: Any, arguments: Any, axes: Any) -> tuple[Any, list[int]]:
    """Make a call for each member of a mapped axis, one after the other: a rule of `vmap`."""
    size = next(a.shape[n] for a, n in zip(arguments, axes, strict=True) if n is not None)
    whole = [
        jnp.broadcast_to(a, (size, *a.shape)) if n is None else jnp.moveaxis(a, n, 0)
        for a, n in zip(arguments, axes, strict=True)
    ]
    found = jax.lax.map(lambda each: call(*each), tuple(whole))
    return found, [0] * len(found)
