"""The recurrence with its own backward: the reverse scan emits dz, every weight gradient is one
product.

Autodiff carries dR, as large as R, through every step. Here the reverse loop asks `jax.vjp` for the
backward of the element-wise `update`, so no derivative of any gate variant is written by hand, and

    dR_k = sum over t of  v_k,t^T dz_k,t        is one product after the loop;

the vectors inside the update (peepholes) are spread over the batch, so that their gradients add up
element-wise in the loop and are summed once at its end.

A GPU launches kernels for every trip of a loop, so there a trip takes several steps: of an LSTM of
128 units, compiled for an H200 by jax 0.11.2, a step is 8 kernels forward and 8 back alone, 17 for 4
steps (their outputs are written together, and the counter moves once), 29 for 8 steps at several
times the compile time. With barriers in the cell (`activation.once`) it would be 10 and 11.
"""

import math
from functools import cache, partial
from importlib.util import find_spec
from types import ModuleType
from typing import Any, NamedTuple, get_args

import jax
import jax.numpy as jnp
from jax import lax

from lstm_research import fused_columns, newton, parallel
from lstm_research.axes import Array, Hiddens, Lengths, Resets, Seed, Steps, Tree
from lstm_research.cell import Cell, Pre, Weights, driven, given, sizes, step
from lstm_research.cotangents import (
    back_step,
    earlier,
    masked_back,
    preactivations,
    projected,
    recurrent_gradients,
)
from lstm_research.keep import KEEPS, Keep, order, refusal
from lstm_research.masks import Masks, choose
from lstm_research.precision import Precision, backwards, narrow
from lstm_research.shards import shares
from lstm_research.states import States
from lstm_research.unroll import Engine, Unroll, Way, able, over_time, scan


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
    rounded and the cell has a kernel, pallas where a kernel of that can hold the cell; on a CPU native where the cell has a kernel in float32,
    else columns where they are faster (`fused_columns.suits`); else fused.
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
    made = chosen(cell, engine, sizes(cell, weights)[1], rows, dtype, keep)
    if made.name == "columns":
        cell = cell._replace(drive=given)
    return over_time(made, cell, weights, carry, x, lengths, resets, reverse, key)


def chosen(
    cell: Cell, engine: Engine, hidden: int, batch: int = 0, dtype: Any = jnp.float32,
    keep: Keep = "auto",
) -> Way:  # fmt: skip
    """Return the engine that serves a cell; raise ValueError where the one asked for cannot.

    batch: sequences on one device.
    """
    if engine not in (known := get_args(Engine)):
        raise ValueError(f"engine={engine!r} is not one of {', '.join(sorted(known))}")
    name = best(cell, hidden, batch, dtype, keep) if engine == "auto" else engine
    if engine != "auto" and (reason := unserved(cell, engine, hidden)):
        raise ValueError(f"engine={engine!r} {reason}")
    keepable(cell, keep, name)
    keeps = able(order(name, jax.default_backend()), cell)
    return way(name)._replace(able=keeps, asked=keep)


def keepable(cell: Cell, keep: Keep, engine: Engine | None = None) -> None:
    """Raise ValueError where an engine, None: that of `auto` on any machine, cannot keep what is asked."""
    engine = engine or ("fused" if cell.linear is None else "parallel")
    if reason := refusal(keep, engine, able(KEEPS[engine], cell)):
        raise ValueError(reason)


def unserved(cell: Cell, engine: Engine, hidden: int) -> str | None:
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
            return "needs llvmlite (pip install llvmlite), a GPU of CUDA and nvidia-cuda-nvrtc"
        reason = found.unserved(cell, hidden)
        return f"has no kernel for this cell: {reason}" if reason else None
    if engine != "native":
        return None
    if (found := machine_code()) is None:
        return "needs llvmlite (pip install llvmlite) and a CPU"
    reason = found.unserved(cell, hidden)
    return f"has no kernel for this cell: {reason}" if reason else None


def best(cell: Cell, hidden: int, batch: int, dtype: Any, keep: Keep = "auto") -> Engine:
    """Return the engine that `auto` takes: the fastest that keeps what is asked."""
    if cell.linear is not None:
        return "parallel"
    if jax.default_backend() != "cpu":
        found = gpu_code() if keep in ("auto", *KEEPS["cuda"]) else None
        if found is not None and found.suits(cell, hidden, dtype):
            return "cuda"
        fits = keep in ("auto", *KEEPS["pallas"]) and kernels().suits(cell, hidden)
        return "pallas" if fits else "fused"
    found = machine_code() if isinstance(batch, int) else None  # a symbol is for other machines
    if found is not None and found.suits(cell, hidden, dtype):
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
    return Way(engine, ENGINES[engine], States(ahead, back) if engine == "fused" else None)


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


UNROLL = {"gpu": 4}  # steps in one trip of the loop, by backend; elsewhere 1


def loop(
    cell: Cell, weights: Weights, first: Tree, carry: Tree, zx: Tree, masks: Masks, reverse: bool
) -> tuple[Tree, Hiddens]:
    """Run the recurrence; the same signature as `unroll.scan`."""
    inside = weights._replace(w=None, b=None, row=None, m=None)
    return recurrence(cell, reverse, inside, weights.row, first, carry, zx, masks)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def recurrence(
    cell: Cell, reverse: bool, weights: Weights, row: Tree, first: Tree, carry: Tree, zx: Tree,
    masks: Masks,
) -> tuple[Tree, Hiddens]:  # fmt: skip
    """Return (last carry, h)."""
    return forward(cell, reverse, weights, row, first, carry, zx, masks)[0]


