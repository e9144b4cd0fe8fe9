"""Long expressive memory: two chained leaky units whose steps in time are learned."""

import dataclasses
from functools import cache, partial
from typing import Literal, NamedTuple, cast

import jax.numpy as jnp

from lstm_research import initial
from lstm_research.activation import activate
from lstm_research.axes import Array, Float, Seed, Tree
from lstm_research.cell import Cell, Pre, Stage, Weights


@dataclasses.dataclass(frozen=True)
class Lem:
    """The long expressive memory (LEM).

    ::

        d_1 = dt s(x W_1 + y R_1 + b_1)        z' = (1 - d_1) z + d_1 tanh(x W_m + y R_m + b_m)
        d_2 = dt s(x W_2 + y R_2 + b_2)        y' = (1 - d_2) y + d_2 tanh(x W_y + z' R_y + b_y)
        h' = y'

    y hears the new z, so a step has two dependent products; the block m is the paper's z. dt is the
    longest step in time; above 1 the mixtures are no longer convex. Parameters: 4HD + 4H^2 + 4H.
    Source: Rusch et al. 2022 (arXiv:2110.04744), equations and the uniform starts as in the
    authors' code, which holds two biases a block in one of its versions.
    """

    kind: Literal["lem"] = "lem"
    dt: float = 1.0
    kernel: initial.Start = "uniform"
    recurrent: initial.Start = "uniform"
    bias: initial.BiasStart = "uniform"

    def __post_init__(self) -> None:
        if not self.dt > 0:
            raise ValueError(f"dt={self.dt} must be positive")

    @cache  # noqa: B019 (equal specs are one cell, and there are few)
    def build(self) -> Cell:
        """Return the cell."""
        stages = (
            Stage("12m", "", "", read_output),
            Stage("y", "", "", partial(read_memory, self.dt)),
        )
        rule = partial(update, self.dt)
        return Cell(partial(init, self), start, stages, rule, emit, gates=partial(gates, self.dt))


class Chain(NamedTuple):
    """The carry: the memory, and the output that hears it."""

    z: Float[Array, "*batch hidden"]
    y: Float[Array, "*batch hidden"]


def start(batch: tuple[int, ...], hidden: int, dtype: Tree = None) -> Chain:
    """Return z = y = 0."""
    return Chain(jnp.zeros((*batch, hidden), dtype), jnp.zeros((*batch, hidden), dtype))


def emit(carry: Chain) -> Float[Array, "*batch hidden"]:
    """Return h = y."""
    return carry.y


def init(spec: Lem, key: Seed, features: int, hidden: int) -> Weights:
    """Draw the blocks 1 2 m of the first stage and y of the second."""
    w = initial.blocks(spec.kernel, key, "w_", "12my", (features, hidden))
    r = initial.blocks(spec.recurrent, key, "r_", "12my", (hidden, hidden))
    b = initial.biases(spec.bias, key, "12my", hidden)
    return Weights(
        jnp.concatenate(w, -1),
        jnp.concatenate([*b.values()]),
        (jnp.concatenate(r[:3], -1), r[3]),
        {},
    )


def gates(dt: float, weights: Weights | None, z: tuple[Pre, ...], carry: Chain) -> dict[str, Array]:
    """Return i = d_1 and f = 1 - d_1, which act on z as the candidate g does, and d_2."""
    now = activate("12g", cast(Array, z[0].both))  # either stage has blocks in `both`
    d = dt * now["1"]
    return {"i": d, "f": 1.0 - d, "g": now["g"], "d_2": dt * now["2"]}


def memory(dt: float, z: tuple[Pre, ...], carry: Chain) -> tuple[Array, Array]:
    """Return the new z, and d_2 for what comes after it."""
    now = gates(dt, None, z, carry)
    return now["f"] * carry.z + now["i"] * now["g"], now["d_2"]


def read_output(weights: Weights, z: tuple[Pre, ...], carry: Chain) -> Array:
    """Read y of the step before."""
    return carry.y


def read_memory(dt: float, weights: Weights, z: tuple[Pre, ...], carry: Chain) -> Array:
    """Read the new z, once the first stage is known."""
    return memory(dt, z, carry)[0]


def update(dt: float, weights: Weights, z: tuple[Pre, ...], carry: Chain) -> Chain:
    """Apply the equations of `Lem`."""
    new, d = memory(dt, z, carry)
    y = (1.0 - d) * carry.y + d * jnp.tanh(cast(Array, z[1].both))
    return Chain(new, y)
