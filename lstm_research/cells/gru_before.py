"""The GRU that resets before its recurrent matrix: two dependent products a step."""

import dataclasses
from functools import cache, partial
from typing import Literal, cast

import jax.numpy as jnp

from lstm_research import initial
from lstm_research.activation import activate
from lstm_research.axes import Array, Seed
from lstm_research.cell import (
    Cell,
    Hidden,
    Pre,
    Stage,
    Weights,
    emit_hidden,
    read_hidden,
    start_hidden,
)

Gates = Literal["full", "recurrent", "unbiased", "bias"]
OWNS = {"full": "wrb", "recurrent": "rb", "unbiased": "r", "bias": "b"}  # what a gate is made of


@dataclasses.dataclass(frozen=True)
class GruBefore:
    """The gated recurrent unit of the paper: the reset gate acts before the recurrent product.

    ::

        i = s(x W_i + h R_i + b_i)              r = s(x W_r + h R_r + b_r)
        g = tanh(x W_g + (r h) R_g + b_g)       h' = (1 - i) h + i g

        gates = recurrent (GRU1)                i = s(h R_i + b_i)      r = s(h R_r + b_r)
        gates = unbiased (GRU2)                 i = s(h R_i)            r = s(h R_r)
        gates = bias (GRU3)                     i = s(b_i)              r = s(b_r)

    i overwrites; the z of Cho et al. is 1 - i. What a reduction drops owns no weights; the gates of
    GRU3 are constants, so it has one product a step. Parameters: 3HD + 3H^2 + 3H; GRU1 HD + 3H^2 +
    3H, GRU2 HD + 3H^2 + H, GRU3 HD + H^2 + 3H. Source: Cho et al. 2014 (arXiv:1406.1078v3, eq. 5-8);
    GRU1-3 Dey & Salem 2017 (arXiv:1701.05923), from a note that reproduces their equations, the
    paper was not read. Departure: biases, and b_i starts at -forget_bias.
    """

    kind: Literal["gru_before"] = "gru_before"
    gates: Gates = "full"
    kernel: initial.Start = "lecun"
    recurrent: initial.Start = "orthogonal"
    bias: initial.BiasStart = "zeros"
    forget_bias: float | None = None  # None: 1 where the gates have a bias

    def __post_init__(self) -> None:
        if self.gates not in OWNS:
            raise ValueError(f"gates={self.gates!r} is not one of {', '.join(OWNS)}")
        if "b" in OWNS[self.gates]:
            if self.forget_bias is None:
                object.__setattr__(self, "forget_bias", 1.0)
        elif self.forget_bias is not None:
            raise ValueError(
                f"forget_bias={self.forget_bias} sets the bias of a gate, and gates={self.gates!r} "
                "has none; leave it out"
            )

    @cache  # noqa: B019 (equal specs are one cell, and there are few)
    def build(self) -> Cell:
        """Return the cell."""
        rule = partial(update, self.gates)
        return Cell(
            partial(init, self), start_hidden, stages(self.gates), rule, emit_hidden,
            gates=partial(acting, self.gates),
        )  # fmt: skip


def stages(form: Gates) -> tuple[Stage, ...]:
    """Return the products of a form: that of the gates, where they hear h, and the candidate's."""
    last = Stage("g", "", "", partial(read_reset, form))
    if form == "full":
        return Stage("ir", "", "", read_hidden), last
    return (Stage("", "", "ir", read_hidden), last) if "r" in OWNS[form] else (last,)


def init(spec: GruBefore, key: Seed, features: int, hidden: int) -> Weights:
    """Draw the blocks i, r, g in the order of the stages; of i and r what the form owns."""
    w, r, b = {}, {}, {}
    for n in "irg":
        owned = "wrb" if n == "g" else OWNS[spec.gates]
        fold = partial(initial.fold, key)
        if "w" in owned:
            w[n] = initial.matrix(spec.kernel, fold(f"w_{n}"), (features, hidden), hidden)
        if "r" in owned:
            r[n] = initial.matrix(spec.recurrent, fold(f"r_{n}"), (hidden, hidden), hidden)
        if "b" in owned:
            b[n] = initial.bias(spec.bias, fold(f"b_{n}"), hidden)
    if spec.forget_bias is not None:
        b["i"] = b["i"] - spec.forget_bias
    last = (r["g"],)
    matrices = (jnp.concatenate([r["i"], r["r"]], -1), *last) if "i" in r else last
    p = {} if "i" in w else {f"b_{n}": b.pop(n) for n in "ir" if n in b}  # no x to add them to
    return Weights(
        jnp.concatenate(list(w.values()), -1), jnp.concatenate(list(b.values())), matrices, p
    )


def gates(form: Gates, p: dict[str, Array], z: tuple[Pre, ...]) -> dict[str, Array]:
    """Return i and r from the first stage, from their biases, or from both."""
    if form == "full":
        return activate("ir", cast(Array, z[0].both))
    heard = cast(Array, z[0].recurred) if "r" in OWNS[form] else 0.0
    biases = jnp.concatenate([p["b_i"], p["b_r"]], -1) if "b" in OWNS[form] else 0.0
    return activate("ir", cast(Array, heard + biases))  # every form has one of the two


def read_reset(form: Gates, weights: Weights, z: tuple[Pre, ...], carry: Hidden) -> Array:
    """Read r h, once the first stage is known."""
    return gates(form, weights.p, z)["r"] * carry.h


def acting(form: Gates, weights: Weights, z: tuple[Pre, ...], carry: Hidden) -> dict[str, Array]:
    """Return i, r, f = 1 - i and the candidate."""
    now = gates(form, weights.p, z)
    return now | {"f": 1.0 - now["i"], "g": jnp.tanh(cast(Array, z[-1].both))}


def update(form: Gates, weights: Weights, z: tuple[Pre, ...], carry: Hidden) -> Hidden:
    """Return h' = h + i (g - h)."""
    now = acting(form, weights, z, carry)
    return Hidden(now["f"] * carry.h + now["i"] * now["g"])
