"""The gated family: one update rule, and a row of switches that says which parts of it are alive.

::

    r = s(z_r)                         i = s(z_i + p_i c)            f = s(z_f + p_f c)
    g = a tanh((x_g + r u_g) / a)      or x_g + r u_g                u_g = h R_g + b_hg
    c' = f c + i g                     coupled: f = 1 - s(z_i - shift)
    o = s(z_o + p_o c')                h' = o tanh(c' / a)           or o c'

A dead gate is 1; a is 2 for `half_slope`, else 1. The names of the literature are rows of this
table:

===================== ========= ========= ==== ==== ========= ========= ============ =============
name                  i         f         o    r    squash g  squash c  peepholes    other
===================== ========= ========= ==== ==== ========= ========= ============ =============
lstm, greff/np        gate      gate      gate      tanh      tanh
peephole, greff/v     gate      gate      gate      tanh      tanh      i f o
greff/nig             1         gate      gate      tanh      tanh      f o
greff/nfg             gate      1         gate      tanh      tanh      i o
greff/nog             gate      gate      1         tanh      tanh      i f
greff/niaf            gate      gate      gate      identity  tanh      i f o
greff/noaf            gate      gate      gate      tanh      identity  i f o
greff/cifg            gate      1 - i     gate      tanh      tanh      i o
cifg                  gate      1 - i     gate      tanh      tanh
hochreiter1997        gate      1         gate      2tanh ./2 tanh ./2
gers2000              gate      gate      gate      2tanh ./2 tanh ./2
gru                   gate      1 - i     1    gate tanh      identity               b_hg
ugrnn                 gate      1 - i     1         tanh      identity
janet                 gate      1 - s(.)  1         tanh      identity               shift = 1
forget_only           1         gate      1         tanh      tanh
===================== ========= ========= ==== ==== ========= ========= ============ =============

`pick` is the one trick: asked with a Python bool it chooses while tracing, so that a dead part owns
no weights; asked with an array it chooses while running, so that `vmap` can walk down a table of
rows.

Sources: Greff et al. 2015 (arXiv:1503.04069), Hochreiter & Schmidhuber 1997, Gers et al. 2000, Cho
et al. 2014 (arXiv:1406.1078), Collins et al. 2017 (arXiv:1611.09913), van der Westhuizen & Lasenby
2018 (arXiv:1804.04849).
"""

# `jax.jit` forgets signatures, and JAX leaves types such as `device` unknown in its own:
# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false

import dataclasses
from collections.abc import Callable
from functools import cache, partial
from typing import Literal, NamedTuple, TypeVar, cast

import jax.numpy as jnp

from lstm_research import initial
from lstm_research.activation import activate, cut, once, sigmoid
from lstm_research.axes import Array, Float, Seed
from lstm_research.cell import (
    Carry,
    Cell,
    Hidden,
    Pre,
    Stage,
    Weights,
    emit_hidden,
    read_hidden,
    start_carry,
    start_hidden,
)
from lstm_research.legal import contradictions, gates, ordered


@dataclasses.dataclass(frozen=True)
class GateSpec:
    """One row of the family, and how its weights start; checked at birth, hashable, not a pytree."""

    kind: Literal["gated"] = "gated"
    input_gate: bool = True  # off: i = 1
    forget_gate: bool = True  # off: f = 1
    output_gate: bool = True  # off: o = 1
    reset_gate: bool = False  # off: r = 1
    reset_bias: bool = False  # a bias inside the reset product, b_hg
    coupled: bool = False  # f = 1 - i: the input gate alone owns weights
    shift: float = 0.0  # coupled: f = 1 - s(z_i - shift)
    peephole: str = ""  # the gates that see the memory: letters of "ifo"
    squash_input: bool = True  # off: the candidate stays linear
    squash_output: bool = True  # off: the memory is read out linearly
    half_slope: bool = False  # squash half the argument; the candidate spans [-2, 2]
    kernel: initial.Start = "lecun"
    recurrent: initial.Start = "orthogonal"
    bias: initial.BiasStart = "zeros"
    forget_bias: float | None = None  # None: 1 where there is a forget gate
    chrono: float | None = None  # longest lag in steps; replaces forget_bias
    uniform_gates: bool = False  # replaces forget_bias

    def __post_init__(self) -> None:
        for rule, message in contradictions(self):
            if rule:
                raise ValueError(message)
        if self.peephole != ordered(self.peephole):
            object.__setattr__(self, "peephole", ordered(self.peephole))
        if (
            self.forget_gate
            and not (self.chrono or self.uniform_gates)
            and self.forget_bias is None
        ):
            object.__setattr__(self, "forget_bias", 1.0)

    def build(self) -> Cell:
        """Return the cell compiled for this row."""
        return gated(self)


