"""Compiled programs on disk, found by what they are made of: a second launch traces nothing.

JAX's own cache finds a program by its text, and to have the text is to have traced it, which takes as long
as all else that a launch does. Here a program is known by a mark of what its text follows from: its specs,
the shapes of its arguments, the devices, the settings of JAX and XLA, the sources of this package, and the
versions of what they call. What has no words (data that were read, a class of somebody's own, a function)
has no mark, and is traced as ever.

Only commands keep programs so (`cli.entry`): in a notebook a function may have changed in memory alone.
`LSTM_RESEARCH_PROGRAMS=traced` makes them trace too.
"""

# JAX leaves types unknown in its own signatures:
# pyright: reportUnknownMemberType=false

import contextlib
import dataclasses
import hashlib
import os
import pickle
import re
import sys
import threading
import types
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.core import Tracer
from jax.sharding import NamedSharding

from lstm_research import foreign, kept_code
from lstm_research.cores import usable

SWITCH, KEPT = "LSTM_RESEARCH_PROGRAMS", "kept"
CALLED = ("jax", "jaxlib", "flax", "optax", "numpy", "llvmlite")  # packages that decide a program
SETTINGS = ("JAX_", "XLA_", "LSTM_RESEARCH_")  # what a variable of the environment begins with
ELSEWHERE = (
    "LSTM_RESEARCH_CACHE",
    "LSTM_RESEARCH_DATA",
    SWITCH,
)  # variables that decide no program
LAPACK = "lapack_"  # what its functions begin with
PLAIN = (bool, int, float, str, bytes, type(None), np.dtype, np.generic)
MOST = 200  # programs, of about a megabyte
IMPORTING = threading.Lock()  # one thread at a time has jaxlib find LAPACK
HELD: dict[str, Any] = {}  # small programs of this process (`called`), by their marks


def mark(*made_of: Any) -> str | None:
    """Return by what a program is known; None: it cannot be told, or nobody asked to keep it."""
    config: Any = jax.config
    asked = os.environ.get(SWITCH) == KEPT and kept_code.place("") is not None
    if not asked or jax.default_backend() != "cpu" or config.jax_default_device is not None:
        return None
    try:
        words = told((made_of, config.jax_enable_x64))
    except TypeError:
        return None
    return hashlib.sha256(f"{surroundings()} {words}".encode()).hexdigest()


def told(value: Any) -> str:
    """Return a value in words that are the same in every process.

    Raises TypeError where there are none; a class says what it is only where its source is this package's.
    """
    if isinstance(value, PLAIN):
        return repr(value)
    if isinstance(value, jax.ShapeDtypeStruct | jax.Array):
        return f"{value.shape}{value.dtype}{placed(value.sharding)}"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{told(k)}:{told(v)}" for k, v in value.items()) + "}"
    kind = type(value)
    ours = kind.__module__.partition(".")[0] == __package__
    if ours and dataclasses.is_dataclass(value):
        fields = dataclasses.fields(value)
        inside = ",".join(f"{each.name}={told(getattr(value, each.name))}" for each in fields)
        return f"{kind.__module__}.{kind.__qualname__}({inside})"
    if kind in (tuple, list) or (ours and isinstance(value, tuple)):
        return f"{kind.__qualname__}(" + ",".join(map(told, value)) + ")"
    raise TypeError(f"{value!r} has no words")


def placed(sharding: Any) -> str:
    """Return where an array lies."""
    if isinstance(sharding, NamedSharding):
        return f"{sharding.mesh.shape_tuple}{sharding.spec}"
    return "" if sharding is None else str(len(sharding.device_set))


