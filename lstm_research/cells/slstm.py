"""sLSTM: exponential gates, a normaliser beside the memory, and recurrence within heads alone."""

import dataclasses
from functools import cache, partial
from typing import Literal, NamedTuple, cast

import jax
import jax.numpy as jnp

from lstm_research import initial
from lstm_research.activation import activate, once
from lstm_research.axes import Array, Float, Seed, Tree
from lstm_research.cell import Cell, Pre, Stage, Weights, read_hidden

FIRST = -1e30  # m before any step: finite, and exp(FIRST - m) is 0 in every precision


@dataclasses.dataclass(frozen=True)
class Slstm:
    """The sLSTM of the xLSTM: a scalar memory with exponential gates.

    ::

        z_k = x W_k + h R_k + b_k               R_k block-diagonal: each head hears itself alone
        l = log s(z_f)                          or z_f, with forget = exp
        m' = max(l + m, z_i)
        i = exp(z_i - m')                       f = exp(l + m - m')
        g = tanh(z_g)                           o = s(z_o)
        c' = f c + i g                          n' = f n + i
        h' = o c' / n'

    m only keeps the exponents small: it cancels in c / n. c, h, n start at 0 and m at -1e30, so
    that n is exactly 1 after the first step and not less later. Parameters, N the heads: 4HD +
    4H^2/N + 4H. b_f starts, over the units j = 0 .. E - 1 of each head, as

        powerlaw   5 - 12 (j / (E - 1))^0.3     from 5 to -7; 0.3 is for the first or only block
        linspace   3 .. 6
        constant   forget_bias

    Source: Beck et al. 2024 (arXiv:2405.04517), equations and starts as in the authors' code; the
    paper was not read. Departures: W is dense where the code has a block a head, and starts as the
    W of other cells where the code has `small`; no convolution before i and f, no norm behind h.
    """

    kind: Literal["slstm"] = "slstm"
    heads: int = 2
    forget: Literal["sigmoid", "exp"] = "sigmoid"
    kernel: initial.Start = "lecun"
    recurrent: initial.Start = "zeros"
    bias: initial.BiasStart = "zeros"
    forget_start: Literal["powerlaw", "linspace", "constant"] = "powerlaw"
    forget_bias: float | None = None  # None: 1 where forget_start is constant

    def __post_init__(self) -> None:
        if self.heads < 1:
            raise ValueError(f"heads={self.heads} must be at least 1")
        if self.forget not in ("sigmoid", "exp"):
            raise ValueError(f"forget={self.forget!r} is not one of sigmoid, exp")
        if self.forget_start not in ("powerlaw", "linspace", "constant"):
            raise ValueError(
                f"forget_start={self.forget_start!r} is not one of powerlaw, linspace, constant"
            )
        if self.forget_start == "constant":
            if self.forget_bias is None:
                object.__setattr__(self, "forget_bias", 1.0)
        elif self.forget_bias is not None:
            raise ValueError(
                f"forget_bias={self.forget_bias} needs forget_start=constant; "
                f"got forget_start={self.forget_start!r}"
            )

    @cache  # noqa: B019 (equal specs are one cell, and there are few)
    def build(self) -> Cell:
        """Return the cell."""
        stages = (Stage("ifgo", "", "", read_hidden),)
        steep = self.forget == "exp"
        return Cell(
            partial(init, self), start, stages, partial(update, steep), lambda carry: carry.h,
            gates=partial(gates, steep),
        )  # fmt: skip


class Stabilised(NamedTuple):
    """The carry: memory, output, normaliser and the exponent that c and n are divided by."""

    c: Float[Array, "*batch hidden"]
    h: Float[Array, "*batch hidden"]
    n: Float[Array, "*batch hidden"]
    m: Float[Array, "*batch hidden"]


def start(batch: tuple[int, ...], hidden: int, dtype: Tree = None) -> Stabilised:
    """Return c = h = n = 0, and an m that no input is below."""
    zero = jnp.zeros((*batch, hidden), dtype)
    return Stabilised(zero, zero, zero, jnp.full_like(zero, FIRST))


def init(spec: Slstm, key: Seed, features: int, hidden: int) -> Weights:
    """Draw i f g o, of R a matrix a head; raise ValueError where heads would differ in width."""
    if hidden % spec.heads:
        raise ValueError(f"heads={spec.heads} must divide hidden, which is {hidden}")
    each = hidden // spec.heads
    draw, hold = (
        partial(initial.matrix, hidden=hidden),
        jnp.tile(forget_bias(spec, each), spec.heads),
    )
    w = initial.blocks(spec.kernel, key, "w_", "ifgo", (features, hidden))
    r = [
        [draw(spec.recurrent, initial.fold(key, f"r_{n}{head}"), (each, each)) for n in "ifgo"]
        for head in range(spec.heads)
    ]
    b = initial.biases(spec.bias, key, "ifgo", hidden, f=hold)
    matrix = jnp.stack([jnp.stack(blocks, 1) for blocks in r])
    return Weights(jnp.concatenate(w, -1), jnp.concatenate([*b.values()]), (matrix,), {})


def forget_bias(spec: Slstm, each: int) -> Float[Array, "each"]:
    """Return the start of b_f in one head."""
    if spec.forget_bias is not None:
        return jnp.full(each, spec.forget_bias, jnp.zeros(()).dtype)
    if spec.forget_start == "linspace":
        return jnp.linspace(3.0, 6.0, each)
    return 5.0 - 12.0 * (jnp.arange(each) / max(each - 1, 1)) ** 0.3


def written(
    exponential: bool, z: tuple[Pre, ...], carry: Stabilised
) -> tuple[dict[str, Array], Array]:
    """Return i, f, g and o, and m'."""
    both = cast(Array, z[0].both)  # the one stage has blocks in `both`
    z_i, z_f, z_g, z_o = jnp.split(both, 4, -1)
    kept = carry.m + (z_f if exponential else jax.nn.log_sigmoid(z_f))
    m = jnp.maximum(kept, z_i)
    i, f = jnp.exp(z_i - m), jnp.exp(kept - m)
    return activate("go", jnp.concatenate([z_g, z_o], -1)) | {"i": i, "f": f}, m


def gates(
    exponential: bool, weights: Weights, z: tuple[Pre, ...], carry: Stabilised
) -> dict[str, Array]:
    """Return o, g, and i and f divided by exp(m'): the larger of the two is 1."""
    return written(exponential, z, carry)[0]


def update(
    exponential: bool, weights: Weights, z: tuple[Pre, ...], carry: Stabilised
) -> Stabilised:
    """Apply the equations of `Slstm`."""
    now, m = written(exponential, z, carry)
    f, i = now["f"], now["i"]
    c, n = once((f * carry.c + i * now["g"], f * carry.n + i))
    return Stabilised(c, now["o"] * c / n, n, m)
