"""Full gate recurrence: every gate also hears all three gates of the step before."""

import dataclasses
from functools import cache, partial
from typing import Literal, NamedTuple

import jax.numpy as jnp

from lstm_research import initial
from lstm_research.activation import activate, cut, once, sigmoid
from lstm_research.axes import Array, Float, Seed, Tree
from lstm_research.cell import Cell, Pre, Stage, Weights, read_hidden
from lstm_research.legal import ordered


@dataclasses.dataclass(frozen=True)
class Fgr:
    """The vanilla LSTM with full gate recurrence (FGR).

    ::

        i = s(x W_i + h R_i + p_i c  + b_i + i R_ii + f R_fi + o R_oi)      (i, f, o of the step before)
        f = s(x W_f + h R_f + p_f c  + b_f + i R_if + f R_ff + o R_of)
        g = tanh(x W_g + h R_g + b_g)
        c' = f c + i g
        o = s(x W_o + h R_o + p_o c' + b_o + i R_io + f R_fo + o R_oo)
        h' = o tanh(c')

    Parameters: 4HD + 13H^2 + 7H. Source: Greff et al. 2015 (arXiv:1503.04069); the wiring is that
    of Hochreiter & Schmidhuber 1997. The gates start at 0.
    """

    kind: Literal["fgr"] = "fgr"
    peephole: str = "ifo"
    kernel: initial.Start = "lecun"
    recurrent: initial.Start = "orthogonal"
    bias: initial.BiasStart = "zeros"
    forget_bias: float = 1.0

    def __post_init__(self) -> None:
        if set(self.peephole) - set("ifo"):
            raise ValueError(f"peephole={self.peephole!r} may hold the letters i, f and o")
        object.__setattr__(self, "peephole", ordered(self.peephole))

    @cache  # noqa: B019 (equal specs are one cell, and there are few)
    def build(self) -> Cell:
        """Return the cell."""
        stages = (Stage("ifgo", "", "", read_hidden), Stage("", "", "ifo", read_gates))
        return Cell(partial(init, self), start, stages, update, lambda carry: carry.h, gates=gates)


class Gates(NamedTuple):
    """The carry: memory, output and the three gates, side by side as i f o."""

    c: Float[Array, "*batch hidden"]
    h: Float[Array, "*batch hidden"]
    gates: Float[Array, "*batch gates"]


def start(batch: tuple[int, ...], hidden: int, dtype: Tree = None) -> Gates:
    """Return zeros."""
    c = jnp.zeros((*batch, hidden), dtype)
    return Gates(c, c, jnp.zeros((*batch, 3 * hidden), dtype))


def init(spec: Fgr, key: Seed, features: int, hidden: int) -> Weights:
    """Draw the blocks i f g o, the nine gate-to-gate blocks, and the peepholes."""
    w = initial.blocks(spec.kernel, key, "w_", "ifgo", (features, hidden))
    r = initial.blocks(spec.recurrent, key, "r_", "ifgo", (hidden, hidden))
    rows = [
        jnp.concatenate(initial.blocks(spec.recurrent, key, f"r_{a}", "ifo", (hidden, hidden)), -1)
        for a in "ifo"
    ]
    b = initial.biases(spec.bias, key, "ifgo", hidden, f=spec.forget_bias)
    p = {f"p_{n}": jnp.zeros(hidden) for n in spec.peephole}
    matrices = (jnp.concatenate(r, -1), jnp.concatenate(rows, 0))
    return Weights(jnp.concatenate(w, -1), jnp.concatenate([*b.values()]), matrices, p)


def read_gates(weights: Weights, z: tuple[Pre, ...], carry: Gates) -> Array:
    """Read i, f and o of the step before."""
    return carry.gates


def written(weights: Weights, z: tuple[Pre, ...], carry: Gates) -> tuple[dict[str, Array], Array]:
    """Return i, f, g and o, and c'."""
    p, c = weights.p, carry.c
    raw, heard = cut("ifgo", z[0].both), cut("ifo", z[1].recurred)

    def seen(gate: str, c: Array) -> Array:
        pre = raw[gate] + heard[gate]
        return pre + p[f"p_{gate}"] * c if f"p_{gate}" in p else pre

    now = activate("ifg", jnp.concatenate([seen("i", c), seen("f", c), raw["g"]], -1))
    c = once(now["f"] * c + now["i"] * now["g"])
    return now | {"o": sigmoid(seen("o", c))}, c


def gates(weights: Weights, z: tuple[Pre, ...], carry: Gates) -> dict[str, Array]:
    """Return i, f, g and o of this step."""
    return written(weights, z, carry)[0]


def update(weights: Weights, z: tuple[Pre, ...], carry: Gates) -> Gates:
    """Apply the equations of `Fgr`."""
    now, c = written(weights, z, carry)
    three = jnp.concatenate([now[name] for name in "ifo"], -1)
    return Gates(c, now["o"] * jnp.tanh(c), three)
