"""The mLSTM of xLSTM: a matrix of keys and values as memory, and gates that grow exponentially."""

import dataclasses
from functools import cache, partial
from typing import Literal, NamedTuple, cast

import jax
import jax.numpy as jnp

from lstm_research import initial, linear
from lstm_research.activation import sigmoid
from lstm_research.axes import Array, Float, Seed, Tree
from lstm_research.cell import Cell, Pre, Stage, Weights, emit_hidden

LOWEST = -1e4  # m before the first step: a gate below it is 0 in any case
STEEP = 80.0  # exp of it is finite in float32


@dataclasses.dataclass(frozen=True)
class Mlstm:
    """The long short-term memory with a matrix memory (mLSTM), `heads` of them side by side.

    ::

        q = x W_q + b_q      k = (x W_k + b_k) / sqrt(H/N)      v = x W_v + b_v       cut in N heads
        o = s(x W_o + b_o)   z_i = x W_i + b_i                  z_f = x W_f + b_f     one a head
        m' = max(log s(z_f) + m, z_i)        i = exp(z_i - m')      f = exp(log s(z_f) + m - m')
        C' = f C + i v^T k                   n' = f n + i k         in each head
        h' = o (C' q^T) / max(|n' q^T|, exp(-m'))

    Linear in C and n, and m' is a maximum of sums. m cancels in h: it equals the recursion without
    it, whose denominator is max(|n q^T|, 1). In the carry C, n and m are flat, C head by head with v
    along the rows. exp(-m') is held below exp(80): there h' is 0 in float32, and has a gradient.
    Parameters: 4HD + 4H + 2ND + 2N, N = heads. Source: Beck et al. 2024 (arXiv:2405.04517);
    equations as in the authors' code, the o and the widths of the paper from memory, the paper was
    not read. Departures: m starts at -1e4; gates hear x (q, k and v in the code); no convolution, no
    norm after, no 1e-6 in the denominator; b_f starts at forget_bias (3 to 6 in the code).
    """

    kind: Literal["mlstm"] = "mlstm"
    heads: int = 1
    kernel: initial.Start = "lecun"
    bias: initial.BiasStart = "zeros"
    forget_bias: float = 1.0

    def __post_init__(self) -> None:
        if self.heads < 1:
            raise ValueError(f"heads={self.heads} is not a whole number from 1 on")

    @cache  # noqa: B019 (equal specs are one cell, and there are few)
    def build(self) -> Cell:
        """Return the cell."""
        heads = self.heads
        levels = (
            linear.Level(lambda carry: carry.m, partial(highest, heads), "max"),
            linear.Level(lambda carry: carry.c, partial(remember, heads)),
            linear.Level(lambda carry: carry.n, partial(normalise, heads)),
        )
        steps = linear.Linear(levels, partial(gather, heads))
        return Cell(
            partial(init, self),
            partial(start, heads),
            (Stage("", "z", "", None),),
            linear.update(steps),
            emit_hidden,
            cut=lambda zx: ((None, zx),),
            sizes=partial(sizes, heads),
            gates=partial(acting, heads, levels),
            linear=steps,
        )


class Matrix(NamedTuple):
    """The carry: the memory, its normaliser, the stabiliser, and the output."""

    c: Float[Array, "*batch squares"]
    n: Float[Array, "*batch hidden"]
    m: Float[Array, "*batch heads"]
    h: Float[Array, "*batch hidden"]


