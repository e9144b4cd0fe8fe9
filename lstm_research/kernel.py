"""Two kernels that run a program of blocks over all steps of a slice of the batch: forward and back.

Arrays that change from step to step are `time rows width`, those of a sequence `rows width`, and what
all rows share (vectors, matrices) lies whole in every program of the grid. All sides are padded:
widths are blocks of `wide` units, a power of two, and rows are a multiple of `rows`.

Pallas for GPUs comes in two dialects; these kernels are written in what both have, and compiled by
the one that lays out registers and shared memory by itself (Triton). On other machines they run in
interpret mode, which is how tests hold them to the oracle.
"""

# Pallas leaves its references untyped:
# pyright: reportUnknownMemberType=false

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl

from lstm_research.axes import Array, Tree
from lstm_research.blocked import Program, call
from lstm_research.blockwise import filled
from lstm_research.masks import Masks

try:  # absent where Pallas was built for other machines
    from jax.experimental.pallas import triton
except ImportError:
    triton = None


class Launch(NamedTuple):
    """How a kernel is launched."""

    steps: int
    rows: int  # of the batch, in one program of the grid
    reverse: bool
    interpret: bool  # run as plain JAX, on any machine
    warps: int = 4
    quick: bool = (
        False  # tanh as the GPU's instruction, to 11 bits: finer than the operands' rounding
    )


Refs = Sequence[Any]
Blocks = list[Any]


def read(refs: Refs, inputs: Sequence[Any], used: Sequence[bool], step: Any = None) -> Blocks:
    """Return the blocks of some arrays, at a step or of a whole sequence; None where not used."""
    made: Blocks = []
    for ref in refs:
        shape = inputs[len(made)].aval.shape
        high, across = shape or (1, 1)
        for row in range(0, ref.shape[-2], high):
            for column in range(0, ref.shape[-1], across):
                if not used[len(made)]:
                    made.append(None)
                elif not shape:
                    made.append(number(ref[0, 0], inputs[len(made)].aval.dtype))
                else:
                    place = (slice(row, row + high), slice(column, column + across))
                    made.append(ref[place] if step is None else ref[(step, *place)])
    return made


def number(value: Array, dtype: Any) -> Array:
    """Return a number as a program takes it: a choice travels as an integer."""
    return lax.ne(value, lax.full_like(value, 0)) if dtype == jnp.bool_ else value


def write(refs: Refs, blocks: Blocks, step: Any = None) -> None:
    """Write blocks side by side, into a step or into a whole sequence."""
    rest = list(blocks)
    for ref in refs:
        column = 0
        while column < ref.shape[-1]:
            block = rest.pop(0)
            place = (slice(None), slice(column, column + block.shape[-1]))
            ref[place if step is None else (step, *place)] = block
            column += block.shape[-1]


def pick(mask: Array | None, yes: Blocks, no: Blocks) -> Blocks:
    """Return `yes` in the rows where the mask holds, else `no`; None stays None."""
    if mask is None:
        return no
    return [
        None if one is None else lax.select(filled(mask, one.shape), one, other)
        for one, other in zip(yes, no, strict=True)
    ]


def zeros(blocks: Blocks) -> Blocks:
    """Return zeros in the shapes of blocks."""
    return [None if block is None else lax.full_like(block, 0) for block in blocks]


def row_masks(masks: Masks, step: Any) -> Masks:
    """Return the masks of a step; they travel as numbers."""
    return jax.tree.map(lambda ref: lax.ne(ref[step], lax.full_like(ref[step], 0)), masks)


def parts(made: Program) -> list[tuple[Sequence[Any], Sequence[bool]]]:
    """Return (inputs, used) of each argument of a program."""
    cuts, found = 0, []
    for size in made.groups:
        found.append((made.inputs[cuts : cuts + size], made.used[cuts : cuts + size]))
        cuts += size
    return found


