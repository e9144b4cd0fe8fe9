"""A function of vectors, applied to every column of its arguments: `vmap` with the last axis as batch.

`jax.vmap` moves the batch to the front where it meets a concatenation, and XLA:CPU then transposes at
every step. Here each operation of the function gets one more axis at the end and nothing moves: blocks
side by side in a vector become rows one above the other, and a block is a piece of memory.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core

from lstm_research.axes import Array, Tree
from lstm_research.blockwise import ALIKE

PLAIN = ALIKE | {"atan2", "erf", "round", "tan"}
SAME = {  # their axes are counted from the front, where nothing changes
    "concatenate", "cumlogsumexp", "cummax", "cummin", "cumprod", "cumsum", "optimization_barrier",
    "reduce_and", "reduce_max", "reduce_min", "reduce_or", "reduce_prod", "reduce_sum", "rev", "sort",
    "split", "squeeze",
}  # fmt: skip
Value = tuple[Any, bool]  # an array, and whether its last axis is that of the columns


class NotByColumns(ValueError):
    """A function holds an operation that is not known for columns; the message names it."""


def by_columns(f: Callable[..., Tree]) -> Callable[..., Tree]:
    """Return f for arrays `*any columns`: column k of what comes out is f of the columns k.

    Raises NotByColumns where f holds an operation that is not known here.
    """

    def over(*arguments: Tree) -> Tree:
        leaves, tree = jax.tree.flatten(arguments)
        width = leaves[0].shape[-1]
        one = [jax.ShapeDtypeStruct(leaf.shape[:-1], leaf.dtype) for leaf in leaves]
        traced, shapes = jax.make_jaxpr(lambda *v: f(*tree.unflatten(v)), return_shape=True)(*one)
        found = evaluate(traced.jaxpr, traced.consts, [(leaf, True) for leaf in leaves], width)
        return jax.tree.unflatten(
            jax.tree.structure(shapes), [spread(value, width) for value in found]
        )

    return over


def evaluate(
    jaxpr: Any, consts: Sequence[Any], arguments: Sequence[Value], width: int
) -> list[Value]:
    """Return what a jaxpr of vectors computes for columns."""
    known: dict[Any, Value] = dict(zip(jaxpr.invars, arguments, strict=True))
    known |= {var: (value, False) for var, value in zip(jaxpr.constvars, consts, strict=True)}

    def read(atom: Any) -> Value:
        return (atom.val, False) if isinstance(atom, core.Literal) else known[atom]

    for equation in jaxpr.eqns:
        values = [read(atom) for atom in equation.invars]
        known |= zip(equation.outvars, applied(equation, values, width), strict=True)
    return [read(atom) for atom in jaxpr.outvars]


def applied(equation: Any, values: list[Value], width: int) -> list[Value]:
    """Return what one operation gives for columns."""
    name, settings = equation.primitive.name, dict(equation.params)
    if name in ("jit", "pjit", "closed_call"):
        inner = settings["jaxpr"]
        return evaluate(inner.jaxpr, inner.consts, values, width)
    mixed = any(wide for _, wide in values)
    if mixed and name in PLAIN:
        shape = equation.outvars[0].aval.shape
        arrays = [met(value, shape, width) for value in values]
    elif mixed:
        arrays = [spread(value, width) for value in values]
        settings = widened(name, settings, width)
    else:
        arrays = [value for value, _ in values]
    found = equation.primitive.bind(*arrays, **settings)
    return [(each, mixed) for each in (found if equation.primitive.multiple_results else [found])]


def met(value: Value, shape: tuple[int, ...], width: int) -> Any:
    """Return an operand of an operation whose vectors have this shape; a number may stay one."""
    if jnp.ndim(value[0]) == 0:
        return value[0]
    return jnp.broadcast_to(spread(value, width), (*shape, width))


def widened(name: str, settings: dict[str, Any], width: int) -> dict[str, Any]:
    """Return the settings of an operation whose arrays have one more axis at the end."""
    s = settings
    if name in SAME:
        return s
    if name == "broadcast_in_dim":
        shape, axes = (*s["shape"], width), (*s["broadcast_dimensions"], len(s["shape"]))
        return s | {"shape": shape, "broadcast_dimensions": axes}
    if name == "reshape" and s.get("dimensions") is None:
        return s | {"new_sizes": (*s["new_sizes"], width)}
    if name == "slice":
        steps = s["strides"] if s["strides"] is None else (*s["strides"], 1)
        ends = {"start_indices": (*s["start_indices"], 0), "strides": steps}
        return s | ends | {"limit_indices": (*s["limit_indices"], width)}
    if name == "transpose":
        return s | {"permutation": (*s["permutation"], len(s["permutation"]))}
    raise NotByColumns(f"{name} is not known for columns")


def spread(value: Value, width: int) -> Array:
    """Return a value with the axis of the columns."""
    array, wide = value
    if wide:
        return array
    array = jnp.asarray(array)
    return jnp.broadcast_to(array[..., None], (*array.shape, width))