class Switches(NamedTuple):
    """The row as the rule reads it: Python values while tracing, arrays of any shape while running."""

    input_gate: bool | Array
    forget_gate: bool | Array
    output_gate: bool | Array
    reset_gate: bool | Array
    reset_bias: bool | Array
    coupled: bool | Array
    shift: float | Array
    peephole_i: bool | Array
    peephole_f: bool | Array
    peephole_o: bool | Array
    squash_input: bool | Array
    squash_output: bool | Array
    half_slope: bool | Array


def switches(spec: GateSpec) -> Switches:
    """Return the row of a spec as Python values."""
    eyes = {f"peephole_{gate}": gate in spec.peephole for gate in "ifo"}
    rest = {name: getattr(spec, name) for name in Switches._fields if name not in eyes}
    return Switches(**rest, **eyes)


def completed(own: Switches, row: Switches) -> Switches:
    """Return a row whose switches are those of `own`, and those of `row` where `own` has None."""
    pairs: list[tuple[bool | Array | float | None, bool | Array | float]]
    pairs = list(zip(own, row, strict=True))
    return Switches._make(given if agreed is None else agreed for agreed, given in pairs)


Inside = Callable[[Array], Array]


def unchanged(value: Array) -> Array:
    """Return what comes in."""
    return value


Number = TypeVar("Number", bound=Array | float)


def pick(on: bool | Array, alive: Number, dead: Number) -> Number | Array:
    """Return `alive` or `dead`: a bool decides while tracing, an array decides while running."""
    if isinstance(on, bool):
        return alive if on else dead
    return jnp.where(on, alive, dead)


def stage(row: Switches) -> Stage:
    """Return the blocks of a row in storage order i f r g o; g splits in two where r comes between."""
    owned = gates(row)
    if row.reset_gate is False:
        return Stage(
            owned.replace("o", "") + "g" + owned[-1:] * owned.endswith("o"), "", "", read_hidden
        )
    return Stage(owned, "g", "g", read_hidden)


def candidate(
    row: Switches,
    p: dict[str, Array],
    z: Array | None,
    r: Array | float,
    pre: Pre,
    slope: float | Array,
) -> Array:
    """Return g where it could not be activated with the gates: linear, or waiting for r."""
    if z is None:
        driven, inner = cast(tuple[Array, Array], (pre.driven, pre.recurred))
        z = driven + r * (inner + pick(row.reset_bias, p["b_hg"], 0.0) if "b_hg" in p else inner)
    return pick(row.squash_input, jnp.tanh(z * slope) / slope, z)


def forget(row: Switches, z: dict[str, Array], now: dict[str, Array]) -> Array | float:
    """Return f: a gate of its own, 1 - s(z_i - shift), or 1."""
    alone = pick(row.forget_gate, now.get("f", 1.0), 1.0)
    if row.coupled is False:
        return alone
    still = isinstance(row.shift, float) and row.shift == 0.0
    return pick(row.coupled, 1.0 - (now["i"] if still else sigmoid(z["i"] - row.shift)), alone)


def written(
    own: Switches, weights: Weights, z: tuple[Pre, ...], carry: Carry | Hidden, taken: Inside
) -> tuple[dict[str, Array | float], Array]:
    """Return the gates and the candidate by letter, a dead gate as 1, and c'."""
    row = own if weights.row is None else completed(own, weights.row)
    p, (pre,) = weights.p, z
    c = carry.c if isinstance(carry, Carry) else carry.h

    def seen(gate: str, z: Array, c: Array) -> Array:
        return (
            z + pick(getattr(row, f"peephole_{gate}"), p[f"p_{gate}"] * c, 0.0)
            if f"p_{gate}" in p
            else z
        )

    names = stage(row).both
    raw = cut(names, pre.both)
    raw |= {gate: seen(gate, raw[gate], c) for gate in "if" if gate in raw}
    late = ("o" if "p_o" in p else "") + ("g" if row.squash_input is not True else "")
    early = "".join(name for name in names if name not in late)
    slope = pick(row.half_slope, 0.5, 1.0)
    now = (
        activate(early, jnp.concatenate([raw[name] for name in early], -1), slope) if early else {}
    )

    i = pick(row.input_gate, now.get("i", 1.0), 1.0)
    r = pick(row.reset_gate, now.get("r", 1.0), 1.0)
    g = now["g"] if "g" in now else candidate(row, p, raw.get("g"), r, pre, slope)
    f = forget(row, raw, now)
    c = once(f * c + i * taken(g))
    o = sigmoid(seen("o", raw["o"], c)) if "p_o" in p else now.get("o", 1.0)
    return {"i": i, "f": f, "r": r, "o": pick(row.output_gate, o, 1.0), "g": g}, c


