"""By what a kernel of machine code is known before it is written: what it is made of, and its writers' text.

Writing a kernel down takes several times as long as reading its machine code from the disk. The mark
covers the equations and all else that a kernel is made of (variables by the order in which they appear),
the sources of the modules that write it, LLVM, the processor and XLA's interface: what changes any of
them changes the mark.
"""

# JAX leaves its equations untyped:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from lstm_research.native_plan import Spec

WRITERS = (
    "native_call", "native_equations", "native_kernel", "native_math", "native_panel", "native_plan",
    "native_product", "native_random", "native_stages", "native_stream", "native_sums", "native_team",
    "native_threads", "native_tile", "foreign", "forms",
)  # fmt: skip
PLAIN = (bool, int, float, str, bytes, type(None), np.dtype, np.generic, type)


def mark(spec: Spec, *more: Any) -> str:
    """Return what a kernel is known by; more: what else it depends on.

    Raises TypeError where a part of it has no words.
    """
    made = spec.stages.program
    parts = spec._asdict() | {"stages": spec.stages._replace(program=())}
    names: dict[Any, int] = {}
    told = words((parts, made.outputs, made.counts, made.constants, more), names)
    return hashlib.sha256(f"{sources()} {told}".encode()).hexdigest()


@cache
def sources() -> str:
    """Return a mark of the modules that write a kernel."""
    here, found = Path(__file__), hashlib.sha256()
    for name in WRITERS:
        found.update(here.with_name(f"{name}.py").read_bytes())
    return found.hexdigest()


def words(value: Any, names: dict[Any, int]) -> str:
    """Return a value in words that are the same in every process."""
    if isinstance(value, PLAIN):
        return repr(value)
    if isinstance(value, Mapping):
        return (
            "{" + ",".join(f"{words(k, names)}:{words(v, names)}" for k, v in value.items()) + "}"
        )
    if isinstance(value, tuple | list):
        return "(" + ",".join(words(each, names) for each in value) + ")"
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{value.shape}{value.tobytes().hex()}"
    if hasattr(value, "val"):  # a number in an equation
        return f"{np.asarray(value.val).tobytes().hex()}:{value.aval}"
    if hasattr(value, "primitive"):
        params = words(tuple(sorted(value.params.items())), names)
        sides = words((*value.invars, *value.outvars), names)
        return f"{value.primitive.name}{params}{sides}"
    if hasattr(value, "aval"):
        return f"v{names.setdefault(value, len(names))}:{value.aval}"
    if " at 0x" in (said := str(value)):
        raise TypeError(f"{said} differs from process to process")
    return said
