"""How weights start, as data: a name for each matrix, a rule for the biases of the gates.

Every block draws from a key folded by its own name. Adding a gate never moves the others, so two
variants with one seed share the random numbers of the blocks that they share.
"""

import zlib
from collections.abc import Iterable
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp

from lstm_research import kept_program, threefry
from lstm_research.axes import Array, Float, Seed

Start = Literal[
    "lecun", "orthogonal", "glorot", "uniform", "normal", "small", "tiny", "identity", "zeros"
]  # fmt: skip
BiasStart = Literal["zeros", "uniform"]


def fold(key: Seed, name: str) -> Seed:
    """Return the key that belongs to a name, the same in every process and version."""
    return jax.random.fold_in(key, zlib.crc32(name.encode()))


def matrix(start: Start, key: Seed, shape: tuple[int, int], hidden: int) -> Float[Array, "a b"]:
    """Draw one block of a weight matrix; compiled once a shape, for all programs of a sweep.

    lecun       N(0, 1/fan_in), truncated (LeCun et al. 1998)
    orthogonal  a random (semi-)orthogonal block (Saxe et al. 2013, arXiv:1312.6120)
    glorot      U(-a, a), a = sqrt(6 / (fan_in + fan_out)) (Glorot & Bengio 2010)
    uniform     U(-1/sqrt(hidden), 1/sqrt(hidden)), the start of PyTorch
    normal      N(0, 0.1^2), the start of Greff et al. 2015 (arXiv:1503.04069)
    small       N(0, 2/(5 fan_in)) (Nguyen & Salazar 2019, arXiv:1910.05895)
    tiny        N(0, 0.001^2), the input weights of Le, Jaitly & Hinton 2015 (arXiv:1504.00941)
    identity    ones on the diagonal (Le, Jaitly & Hinton 2015, arXiv:1504.00941)
    """
    return kept_program.called(drawn, (start, shape, hidden), threefry.plain(key))


@partial(jax.jit, static_argnums=(0, 1, 2))
def drawn(start: Start, shape: tuple[int, int], hidden: int, key: Seed) -> Float[Array, "a b"]:
    """Draw a block, as `matrix` says."""
    key = threefry.fast(key)
    bound = hidden**-0.5
    draws = {
        "lecun": jax.nn.initializers.lecun_normal(),
        "orthogonal": jax.nn.initializers.orthogonal(),
        "glorot": jax.nn.initializers.glorot_uniform(),
        "uniform": lambda k, s, d: jax.random.uniform(k, s, d, -bound, bound),
        "normal": jax.nn.initializers.normal(0.1),
        "small": jax.nn.initializers.variance_scaling(0.4, "fan_in", "normal"),
        "tiny": jax.nn.initializers.normal(0.001),
        "identity": lambda k, s, d: jnp.eye(*s, dtype=d),
        "zeros": lambda k, s, d: jnp.zeros(s, d),
    }
    return draws[start](key, shape, jnp.zeros(()).dtype)


def bias(start: BiasStart, key: Seed, hidden: int) -> Float[Array, "hidden"]:
    """Draw the bias of one block: zeros, or U(-1/sqrt(hidden), 1/sqrt(hidden))."""
    if start == "zeros":
        return jnp.zeros(hidden)
    return jax.random.uniform(key, (hidden,), minval=-(hidden**-0.5), maxval=hidden**-0.5)


def blocks(
    start: Start, key: Seed, prefix: str, names: Iterable[str], shape: tuple[int, int]
) -> list[Float[Array, "rows hidden"]]:
    """Draw a matrix of `rows hidden` for each name, from the key folded by prefix and name."""
    return [matrix(start, fold(key, prefix + name), shape, shape[1]) for name in names]


def biases(
    start: BiasStart, key: Seed, names: Iterable[str], hidden: int, **added: float | Array
) -> dict[str, Float[Array, "hidden"]]:
    """Draw `b_<name>` for each name in order; added: what is put onto the bias of a name."""
    made = {f"b_{name}": bias(start, fold(key, f"b_{name}"), hidden) for name in names}
    return made | {f"b_{name}": made[f"b_{name}"] + more for name, more in added.items()}


def hold_bias(
    key: Seed, hidden: int, forget_bias: float | None, chrono: float | None, uniform_gates: bool
) -> Float[Array, "hidden"]:
    """Return the bias of a gate whose sigmoid is the share of the memory that is kept.

    forget_bias    that constant, 1 by default (Jozefowicz et al. 2015)
    chrono         log U(1, chrono - 1), chrono the longest lag in steps
                   (Tallec & Ollivier 2018, arXiv:1804.11188)
    uniform_gates  logit U(1/hidden, 1 - 1/hidden) (Gu et al. 2020, arXiv:1910.09890)
    """
    if chrono is not None:
        return jnp.log(jax.random.uniform(key, (hidden,), minval=1.0, maxval=chrono - 1.0))
    if uniform_gates:
        edge = min(1.0 / hidden, 0.5)
        share = jax.random.uniform(key, (hidden,), minval=edge, maxval=1.0 - edge)
        return jnp.log(share) - jnp.log1p(-share)
    return jnp.full(hidden, 0.0 if forget_bias is None else forget_bias, jnp.zeros(()).dtype)