def forward_kernel(
    plan: Launch, made: Program, zx: Refs, masks: Masks, carry: Refs, first: Refs, vectors: Refs,
    matrices: Refs, out: Refs,
) -> None:  # fmt: skip
    """Run a step from the first to the last; write the carry after each."""
    of_zx, of_carry, of_vectors, of_matrices = parts(made)
    every = [True] * len(of_carry[0])
    fixed = [*read(vectors, *of_vectors), *read(matrices, *of_matrices)]

    def place(s: Any) -> Any:
        return plan.steps - 1 - s if plan.reverse else s

    def fetch(s: Any) -> tuple[Blocks, Masks]:
        return read(zx, *of_zx, place(s)), row_masks(masks, place(s))

    def body(s: Any, state: tuple[Blocks, tuple[Blocks, Masks]]) -> tuple[Blocks, Any]:
        before, (now, (valid, fresh)) = state
        ahead = fetch(jnp.minimum(s + 1, plan.steps - 1))
        if fresh is not None:
            before = pick(fresh, read(first, of_carry[0], every), before)
        after = call(made, [*now, *before, *fixed], replaced(plan))
        after = after if valid is None else pick(valid, after, before)
        write(out, after, place(s))
        return after, ahead

    lax.fori_loop(0, plan.steps, body, (read(carry, of_carry[0], every), fetch(0)))


def backward_kernel(
    plan: Launch, made: Program, summed: int, z: Refs, zx: Refs, masks: Masks, carries: Refs,
    start: Refs, first: Refs, d_last: Refs, d_h: Refs, vectors: Refs, matrices: Refs, d_start: Refs,
    d_p: Refs, dz: Refs,
) -> None:  # fmt: skip
    """Run `back_step` from the last step to the first; write dz of each, and what is left at the end.

    summed: how many blocks, after those of the carry, add up over time.
    """
    of_z, of_zx, of_carry, of_d, of_h, of_vectors, of_matrices = parts(made)
    fixed = [*read(vectors, *of_vectors), *read(matrices, *of_matrices)]

    def place(s: Any) -> Any:
        return s if plan.reverse else plan.steps - 1 - s

    def fetch(s: Any) -> tuple[Blocks, Blocks, Masks]:
        now, end = row_masks(masks, place(s)), plan.steps - 1
        begun = read(carries, *of_carry, place(jnp.minimum(s + 1, end)))
        begun = pick(jnp.equal(s, end), read(start, *of_carry), begun)
        if now.fresh is not None:
            begun = pick(now.fresh, read(first, *of_carry), begun)
        known = [*read(z, *of_z, place(s)), *read(zx, *of_zx, place(s)), *begun]
        return known, read(d_h, of_h[0], [True] * len(of_h[0]), place(s)), now

    def body(s: Any, state: tuple[Blocks, Blocks, Any]) -> tuple[Blocks, Blocks, Any]:
        d_after, total, (known, turn, (valid, fresh)) = state
        ahead = fetch(jnp.minimum(s + 1, plan.steps - 1))
        kept = None
        if valid is not None:
            kept = pick(valid, zeros(d_after), d_after)
            d_after = pick(valid, d_after, zeros(d_after))
            turn = pick(valid, turn, zeros(turn))
        done = call(made, [*known, *d_after, *turn, *fixed], replaced(plan))
        d_before, rest = done[: len(d_after)], done[len(d_after) :]
        if kept is not None:
            d_before = list(map(lax.add, d_before, kept))
        if fresh is not None:
            d_before = pick(fresh, zeros(d_before), d_before)
        total = list(map(lax.add, total, rest[: len(total)]))
        write(dz, rest[len(total) :], place(s))
        return d_before, total, ahead

    begin = read(d_last, of_d[0], [True] * len(of_d[0]))
    sums = [jnp.zeros(v.aval.shape, v.aval.dtype) for v in made.outputs[len(begin) :][:summed]]
    d_before, total, _ = lax.fori_loop(0, plan.steps, body, (begin, sums, fetch(0)))
    write(d_start, d_before)
    write(d_p, total)


def replaced(plan: Launch) -> dict[str, Callable[..., Array]]:
    """Return the functions that stand for primitives in a kernel."""
    return {"tanh": quick_tanh} if plan.quick else {}


def quick_tanh(x: Array) -> Array:
    """Return tanh by one exponential, to 1e-7 of 1: the library's, exact near 0, doubles a step."""
    power = lax.exp2(lax.mul(x, lax.full_like(x, 2.0 / math.log(2.0))))
    one, two = lax.full_like(x, 1.0), lax.full_like(x, 2.0)
    return lax.sub(one, lax.div(two, lax.add(one, power)))


