"""The phased LSTM: every unit may write in a share of its own period alone."""

import dataclasses
from functools import cache, partial
from typing import Literal, NamedTuple, cast

import jax
import jax.numpy as jnp
from jax import lax

from lstm_research import initial, stamped
from lstm_research.activation import activate, cut, once, sigmoid
from lstm_research.axes import Array, Float, Seed, Tree
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
from lstm_research.legal import ordered


@dataclasses.dataclass(frozen=True)
class Phased:
    """The phased LSTM: a time gate k, opened by a clock of each unit, lets a step of an LSTM through.

    ::

        phi = ((t - shift) mod tau) / tau            tau = exp(log_period)      r = s(logit_ratio)
        k = 2 phi / r        where phi < r / 2       i = s(x W_i + h R_i + p_i c + b_i)
            2 - 2 phi / r    where phi < r           f = s(x W_f + h R_f + p_f c + b_f)
            leak phi         elsewhere               g = tanh(x W_g + h R_g + b_g)
        a = f c + i g                                o = s(x W_o + h R_o + p_o a + b_o)
        c' = k a + (1 - k) c                         h' = k o tanh(a) + (1 - k) h

    t counts the steps of a sequence from 0, and is the last leaf of the carry. With
    `timestamps=True` it is the last feature of x, in the unit of the periods, W does not see it, and
    the carry is (c, h): for a first layer, since a layer above would take the last unit below for a
    time. Periods start at exp(U(log shortest, log longest)), shifts at U(0, tau), r at `ratio`; all
    three are trained. Through mod flows the gradient of its first argument alone, as if it were t -
    shift: that of tau does not grow with t. The leak is the same in training and in a test; the
    authors' code tests with 0, which the same weights do under `leak=0`. Parameters: 4HD + 4H^2 +
    10H, 4H less D with a time. Source: Neil, Pfeiffer & Liu 2016 (arXiv:1610.09513); the paper was
    not read, equations as in the authors' code (period, ratio and peepholes as vectors) and in
    PhasedLSTMCell of TensorFlow (starts, gradient of mod). Departures: period and ratio are trained
    as logarithm and logit, so that tau > 0 and 0 < r < 1 hold by themselves.
    """

    kind: Literal["phased"] = "phased"
    timestamps: bool = False
    leak: float = 0.001
    ratio: float = 0.05
    shortest: float = 1.0
    longest: float = 1000.0
    peephole: str = "ifo"
    kernel: initial.Start = "lecun"
    recurrent: initial.Start = "orthogonal"
    bias: initial.BiasStart = "zeros"
    forget_bias: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.ratio < 1:
            raise ValueError(f"ratio={self.ratio} is a share and must lie between 0 and 1")
        if not 0 <= self.leak <= 1:
            raise ValueError(f"leak={self.leak} must lie in [0, 1]")
        if not 0 < self.shortest <= self.longest:
            raise ValueError(
                f"shortest={self.shortest} must be more than 0 and at most longest={self.longest}"
            )
        if set(self.peephole) - set("ifo"):
            raise ValueError(f"peephole={self.peephole!r} may hold the letters i, f and o")
        object.__setattr__(self, "peephole", ordered(self.peephole))

    @cache  # noqa: B019 (equal specs are one cell, and there are few)
    def build(self) -> Cell:
        """Return the cell."""
        begin, rule = partial(init, self), partial(update, self.leak)
        acting = partial(gates, self.leak)
        if not self.timestamps:
            stage = Stage("ifgo", "", "", read_hidden)
            return Cell(begin, start_clock, (stage,), rule, lambda carry: carry.h, gates=acting)
        stage = Stage("ifgo", "t", "", read_hidden)
        return Cell(
            begin, start_carry, (stage,), rule, emit_hidden, gates=acting,
            drive=stamped.drive, cut=alone, sizes=stamped.sizes,
        )  # fmt: skip


class Clock(NamedTuple):
    """The carry of a cell that counts its steps."""

    c: Float[Array, "*batch hidden"]
    h: Float[Array, "*batch hidden"]
    t: Float[Array, "*batch 1"]