def start(heads: int, batch: tuple[int, ...], hidden: int, dtype: Tree = None) -> Matrix:
    """Return an empty memory."""
    empty = partial(jnp.zeros, dtype=dtype)
    square = empty((*batch, hidden * (hidden // heads)))
    n, m = empty((*batch, hidden)), jnp.full_like(empty((*batch, heads)), LOWEST)
    return Matrix(square, n, m, n)


def init(spec: Mlstm, key: Seed, features: int, hidden: int) -> Weights:
    """Draw the blocks q k v o, as wide as the cell, and i f, a column a head."""
    if hidden % spec.heads:
        raise ValueError(f"heads={spec.heads} does not divide hidden={hidden}")
    w, b = [], []
    for n in "qkvoif":
        wide = spec.heads if n in "if" else hidden
        fold = partial(initial.fold, key)
        w.append(initial.matrix(spec.kernel, fold(f"head_{n}"), (features, wide), hidden))
        b.append(initial.bias(spec.bias, fold(f"b_{n}"), wide))
    b[-1] = b[-1] + spec.forget_bias
    return Weights(jnp.concatenate(w, -1), jnp.concatenate(b), (None,), {})


def sizes(heads: int, weights: Weights) -> tuple[int, int]:
    """Return (features, hidden)."""
    features, wide = cast(Array, weights.w).shape  # an mLSTM has one
    return features, (wide - 2 * heads) // 4


class Parts(NamedTuple):
    """The pre-activations; q, k and v as `.. heads each`."""

    q: Array
    k: Array
    v: Array
    o: Array
    i: Float[Array, "*any heads"]
    f: Float[Array, "*any heads"]  # log s(z_f)


def parts(heads: int, z: tuple[Pre, ...]) -> Parts:
    """Cut the one stage."""
    flat = cast(Array, z[0].driven)  # the one stage is driven
    wide = flat.shape[-1] - 2 * heads
    q, k, v, o = jnp.split(flat[..., :wide], 4, -1)
    i, f = jnp.split(flat[..., wide:], 2, -1)
    q, k, v = (part.reshape(*part.shape[:-1], heads, -1) for part in (q, k, v))
    return Parts(q, k * k.shape[-1] ** -0.5, v, o, i, jax.nn.log_sigmoid(f))


def highest(
    heads: int, weights: Weights, z: tuple[Pre, ...], pairs: tuple[linear.Pair, ...]
) -> tuple[Array, Array]:
    """Return log s(z_f) and z_i, the sides of the maximum m'."""
    now = parts(heads, z)
    return now.f, now.i


def gates(now: Parts, pairs: tuple[linear.Pair, ...]) -> tuple[Array, Array]:
    """Return i and f, once the stabiliser is known before and after."""
    before, after = pairs[0]
    return jnp.exp(now.i - after), jnp.exp(now.f + before - after)


def acting(
    heads: int, levels: tuple[linear.Level, ...], weights: Weights, z: tuple[Pre, ...],
    carry: Matrix,
) -> dict[str, Array]:  # fmt: skip
    """Return i and f of each head, divided by exp(m'), and o of each unit."""
    now = parts(heads, z)
    i, f = gates(now, linear.advance(levels[:1], weights, z, carry))
    return {"i": i, "f": f, "o": sigmoid(now.o)}


def remember(
    heads: int, weights: Weights, z: tuple[Pre, ...], pairs: tuple[linear.Pair, ...]
) -> tuple[Array, Array]:
    """Return f and i v^T k."""
    now = parts(heads, z)
    i, f = gates(now, pairs)
    outer = (i[..., None] * now.v)[..., None] * now.k[..., None, :]
    outer = outer.reshape(*i.shape[:-1], -1)
    return jnp.repeat(f, outer.shape[-1] // heads, -1), outer


def normalise(
    heads: int, weights: Weights, z: tuple[Pre, ...], pairs: tuple[linear.Pair, ...]
) -> tuple[Array, Array]:
    """Return f and i k."""
    now = parts(heads, z)
    i, f = gates(now, pairs)
    key = (i[..., None] * now.k).reshape(*i.shape[:-1], -1)
    return jnp.repeat(f, key.shape[-1] // heads, -1), key


def gather(
    heads: int, weights: Weights, z: tuple[Pre, ...], pairs: tuple[linear.Pair, ...]
) -> Matrix:
    """Ask the memory for q and return all states."""
    now = parts(heads, z)
    (_, m), (_, c), (_, n) = pairs
    square = c.reshape(*now.v.shape, -1)
    answer = jnp.einsum("...vk,...k->...v", square, now.q)
    size = jnp.abs((n.reshape(now.q.shape) * now.q).sum(-1))
    least = jnp.exp(jnp.minimum(-m, STEEP))
    h = sigmoid(now.o) * (answer / jnp.maximum(size, least)[..., None]).reshape(n.shape)
    return Matrix(c, n, m, h)
