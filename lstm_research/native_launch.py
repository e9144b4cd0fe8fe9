"""A step of a cell as one call of machine code: traced, described, compiled and bound."""

# JAX leaves types unknown in its own signatures:
# pyright: reportUnknownMemberType=false

import math
from typing import Any

import jax
import jax.numpy as jnp

from lstm_research import native_call, native_threads
from lstm_research.axes import Array, Tree
from lstm_research.native_math import refusal as unwritten
from lstm_research.native_plan import Heard, Output, Product, Spec, laid
from lstm_research.whole_step import Kinds, Shape, Traced, cut, traced


def launch(
    shape: Shape, f: Any, data: Kinds, matrices: Tree, kinds: Any, whole: Tree = None,
    pairs: Any = lambda out: (), change: Any = lambda made: made,
) -> tuple[Tree, list[Array]]:  # fmt: skip
    """Trace a step, compile its kernel and call it; return what f returns, and products over all steps.

    kinds(i): the kind of output i. pairs(out): of each product what it hears, an output or an array of
    all steps, and the outputs that lie side by side on its right. change: what is done to the program.
    """
    found = traced(f, data, matrices, shape.hidden, whole)
    found = found._replace(program=change(found.program))
    made = found.program
    wanted = pairs(jax.tree.unflatten(made.tree, range(len(made.counts))))
    more = [heard for heard, _ in wanted if not isinstance(heard, int)]
    spec = multiplied(described(shape, found, kinds), wanted)
    call = native_call.Call(spec, laid(spec), found.timed)
    every = (leaf.astype(jnp.float32) for leaf in (*found.arrays, *found.matrices, *more))
    *given, _ = native_call.kernel_call.bind(*every, call=call)
    end = len(made.counts)
    return jax.tree.unflatten(made.tree, given[:end]), given[end:]


def multiplied(spec: Spec, pairs: Any) -> Spec:
    """Return a kernel with a product for each pair; those of the same dz are one."""
    outputs, products = list(spec.outputs), dict[int, list[tuple[Heard, int, int]]]()
    extra = spec.arguments
    for heard, parts in pairs:
        if isinstance(heard, int):
            left = Heard(heard, outputs[heard].width)
        else:
            left, extra = Heard(extra, heard.shape[-1], given=True), extra + 1
        column = 0
        for dz in parts:
            products.setdefault(dz, []).append((left, len(outputs), column))
            column += outputs[dz].width
        outputs.append(Output("product", column, left.width))
    made = tuple(Product(dz, tuple(each)) for dz, each in products.items())
    return spec._replace(outputs=tuple(outputs), products=made, arguments=extra)


def described(shape: Shape, found: Traced, kinds: Any) -> Spec:
    """Return what a kernel is made of; raise Unblockable where a part of it cannot be written."""
    hidden, here = shape.hidden, native_call.processor()
    (steps, batch, _), given = found.arrays[found.timed].shape, len(found.arrays)
    products = batch * sum(r.size for r in found.matrices)
    counts = enumerate(found.program.counts)
    return Spec(
        stages=cut(found, hidden, unwritten),
        inputs=found.inputs,
        outputs=tuple(Output(kinds(i), n * hidden, batch) for i, n in counts),
        products=(),
        matrices=tuple((given + i, r.shape[1]) for i, r in enumerate(found.matrices)),
        arguments=given + len(found.matrices),
        rows=batch,
        hidden=hidden,
        lanes=math.gcd(hidden, here.lanes),
        registers=here.sums,
        reverse=shape.reverse,
        team=native_threads.size(products, steps),
    )
