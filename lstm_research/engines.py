"""A cell over time by the engine that is asked for, or by the fastest that can run it here."""

# JAX leaves types unknown in its own signatures:
# pyright: reportUnknownMemberType=false

import math
from functools import cache
from importlib.util import find_spec
from types import ModuleType
from typing import Any, get_args

import jax
import jax.numpy as jnp

from lstm_research import fused, fused_columns, newton, parallel
from lstm_research.axes import Hiddens, Lengths, Resets, Seed, Steps, Tree
from lstm_research.cell import Cell, Weights, given, sizes
from lstm_research.keep import KEEPS, Keep, order, refusal
from lstm_research.kernel_step import FEATURES
from lstm_research.precision import Precision
from lstm_research.shards import shares
from lstm_research.states import States
from lstm_research.unroll import Engine, Unroll, Way, able, over_time, scan
from lstm_research.whole_step import MOST, narrow

ENGINES: dict[str, Unroll] = {  # those that a CPU may need
    "scan": scan,
    "fused": fused.loop,
    "parallel": parallel.loop,
    "newton": newton.loop,
    "columns": fused_columns.loop,
}


def unroll(
    cell: Cell,
    weights: Weights,
    carry: Tree,
    x: Steps,
    *,
    lengths: Lengths | None = None,
    resets: Resets | None = None,
    reverse: bool = False,
    key: Seed | None = None,
    engine: Engine = "auto",
    precision: Precision = "float32",
    keep: Keep = "auto",
) -> tuple[Tree, Hiddens]:
    """Run a cell over time and return (carry, h).

    x is `time *batch features`, h is `time *batch hidden`. Outputs at or past `lengths` are zero,
    the carry is that of the last valid step, and length 0 returns the carry that came in; what the
    padding holds, NaN too, reaches neither outputs nor gradients. `resets[t]` forgets the carry
    before step t. `reverse` runs from the last valid step to the first and leaves outputs where
    their inputs are. `key` turns on the noise of a cell that has any (zoneout, dropout); without it the
    call is a test. `engine`: "fused" (its own backward), "scan" (autodiff of `lax.scan`), "parallel"
    (all steps at once, where the recurrence is linear in its state), "newton" (all steps at once by
    iteration, where no matrix joins the units), "pallas" (one GPU kernel a direction, `fused_gpu.py`;
    slowly, anywhere), "native" (one function of machine code a direction, on a CPU, `native.py`),
    "cuda" (one launch a direction, written for the GPU at hand, `cuda.py`), "columns" (as fused, with the
    batch as the last axis), "auto" = parallel where that can be, else on a GPU cuda where operands are
    rounded and the cell has a kernel, else pallas where one can hold the cell; on a CPU native where the
    cell has a kernel in float32, else columns where they are faster (`fused_columns.suits`); else fused.
    `precision`: what the operands of x W and v R are rounded to; sums stay float32 (`precision.py`).
    `keep`: what of the steps is kept for the backward pass (`keep.py`), "auto" by its size.
    Raises ValueError where shapes do not belong together or the engine cannot serve the cell.
    """
    if precision not in get_args(Precision):
        raise ValueError(f"precision={precision!r} is not one of {', '.join(get_args(Precision))}")
    cell = cell._replace(precision=precision)
    batch = x.shape[1:-1]
    dtype = jnp.result_type(x, *jax.tree.leaves(weights._replace(row=None)))
    rows = math.prod(batch) // shares(batch)
    features, hidden = sizes(cell, weights)
    made = chosen(cell, engine, hidden, rows, dtype, keep, features)
    if made.name == "columns":
        cell = cell._replace(drive=given)
    else:
        cell = narrow(cell, features, MOST.get(made.name, 0))
    return over_time(made, cell, weights, carry, x, lengths, resets, reverse, key)


def chosen(
    cell: Cell, engine: Engine, hidden: int, batch: int = 0, dtype: Any = jnp.float32,
    keep: Keep = "auto", features: int = FEATURES,
) -> Way:  # fmt: skip
    """Return the engine that serves a cell; raise ValueError where the one asked for cannot.

    batch: sequences on one device. features: whether a kernel is there is the same for any number of
    them; that of the call saves tracing it twice.
    """
    if engine not in (known := get_args(Engine)):
        raise ValueError(f"engine={engine!r} is not one of {', '.join(sorted(known))}")
    name = best(cell, hidden, batch, dtype, keep, features) if engine == "auto" else engine
    if engine != "auto" and (reason := unserved(cell, engine, hidden, batch, features)):
        raise ValueError(f"engine={engine!r} {reason}")
    keepable(cell, keep, name)
    keeps = able(order(name, jax.default_backend()), cell)
    return way(name)._replace(able=keeps, asked=keep)


