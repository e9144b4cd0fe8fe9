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
import sys
import threading
import types
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import export
from jax.core import Tracer
from jax.sharding import NamedSharding

from lstm_research import BEGUN, foreign, kept_code
from lstm_research.axes import Tree
from lstm_research.cores import usable

SWITCH, KEPT = "LSTM_RESEARCH_PROGRAMS", "kept"
CALLED = ("jax", "jaxlib", "flax", "optax", "numpy", "llvmlite")  # packages that decide a program
SETTINGS = ("JAX_", "XLA_", "LSTM_RESEARCH_")  # what a variable of the environment begins with
ELSEWHERE = ("LSTM_RESEARCH_CACHE", "LSTM_RESEARCH_DATA", SWITCH)  # these decide no program
PLAIN = (bool, int, float, str, bytes, type(None), np.dtype, np.generic)
MOST = 500  # programs, of about 50 kB
ONE = threading.RLock()  # one thread at a time looks around, and has jaxlib find LAPACK
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
    if (around := surroundings()) is None:
        return None
    return hashlib.sha256(f"{around} {words}".encode()).hexdigest()


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


def surroundings() -> str | None:
    """Return a mark of all that decides a program beside what it is made of, found once by one thread.

    None: a source was written when some had been read, and which of the two runs here is not known.
    """
    with ONE:
        return looked()


@cache
def looked() -> str | None:
    """Return what `surroundings` does."""
    sources = hashlib.sha256()
    root = Path(__file__).parent
    for path in sorted(root.rglob("*.py")):
        if path.stat().st_mtime > BEGUN - 1:
            return None
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


class Kept(NamedTuple):
    """A traced function, as it is kept."""

    program: export.Exported  # of flat arrays
    given: Any  # the tree of its arguments
    found: Any  # the tree of its results
    specs: list[Any]  # where each array lies on the mesh, None: anywhere


def compiled(
    known: str | None,
    function: Callable[..., Tree],
    arguments: Callable[[], tuple[Tree, ...]],
    places: NamedSharding | None = None,
    donated: int = 0,
    options: dict[str, bool | str] | None = None,
) -> Callable[..., Tree]:
    """Return a function compiled for arguments like these; what is known by a mark is not traced again.

    arguments: asked for the arrays, or their shapes, only where the function is traced. places: where its
    results lie; None: where XLA puts them. donated: leading arguments whose arrays may be written over.
    options: of XLA.
    """
    place = kept_code.place(f"{known}.program") if known else None
    kept = (loaded(place) or traced(place, function, arguments())) if known else None
    if kept is None:
        there: Any = {} if places is None else {"out_shardings": places}
        jitted = jax.jit(function, donate_argnums=range(donated), **there)
        return jitted.lower(*arguments()).compile(options)
    mesh: Any = None if places is None else places.mesh
    lies = [None if spec is None else NamedSharding(mesh, spec) for spec in kept.specs]
    leaves = [
        jax.ShapeDtypeStruct(aval.shape, aval.dtype, sharding=where)
        for aval, where in zip(kept.program.in_avals, lies, strict=True)
    ]
    first = sum(each.num_leaves for each in kept.given.children()[:donated])
    there = {} if places is None else {"out_shardings": [places] * len(kept.program.out_avals)}
    jitted = jax.jit(kept.program.call, donate_argnums=range(first), **there)
    made = jitted.lower(*leaves).compile(options)
    return lambda *given: jax.tree.unflatten(kept.found, made(*jax.tree.leaves(given)))


class Allowed(Sequence[export.DisabledSafetyCheck]):
    """Kernels whose names JAX lets pass; it looks when all is lowered, and they are noted by then."""

    def __init__(self, kernels: Sequence[tuple[str, str]]) -> None:
        """Take a list that grows."""
        self.kernels = kernels

    def __len__(self) -> int:
        """Return how many there are now."""
        return len(self.kernels)

    def __getitem__(self, at: Any) -> Any:
        """Return one of them."""
        return export.DisabledSafetyCheck.custom_call(foreign.named(self.kernels[at][0]))


def traced(
    place: Path | None, function: Callable[..., Tree], arguments: tuple[Tree, ...]
) -> Kept | None:
    """Trace a function and keep it with the kernels that it calls.

    None: it cannot be kept, for it calls a function of somebody else's.
    """
    leaves, tree = jax.tree.flatten(arguments)
    trees: list[Any] = []

    def flat(*leaves: Any) -> list[Any]:
        found, made = jax.tree.flatten(function(*jax.tree.unflatten(tree, leaves)))
        trees.append(made)
        return found

    with foreign.noting() as kernels:
        lower = export.export(jax.jit(flat), disabled_checks=Allowed(kernels))
        try:
            program = lower(*leaves)
        except (ValueError, NotImplementedError):
            return None
    specs = [getattr(getattr(leaf, "sharding", None), "spec", None) for leaf in leaves]
    kept = Kept(program, tree, trees[0], specs)
    whole = (kernels, *kept._replace(program=bytes(program.serialize())))
    kept_code.keep(place, pickle.dumps(whole), MOST)
    return kept


def loaded(place: Path | None) -> Kept | None:
    """Return what a file keeps, None where there is none or it cannot be had whole."""
    if (found := kept_code.held(place)) is None:
        return None
    with contextlib.suppress(Exception):  # whatever is wrong with a file, its program can be traced
        kernels, program, *trees = pickle.loads(found)
        if all(import_module(writer).recalled(known) for known, writer in kernels):
            find_lapack()
            return Kept(export.deserialize(bytearray(program)), *trees)
    return None


@cache
def find_lapack() -> None:
    """Have jaxlib find LAPACK, as JAX does before it calls a program that was kept.

    Its functions are in two small modules of SciPy, whose package would import a quarter of a second of
    what nobody here needs: meanwhile an empty one stands for it.
    """
    from jaxlib.lapack import prepare_lapack_call

    package = "scipy.linalg"
    with ONE:
        found = None if package in sys.modules else find_spec(package)
        if found is not None:
            sys.modules[package] = types.ModuleType(package)
            sys.modules[package].__path__ = list(found.submodule_search_locations or ())
        try:
            prepare_lapack_call("geqrf_ffi", np.dtype(np.float32))
        finally:
            if found is not None:
                del sys.modules[package]


def called(function: Any, static: tuple[Any, ...], *arrays: Any) -> Any:
    """Return function(*static, *arrays), which is jitted with the first few static, by a kept program.

    static: plain values. Inside a trace, or where nothing is kept, the function is called.
    """
    if any(isinstance(each, Tracer) for each in arrays):
        return function(*static, *arrays)
    if (known := mark(function.__module__, function.__qualname__, static, arrays)) is None:
        return function(*static, *arrays)
    if known not in HELD:
        HELD[known] = compiled(known, partial(function, *static), lambda: arrays)
    return HELD[known](*arrays)
