"""The three mutants that a search over ten thousand architectures preferred: MUT1, MUT2, MUT3."""

import dataclasses
from functools import cache, partial
from typing import Literal, cast

import jax.numpy as jnp

from lstm_research import initial
from lstm_research.activation import cut, sigmoid
from lstm_research.axes import Array, Seed, Steps
from lstm_research.cell import (
    Cell,
    Hidden,
    Masks,
    Pre,
    Stage,
    Weights,
    emit_hidden,
    project,
    read_hidden,
    start_hidden,
)

Form = Literal["mut1", "mut2", "mut3"]


@dataclasses.dataclass(frozen=True)
class Mut:
    """A mutant of the architecture search, with a matrix W for every x.

    ::

        r = s(x W_r + h R_r + b_r)             h' = (1 - i) h + i g
        mut1    i = s(x W_i + b_i)                   g = tanh((r h) R_g + tanh(x W_g) + b_g)
        mut2    i = s(x W_i + h R_i + b_i)           g = tanh((r h) R_g + x W_g + b_g)
        mut3    i = s(x W_i + tanh(h) R_i + b_i)     g = tanh((r h) R_g + x W_g + b_g)

    i overwrites; it is the paper's z. Parameters: mut1 3HD + 2H^2 + 3H, mut2 and mut3 3HD + 3H^2 +
    3H. Source: Jozefowicz, Zaremba & Sutskever 2015 (PMLR 37); the paper was not read, two public
    implementations agree. Departures: where the paper adds a bare x (in g of mut1, in r of mut2)
    there is x W, since D and H differ, which costs HD more; with it mut2 is `gru_before`. b_i
    starts at -forget_bias.
    """

    kind: Literal["mut"] = "mut"
    form: Form = "mut1"
    kernel: initial.Start = "lecun"
    recurrent: initial.Start = "orthogonal"
    bias: initial.BiasStart = "zeros"
    forget_bias: float = 1.0

    def __post_init__(self) -> None:
        if self.form not in ("mut1", "mut2", "mut3"):
            raise ValueError(f"form={self.form!r} is not one of mut1, mut2, mut3")

    @cache  # noqa: B019 (equal specs are one cell, and there are few)
    def build(self) -> Cell:
        """Return the cell."""
        form = self.form
        return Cell(
            partial(init, self),
            start_hidden,
            stages(form),
            partial(update, form),
            emit_hidden,
            gates=partial(gates, form),
            drive=squashed if form == "mut1" else project,
        )


def stages(form: Form) -> tuple[Stage, ...]:
    """Return the products; the input drives r, i, g in this order in every form."""
    last = Stage("g", "", "", partial(read_reset, form))
    if form == "mut1":
        return Stage("r", "i", "", read_hidden), last
    if form == "mut2":
        return Stage("ri", "", "", read_hidden), last
    return Stage("r", "", "", read_hidden), Stage("i", "", "", read_squashed), last


def init(spec: Mut, key: Seed, features: int, hidden: int) -> Weights:
    """Draw the blocks r i g; R_i where the form has one."""
    w = initial.blocks(spec.kernel, key, "w_", "rig", (features, hidden))
    b = initial.biases(spec.bias, key, "rig", hidden, i=-spec.forget_bias)
    r = tuple(
        jnp.concatenate(initial.blocks(spec.recurrent, key, "r_", stage.both, (hidden, hidden)), -1)
        for stage in stages(spec.form)
    )
    return Weights(jnp.concatenate(w, -1), jnp.concatenate([*b.values()]), r, {})


def squashed(weights: Weights, x: Steps, masks: Masks, key: Seed | None) -> Array:
    """Return zx of mut1, whose candidate squashes its input before the bias."""
    r, i, g = jnp.split(project(weights._replace(b=None), x, masks, key), 3, -1)
    return jnp.concatenate([r, i, jnp.tanh(g)], -1) + cast(Array, weights.b)


def read_squashed(weights: Weights, z: tuple[Pre, ...], carry: Hidden) -> Array:
    """Read tanh(h)."""
    return jnp.tanh(carry.h)


def reset_gate(form: Form, z: tuple[Pre, ...]) -> Array:
    """Return r from the first stage."""
    return sigmoid(cut("ri" if form == "mut2" else "r", z[0].both)["r"])


def read_reset(form: Form, weights: Weights, z: tuple[Pre, ...], carry: Hidden) -> Array:
    """Read r h, once the first stage is known."""
    return reset_gate(form, z) * carry.h


def update_gate(form: Form, z: tuple[Pre, ...]) -> Array:
    """Return i from where the stages of the form leave it."""
    if form == "mut2":
        return sigmoid(cut("ri", z[0].both)["i"])
    return sigmoid(cast(Array, z[0].driven if form == "mut1" else z[1].both))


def gates(form: Form, weights: Weights, z: tuple[Pre, ...], carry: Hidden) -> dict[str, Array]:
    """Return r, i, f = 1 - i and the candidate."""
    i, g = update_gate(form, z), jnp.tanh(cast(Array, z[-1].both))
    return {"r": reset_gate(form, z), "i": i, "f": 1.0 - i, "g": g}


def update(form: Form, weights: Weights, z: tuple[Pre, ...], carry: Hidden) -> Hidden:
    """Return h' = (1 - i) h + i g."""
    now = gates(form, weights, z, carry)
    return Hidden(now["f"] * carry.h + now["i"] * now["g"])