def keepable(cell: Cell, keep: Keep, engine: Engine | None = None) -> None:
    """Raise ValueError where an engine, None: that of `auto` on any machine, cannot keep what is asked."""
    engine = engine or ("fused" if cell.linear is None else "parallel")
    if reason := refusal(keep, engine, able(KEEPS[engine], cell)):
        raise ValueError(reason)


def unserved(
    cell: Cell, engine: Engine, hidden: int, batch: int = 0, features: int = FEATURES
) -> str | None:
    """Return why an engine cannot run a cell here, None where it can."""
    if engine == "parallel" and cell.linear is None:
        return "needs a recurrence that is linear in its state; this one is not"
    if engine == "newton" and not newton.serves(cell):
        return "needs units that no recurrent matrix joins; this cell has one"
    if engine == "pallas" and (reason := kernels().refusal(cell, hidden)):
        return f"cannot hold this cell in a kernel: {reason}"
    if engine == "columns" and (reason := fused_columns.unserved(cell)):
        return f"cannot run this cell: {reason}"
    if engine == "cuda":
        if (found := gpu_code()) is None:
            return "needs llvmlite, nvidia-cuda-nvrtc (pip install) and a GPU like an H100 or newer"
        reason = found.unserved(cell, hidden, max(1, batch), features)
        return f"has no kernel for this cell: {reason}" if reason else None
    if engine != "native":
        return None
    if (found := machine_code()) is None:
        return "needs llvmlite (pip install llvmlite) and a CPU"
    reason = found.unserved(cell, hidden, features)
    return f"has no kernel for this cell: {reason}" if reason else None


def best(
    cell: Cell, hidden: int, batch: int, dtype: Any, keep: Keep = "auto", features: int = FEATURES
) -> Engine:
    """Return the engine that `auto` takes: the fastest that keeps what is asked."""
    if cell.linear is not None:
        return "parallel"
    if jax.default_backend() != "cpu":
        known = isinstance(batch, int) and keep in ("auto", *KEEPS["cuda"])
        found = gpu_code() if known else None
        if found is not None and found.suits(cell, hidden, dtype, batch, features):
            return "cuda"
        fits = keep in ("auto", *KEEPS["pallas"]) and kernels().suits(cell, hidden)
        return "pallas" if fits else "fused"
    found = machine_code() if isinstance(batch, int) else None  # a symbol is for other machines
    if found is not None and found.suits(cell, hidden, dtype, features):
        return "native"
    fits = keep in ("auto", *KEEPS["columns"]) and fused_columns.suits(cell, hidden, batch)
    return "columns" if fits else "fused"


def way(engine: Engine) -> Way:
    """Return how an engine runs that is there."""
    if engine == "pallas":
        return Way(engine, kernels().loop)
    if engine == "cuda" and (found := gpu_code()) is not None:
        return Way(engine, found.loop)
    if engine == "native" and (found := machine_code()) is not None:
        return Way(engine, found.loop, States(found.ahead, found.back))
    return Way(
        engine, ENGINES[engine], States(fused.ahead, fused.back) if engine == "fused" else None
    )


def engines() -> list[str]:
    """Return the names of the engines that are there."""
    more = {"native": machine_code(), "cuda": gpu_code()}
    return [*ENGINES, "pallas", *(name for name, found in more.items() if found is not None)]


def kernels() -> ModuleType:
    """Return `fused_gpu`: it needs Pallas, which takes half a second to import and no CPU needs."""
    from lstm_research import fused_gpu

    return fused_gpu


@cache
def machine_code() -> ModuleType | None:
    """Return `native`, None where its compiler is absent or the machine is no CPU."""
    if find_spec("llvmlite") is None or jax.default_backend() != "cpu":
        return None
    from lstm_research import native

    return native


@cache
def gpu_code() -> ModuleType | None:
    """Return `cuda`, None where there is no GPU that it can write for."""
    if find_spec("llvmlite") is None or jax.default_backend() != "gpu":
        return None
    from lstm_research import cuda, cuda_driver

    return None if cuda_driver.device() is None else cuda
