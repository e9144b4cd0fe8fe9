"""The time-aware LSTM: a part of the memory fades with the time since the step before."""

import dataclasses
from functools import cache, partial
from typing import Literal, cast

import jax.numpy as jnp

from lstm_research import initial, stamped
from lstm_research.activation import activate
from lstm_research.axes import Array, Seed
from lstm_research.cell import (
    Carry,
    Cell,
    Parts,
    Pre,
    Stage,
    Weights,
    emit_hidden,
    read_hidden,
    start_carry,
)


@dataclasses.dataclass(frozen=True)
class Tlstm:
    """The time-aware LSTM (T-LSTM): the short-term part of c is discounted by the elapsed time dt.

    ::

        short = tanh(c R_d + b_d)                 a = c - short + short / log(e + dt)
        i = s(x W_i + h R_i + b_i)                f = s(x W_f + h R_f + b_f)
        o = s(x W_o + h R_o + b_o)                g = tanh(x W_g + h R_g + b_g)
        c' = f a + i g                            h' = o tanh(c')

    dt is 1 at every step. With `timestamps=True` it is the last feature of x, not negative, and W
    does not see it: for a first layer, since a layer above would take the last unit below for a
    time. dt = 0 leaves an LSTM. The unit of dt matters: log(e + dt) is 2 at dt = 4.7. Parameters: 4HD
    + 5H^2 + 5H, 4H less with a time. Source: Baytas et al. 2017, Patient Subtyping via Time-Aware LSTM
    Networks; the paper was not read, equations as in the authors' code, which in another commit has
    s for tanh in `short`. Departures: biases start at 0 and b_f at forget_bias, where that code
    starts all at 1, and matrices are not drawn from N(0, 0.1^2).
    """

    kind: Literal["tlstm"] = "tlstm"
    timestamps: bool = False
    kernel: initial.Start = "lecun"
    recurrent: initial.Start = "orthogonal"
    bias: initial.BiasStart = "zeros"
    forget_bias: float = 1.0

    @cache  # noqa: B019 (equal specs are one cell, and there are few)
    def build(self) -> Cell:
        """Return the cell."""
        begin, short = partial(init, self), Stage("", "", "d", read_memory)
        if not self.timestamps:
            stages = (Stage("ifgo", "", "", read_hidden), short)
            return Cell(begin, start_carry, stages, update, emit_hidden, gates=gates)
        stages = (Stage("ifgo", "t", "", read_hidden), short)
        return Cell(
            begin, start_carry, stages, update, emit_hidden, gates=gates,
            drive=stamped.drive, cut=first, sizes=stamped.sizes,
        )  # fmt: skip


def first(zx: stamped.Stamped) -> Parts:
    """Return (z, dt) for the first stage and nothing for the second."""
    return zx, (None, None)


def init(spec: Tlstm, key: Seed, features: int, hidden: int) -> Weights:
    """Draw the blocks i f g o, and the decomposition d with its bias as a vector."""
    rows = stamped.rows(features, spec.timestamps)
    w = initial.blocks(spec.kernel, key, "w_", "ifgo", (rows, hidden))
    *r, d = initial.blocks(spec.recurrent, key, "r_", "ifgod", (hidden, hidden))
    b = initial.biases(spec.bias, key, "ifgod", hidden, f=spec.forget_bias)
    p = {"b_d": b.pop("b_d")}
    matrices = (jnp.concatenate(r, -1), d)
    return Weights(jnp.concatenate(w, -1), jnp.concatenate([*b.values()]), matrices, p)


def read_memory(weights: Weights, z: tuple[Pre, ...], carry: Carry) -> Array:
    """Read c of the step before."""
    return carry.c


def gates(weights: Weights, z: tuple[Pre, ...], carry: Carry) -> dict[str, Array]:
    """Return i, f, which keeps the discounted memory, g and o."""
    return activate("ifgo", cast(Array, z[0].both))


def update(weights: Weights, z: tuple[Pre, ...], carry: Carry) -> Carry:
    """Apply the equations of `Tlstm`."""
    now = gates(weights, z, carry)
    short = jnp.tanh(cast(Array, z[1].recurred) + weights.p["b_d"])
    elapsed = 1.0 if z[0].driven is None else z[0].driven
    a = carry.c - short + short / jnp.log(jnp.e + elapsed)
    c = now["f"] * a + now["i"] * now["g"]
    return Carry(c, now["o"] * jnp.tanh(c))