def update(
    own: Switches, weights: Weights, z: tuple[Pre, ...], carry: Carry | Hidden,
    *, taken: Inside = unchanged, view: Inside = unchanged,
) -> Carry | Hidden:  # fmt: skip
    """Apply the rule of the module docstring: (z, c) -> (c', h'), no matrix.

    taken: what becomes of g before the memory takes it; view: what the output sees of c'.
    """
    row = own if weights.row is None else completed(own, weights.row)
    now, c = written(own, weights, z, carry, taken)
    shown, slope = view(c), pick(row.half_slope, 0.5, 1.0)
    h = now["o"] * pick(row.squash_output, jnp.tanh(shown * slope), shown)
    return Carry(c, h) if isinstance(carry, Carry) else Hidden(h)


def acting(
    own: Switches, weights: Weights, z: tuple[Pre, ...], carry: Carry | Hidden
) -> dict[str, Array]:
    """Return the gates that are alive, f = 1 - i where they are coupled, and g."""
    now, _ = written(own, weights, z, carry, unchanged)
    return {name: value for name, value in now.items() if not isinstance(value, float | int)}


def init(spec: GateSpec, row: Switches, key: Seed, features: int, hidden: int) -> Weights:
    """Draw the weights of the blocks that a row owns; the rows of one key share their blocks."""
    blocks = stage(row)
    w = initial.blocks(spec.kernel, key, "w_", blocks.both + blocks.driven, (features, hidden))
    r = initial.blocks(spec.recurrent, key, "r_", blocks.both + blocks.recurred, (hidden, hidden))
    b = [block_bias(spec, key, n, hidden) for n in blocks.both + blocks.driven]
    seen = [g for g in gates(row) if g in "ifo" and getattr(row, f"peephole_{g}") is not False]
    p = {f"p_{g}": vector(spec, initial.fold(key, f"p_{g}"), hidden) for g in seen}
    if row.reset_gate is not False and row.reset_bias is not False:
        p["b_hg"] = initial.bias(spec.bias, initial.fold(key, "b_hg"), hidden)
    return Weights(jnp.concatenate(w, -1), jnp.concatenate(b), (jnp.concatenate(r, -1),), p)


def vector(spec: GateSpec, key: Seed, hidden: int) -> Float[Array, "hidden"]:
    """Draw a peephole: zeros, so that it starts as the cell without; N(0, 0.1^2) with Greff's
    start.
    """
    start = "normal" if spec.recurrent == "normal" else "zeros"
    return initial.matrix(start, key, (1, hidden), hidden)[0]


def block_bias(spec: GateSpec, key: Seed, name: str, hidden: int) -> Float[Array, "hidden"]:
    """Draw the bias of a block. A coupled row holds its memory with 1 - i, so its i gets the
    negative.
    """
    base = initial.bias(spec.bias, initial.fold(key, f"b_{name}"), hidden)
    if not spec.forget_gate or name not in "if":
        return base
    starts = (spec.forget_bias, spec.chrono, spec.uniform_gates)
    hold = initial.hold_bias(initial.fold(key, "hold"), hidden, *starts)
    if name == "f":
        return base + hold
    if spec.coupled:
        return base + spec.shift - hold
    return base - hold if spec.chrono else base  # chrono sets b_i = -b_f from the same draw


@cache
def gated(spec: GateSpec) -> Cell:
    """Return the cell of one row: dead parts own no weights and are never computed."""
    row = switches(spec)
    bare = not spec.output_gate and not spec.squash_output
    start = start_hidden if bare else start_carry
    rule = partial(update, row)
    return Cell(
        partial(init, spec, row), start, (stage(row),), rule, emit_hidden,
        gates=partial(acting, row), opened=True,
    )  # fmt: skip