def start_clock(batch: tuple[int, ...], hidden: int, dtype: Tree = None) -> Clock:
    """Return c = h = t = 0."""
    c = jnp.zeros((*batch, hidden), dtype)
    return Clock(c, c, jnp.zeros((*batch, 1), dtype))


def alone(zx: stamped.Stamped) -> Parts:
    """Return (z, t) of the one stage."""
    return (zx,)


def init(spec: Phased, key: Seed, features: int, hidden: int) -> Weights:
    """Draw the blocks i f g o and the clocks; peepholes start at 0."""
    rows = stamped.rows(features, spec.timestamps)
    w = initial.blocks(spec.kernel, key, "w_", "ifgo", (rows, hidden))
    r = initial.blocks(spec.recurrent, key, "r_", "ifgo", (hidden, hidden))
    b = initial.biases(spec.bias, key, "ifgo", hidden, f=spec.forget_bias)
    p = {f"p_{n}": jnp.zeros(hidden) for n in spec.peephole} | clocks(spec, key, hidden)
    return Weights(
        jnp.concatenate(w, -1), jnp.concatenate([*b.values()]), (jnp.concatenate(r, -1),), p
    )


def clocks(spec: Phased, key: Seed, hidden: int) -> dict[str, Array]:
    """Draw the period, shift and open ratio of each unit."""
    low, high = jnp.log(spec.shortest), jnp.log(spec.longest)
    share = jax.random.uniform(initial.fold(key, "shift"), (hidden,))
    period = jax.random.uniform(initial.fold(key, "period"), (hidden,), minval=low, maxval=high)
    ratio = jnp.log(spec.ratio) - jnp.log1p(-spec.ratio)
    return {
        "log_period": period,
        "shift": share * jnp.exp(period),
        "logit_ratio": jnp.full(hidden, ratio, period.dtype),
    }


def openness(leak: float, p: dict[str, Array], t: Float[Array, "*batch 1"]) -> Array:
    """Return k at a time."""
    tau, ratio, ahead = jnp.exp(p["log_period"]), sigmoid(p["logit_ratio"]), t - p["shift"]
    phi = (ahead - lax.stop_gradient(tau * jnp.floor(ahead / tau))) / tau
    rising = 2.0 * phi / ratio
    closing = jnp.where(phi < ratio, 2.0 - rising, leak * phi)
    return jnp.where(phi < 0.5 * ratio, rising, closing)


def written(
    leak: float, weights: Weights, z: tuple[Pre, ...], carry: Clock | Carry
) -> tuple[dict[str, Array], Array]:
    """Return i, f, g, o and k, and a."""
    p, c, raw = weights.p, carry.c, cut("ifgo", z[0].both)

    def seen(gate: str, c: Array) -> Array:
        return raw[gate] + p[f"p_{gate}"] * c if f"p_{gate}" in p else raw[gate]

    now = activate("ifg", jnp.concatenate([seen("i", c), seen("f", c), raw["g"]], -1))
    a = once(now["f"] * c + now["i"] * now["g"])
    t = carry.t if isinstance(carry, Clock) else cast(Array, z[0].driven)
    return now | {"o": sigmoid(seen("o", a)), "k": openness(leak, p, t)}, a


def gates(
    leak: float, weights: Weights, z: tuple[Pre, ...], carry: Clock | Carry
) -> dict[str, Array]:
    """Return k, o and g, and i and f as they act on c under the clock: k i and 1 - k + k f."""
    now, _ = written(leak, weights, z, carry)
    k = now["k"]
    return now | {"i": k * now["i"], "f": 1.0 - k + k * now["f"]}


def update(
    leak: float, weights: Weights, z: tuple[Pre, ...], carry: Clock | Carry
) -> Clock | Carry:
    """Apply the equations of `Phased`."""
    now, a = written(leak, weights, z, carry)
    k = now["k"]
    c = k * a + (1.0 - k) * carry.c
    h = k * now["o"] * jnp.tanh(a) + (1.0 - k) * carry.h
    return Clock(c, h, carry.t + 1.0) if isinstance(carry, Clock) else Carry(c, h)