class Saved(NamedTuple):
    """What the backward pass needs of the forward pass."""

    weights: Weights
    row: Tree
    first: Tree  # the carry after a reset
    start: Tree  # the carry that came in
    zx: Tree
    masks: Masks
    carries: Tree
    z: tuple[Pre, ...]  # without `driven`, which is a part of zx


def ahead(
    cell: Cell, weights: Weights, first: Tree, carry: Tree, zx: Tree, masks: Masks, reverse: bool,
    keep: bool = False,
) -> tuple[tuple[Tree, Hiddens], Any]:  # fmt: skip
    """Run the loop; return (last carry, h) and the carries, where kept with the pre-activations."""
    operands = tuple(None if r is None else narrow(r, cell.precision) for r in weights.r)
    full = weights._replace(r=operands)  # rounded once, not at every step

    def body(carry: Tree, now: tuple[Tree, Masks]) -> tuple[Tree, Any]:
        zx_t, (valid, fresh) = now
        before = carry if fresh is None else choose(fresh, first, carry)
        after, z = step(cell, full, zx_t, before)
        carry = after if valid is None else choose(valid, after, before)
        return carry, (carry, tuple(pre._replace(driven=None) for pre in z) if keep else ())

    trip = UNROLL.get(jax.default_backend(), 1)
    last, (carries, z) = lax.scan(body, carry, (zx, masks), reverse=reverse, unroll=trip)
    h = cell.emit(carries)
    if masks.valid is not None:
        h = jnp.where(masks.valid, h, 0)
    return (last, h), (carries, z) if keep else carries


def forward(
    cell: Cell, reverse: bool, weights: Weights, row: Tree, first: Tree, carry: Tree, zx: Tree,
    masks: Masks,
) -> tuple[tuple[Tree, Hiddens], Saved]:  # fmt: skip
    """Run the loop; keep the pre-activations and the carries."""
    full = weights._replace(row=row)
    found, kept = ahead(cell, full, first, carry, zx, masks, reverse, keep=True)
    return found, Saved(weights, row, first, carry, zx, masks, *kept)


def back(
    cell: Cell, weights: Weights, first: Tree, carry: Tree, zx: Tree, masks: Masks, reverse: bool,
    carries: Tree, cotangents: tuple[Tree, Hiddens],
) -> tuple[Weights, Tree, Tree]:  # fmt: skip
    """Return what `backward` does, from the carries alone."""
    before = earlier(carries, carry, first, masks, reverse)
    z = preactivations(cell, weights, zx, before)
    inside = weights._replace(w=None, b=None, row=None, m=None)
    saved = Saved(inside, weights.row, first, carry, zx, masks, carries, z)
    d_weights, _, _, d_start, d_zx, _ = backward(cell, reverse, saved, cotangents)
    return d_weights, d_start, d_zx


def backward(
    cell: Cell, reverse: bool, saved: Saved, cotangents: tuple[Tree, Hiddens]
) -> tuple[Weights, None, None, Tree, Tree, None]:
    """Run the loop the other way for dz; then one product a matrix."""
    weights, row, zx, masks, z = saved.weights, saved.row, saved.zx, saved.masks, saved.z
    d_last, d_h = cotangents
    batch = d_h.shape[1:-1]
    before = earlier(saved.carries, saved.start, saved.first, masks, reverse)
    vectors = weights._replace(r=None, row=row)
    spread = {name: jnp.broadcast_to(p, (*batch, *p.shape)) for name, p in vectors.p.items()}
    apart = vectors._replace(p=spread)
    back = backwards(cell.precision)
    turned = [None if r is None else lax.optimization_barrier(narrow(r.T, back)) for r in weights.r]
    alone = [pair[1] for pair in driven(cell, zx)]
    z = tuple(pre._replace(driven=x) for pre, x in zip(z, alone, strict=True))

    def body(
        carry: tuple[Tree, Tree], now: tuple[Array, tuple[Pre, ...], Tree, Masks]
    ) -> tuple[tuple[Tree, Tree], tuple[Pre, ...]]:
        (d_carry, d_p), (d_h_t, z_t, before_t, mask) = carry, now
        back = partial(back_step, cell, apart, turned, z_t, before_t)
        d_carry, d_p_t, dz = masked_back(back, mask, d_carry, d_h_t)
        return (d_carry, jax.tree.map(jnp.add, d_p, d_p_t)), dz

    zero = (d_last, jax.tree.map(jnp.zeros_like, spread))
    trip, steps = UNROLL.get(jax.default_backend(), 1), (d_h, z, before, masks)
    (d_start, d_p), dz = lax.scan(body, zero, steps, reverse=not reverse, unroll=trip)
    d_r = recurrent_gradients(cell, vectors, weights.r, z, before, dz)
    d_p = {name: g.reshape(-1, *weights.p[name].shape).sum(0) for name, g in d_p.items()}
    return weights._replace(r=d_r, p=d_p), None, None, d_start, projected(cell, zx, dz), None


recurrence.defvjp(forward, backward)

ENGINES: dict[str, Unroll] = {  # those that a CPU may need
    "scan": scan,
    "fused": loop,
    "parallel": parallel.loop,
    "newton": newton.loop,
    "columns": fused_columns.loop,
}