@cache
def surroundings() -> str:
    """Return a mark of all that decides a program beside what it is made of."""
    sources = hashlib.sha256()
    root = Path(__file__).parent
    for path in sorted(root.rglob("*.py")):
        sources.update(f"{path.relative_to(root)} {path.stat().st_size} ".encode())
        sources.update(path.read_bytes())
    names = sorted(n for n in os.environ if n.startswith(SETTINGS) and n not in ELSEWHERE)
    config: Any = jax.config
    settings = {name: str(value) for name, value in sorted(config.values.items())}
    devices = [(each.id, each.device_kind) for each in jax.devices()]
    words = (
        sources.hexdigest(), sys.version, [*map(version, CALLED)], kept_code.kind(),
        settings, [(name, os.environ[name]) for name in names], devices, usable(),
    )  # fmt: skip
    return hashlib.sha256(repr(words).encode()).hexdigest()


def version(package: str) -> str:
    """Return the version of a package, an empty text where it is absent."""
    with contextlib.suppress(metadata.PackageNotFoundError):
        return metadata.version(package)
    return ""


def compiled(
    known: str | None, lower: Callable[[], Any], devices: Sequence[Any] | None = None
) -> Any:
    """Return a compiled program: the one that is known by a mark, else what `lower` traces, which is kept.

    devices: where it runs; None: on the first.
    """
    if known is None:
        return lower().compile()
    place = kept_code.place(f"{known}.program")
    return loaded(place, devices or jax.devices()[:1]) or traced(place, lower)


def traced(place: Path | None, lower: Callable[[], Any]) -> Any:
    """Trace and compile a program, and keep it with the kernels that it calls.

    One that calls a function of somebody else's, which tracing may have made ready, is not kept.
    """
    with foreign.noting() as kernels:
        made = lower().compile()
    with contextlib.suppress(Exception):  # a program that XLA cannot write down is traced again
        from jax.experimental.serialize_executable import serialize

        calls = set(re.findall(r'custom_call_target="([^"]+)"', made.as_text()))
        lapack = {each for each in calls if each.startswith(LAPACK)}
        if calls <= {foreign.named(known) for known, _ in kernels} | lapack:
            whole = pickle.dumps((kernels, bool(lapack), *serialize(made)))
            kept_code.keep(place, whole, MOST)
    return made


def loaded(place: Path | None, devices: Sequence[Any]) -> Any:
    """Return a program from the disk, None where there is none or it cannot be had whole."""
    if (found := kept_code.held(place)) is None:
        return None
    with contextlib.suppress(Exception):  # whatever is wrong with a file, its program can be traced
        from jax.experimental.serialize_executable import deserialize_and_load

        kernels, lapack, program, *trees = pickle.loads(found)
        if not all(import_module(writer).recalled(known) for known, writer in kernels):
            return None
        if lapack:
            find_lapack()
        return deserialize_and_load(program, *trees, execution_devices=devices)
    return None


@cache
def find_lapack() -> None:
    """Have jaxlib find LAPACK, as tracing a call of it does.

    Its functions are in two small modules of SciPy, whose package would import a quarter of a second of
    what nobody here needs: meanwhile an empty one stands for it.
    """
    from jaxlib.lapack import prepare_lapack_call

    package = "scipy.linalg"
    with IMPORTING:
        if package not in sys.modules and (found := find_spec(package)) is not None:
            sys.modules[package] = types.ModuleType(package)
            sys.modules[package].__path__ = list(found.submodule_search_locations or ())
            try:
                prepare_lapack_call("geqrf_ffi", np.dtype(np.float32))
            finally:
                del sys.modules[package]
        else:
            prepare_lapack_call("geqrf_ffi", np.dtype(np.float32))


def called(function: Any, static: tuple[Any, ...], *arrays: Any) -> Any:
    """Return function(*static, *arrays), which is jitted with the first few static, by a kept program.

    static: plain values. Inside a trace, or where nothing is kept, the function is called.
    """
    if any(isinstance(each, Tracer) for each in arrays):
        return function(*static, *arrays)
    if (known := mark(function.__qualname__, static, arrays)) is None:
        return function(*static, *arrays)
    if known not in HELD:
        HELD[known] = compiled(known, lambda: function.lower(*static, *arrays))
    return HELD[known](*arrays)
