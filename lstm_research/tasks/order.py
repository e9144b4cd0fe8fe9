"""Which sequences make a training batch when every one of them comes once an epoch.

A batch is a function of (key, step): a resumed run needs no place in its epoch. Batches run on from
one epoch into the next, so that none is short.
"""

from itertools import pairwise

import jax
import jax.numpy as jnp
from jax import lax

from lstm_research.axes import Array, Int, Seed

SORTED = 1024  # sequences: sorting more takes longer than walking to a batch of them
ROUNDS = 6  # of the network that shuffles without sorting


def order(key: Seed, step: Int[Array, ""] | int, size: int, count: int) -> Int[Array, "size"]:
    """Return which of `count` sequences make batch `step`, each epoch in an order of its own.

    Epoch e is permutation(fold_in(key, e)); with more than SORTED sequences it is `walked` with that
    key, whose cost does not grow with their number.
    """
    first = jnp.asarray(step) * size
    if count > SORTED:
        place = first + jnp.arange(size)
        one = lambda epoch, at: walked(jax.random.fold_in(key, epoch), at, count)
        return jax.vmap(one)(place // count, place % count)
    epochs = first // count + jnp.arange((size + count - 2) // count + 1)
    shuffled = jax.vmap(lambda epoch: _permutation(key, epoch, count))(epochs)
    return shuffled.ravel()[first % count + jnp.arange(size)]


def _permutation(key: Seed, epoch: Int[Array, ""], count: int) -> Int[Array, "count"]:
    return jax.random.permutation(jax.random.fold_in(key, epoch), count)


def walked(key: Seed, at: Int[Array, ""], count: int) -> Int[Array, ""]:
    """Return where a shuffle of 0..count-1 sends `at`, without computing the rest of it.

    A Feistel network permutes the numbers of 2k bits; where it leads outside 0..count-1 it is
    applied again (cycle walking: Black & Rogaway 2002), which permutes those inside.
    """
    half = max(1, -(-(count - 1).bit_length() // 2))
    low = jnp.uint32((1 << half) - 1)
    keys = jax.random.bits(key, (ROUNDS,), jnp.uint32)

    def once(x: Array) -> Array:
        left, right = x >> half, x & low
        for k in keys:
            left, right = right, left ^ (_mixed(right ^ k) & low)
        return (left << half) | right

    inside = lax.while_loop(lambda x: x >= count, once, once(jnp.asarray(at).astype(jnp.uint32)))
    return inside.astype(jnp.int32)


def _mixed(x: Array) -> Array:
    """Return a 32-bit number whose every bit depends on every bit of x (the finalizer of MurmurHash3)."""
    x = (x ^ (x >> 16)) * jnp.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * jnp.uint32(0xC2B2AE35)
    return x ^ (x >> 16)


def portions(count: int, most: int) -> list[slice]:
    """Return slices of at most `most` that cover 0..count-1 in order, of two lengths at most."""
    many = max(1, -(-count // most))
    ends = [count * k // many for k in range(many + 1)]
    return [slice(a, b) for a, b in pairwise(ends)]