def launch(
    kernel: Callable[..., None], plan: Launch, arguments: tuple[Tree, ...],
    kinds: tuple[str, ...], out: tuple[Tree, ...], out_kinds: tuple[str, ...], batch: int,
) -> tuple[Tree, ...]:  # fmt: skip
    """Run a kernel over slices of the batch.

    kinds: what each argument is, "steps" (time rows width), "rows" (rows width) or "shared".
    Raises RuntimeError where this Pallas cannot compile for the GPU at hand.
    """

    def spec(kind: str, leaf: Any) -> pl.BlockSpec:
        shape = leaf.shape
        if kind == "steps":
            return pl.BlockSpec((shape[0], plan.rows, shape[2]), lambda i: (0, i, 0))
        if kind == "rows":
            return pl.BlockSpec((plan.rows, shape[1]), lambda i: (i, 0))
        return pl.BlockSpec(shape, lambda i: (0, 0))

    def specs(trees: tuple[Tree, ...], kinds: tuple[str, ...]) -> tuple[Tree, ...]:
        pairs = zip(trees, kinds, strict=True)
        return tuple(jax.tree.map(partial(spec, kind), tree) for tree, kind in pairs)

    if not plan.interpret and triton is None:
        raise RuntimeError(
            "engine='pallas' needs jax.experimental.pallas.triton, which this jax "
            f"({jax.__version__}) does not have; use engine='fused'"
        )
    settings: dict[str, Any] = {"interpret": True}
    if not plan.interpret:
        assert triton is not None
        settings = {"compiler_params": triton.CompilerParams(num_warps=plan.warps, num_stages=1)}
    return pl.pallas_call(
        kernel,
        grid=(batch // plan.rows,),
        in_specs=specs(arguments, kinds),
        out_specs=specs(out, out_kinds),
        out_shape=out,
        **settings,
    )(*arguments)


def forward(
    plan: Launch, made: Program, zx: Tree, masks: Masks, carry: Tree, first: Tree, vectors: Tree,
    matrices: Tree,
) -> Tree:  # fmt: skip
    """Return the leaves of the carry after every step, `time rows width` each."""
    batch = carry[0].shape[0]
    out = [jax.ShapeDtypeStruct((plan.steps, batch, width), dtype) for width, dtype in leaves(made)]
    return launch(
        partial(forward_kernel, plan, made),
        plan,
        (zx, masks, carry, first, vectors, matrices),
        ("steps", "steps", "rows", "rows", "shared", "shared"),
        (out,),
        ("steps",),
        batch,
    )[0]


def backward(
    plan: Launch, made: Program, z: Tree, zx: Tree, masks: Masks, carries: Tree, start: Tree,
    first: Tree, d_last: Tree, d_h: Tree, vectors: Tree, matrices: Tree, p: int,
) -> tuple[Tree, Tree, Tree]:  # fmt: skip
    """Return (cotangent of the first carry, of p a row, dz of every step); p: leaves of p."""
    batch, shapes = d_last[0].shape[0], leaves(made)
    rows = [jax.ShapeDtypeStruct((batch, width), dtype) for width, dtype in shapes]
    steps = [jax.ShapeDtypeStruct((plan.steps, batch, width), dtype) for width, dtype in shapes]
    carried, end = len(d_last), len(d_last) + p
    return launch(
        partial(backward_kernel, plan, made, sum(made.counts[carried:end])),
        plan,
        (z, zx, masks, carries, start, first, d_last, d_h, vectors, matrices),
        ("steps", "steps", "steps", "steps", "rows", "rows", "rows", "steps", "shared", "shared"),
        (rows[:carried], rows[carried:end], steps[end:]),
        ("rows", "rows", "steps"),
        batch,
    )


def leaves(made: Program) -> list[tuple[int, Any]]:
    """Return (width, dtype) of each leaf that a program returns."""
    found, at = [], 0
    for n in made.counts:
        block = made.outputs[at].aval
        found.append((n * block.shape[-1], block.dtype))
        at += n
    return found
