"""Random keys whose bits are JAX's own, drawn on a CPU by machine code.

XLA compiles each draw of Threefry there as a loop of five turns, of sixteen small calls each: a tenth of a
training step of a small cell, and a third of what is compiled for it. Here the hash is one call of a function
(`native_random.py`); elsewhere it is JAX's.
"""

# JAX leaves types unknown in its own signatures:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import math
from functools import cache, partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import ShapedArray
from jax.extend import core
from jax.extend.random import define_prng_impl, threefry2x32_p, threefry_prng_impl
from jax.interpreters import batching, mlir

from lstm_research.axes import Array, Seed

WRITER = "lstm_research.native_random"  # imported where a program asks: it needs llvmlite
NAME, TAG, THEIRS = "lstm_research_threefry", "lstm", threefry_prng_impl


def key(seed: Any) -> Seed:
    """Return `jax.random.key(seed)` whose draws are machine code where this process has a CPU for them."""
    return jax.random.key(seed, impl=generator())


def fast(key: Seed) -> Seed:
    """Return a key of JAX's Threefry as one of `key`, which draws the same; another as it is."""
    ours = generator()
    if ours is None or jax.random.key_impl(key) != THEIRS.name:
        return key
    return jax.random.wrap_key_data(jax.random.key_data(key), impl=ours)


def plain(key: Seed) -> Seed:
    """Return a key of `key` as one of JAX's, which alone may cross the border of an exported program."""
    if f"{key.dtype}" != f"key<{TAG}>":
        return key
    return jax.random.wrap_key_data(jax.random.key_data(key), impl=THEIRS.name)


def generator() -> Any:
    """Return the implementation of keys for programs of this process; None: JAX's own."""
    config: Any = jax.config
    able = config.jax_threefry_partitionable and find_spec("llvmlite") is not None
    return made() if able and jax.default_backend() == "cpu" else None


@cache
def made() -> Any:
    """Return the implementation, told to JAX once."""
    return define_prng_impl(
        key_shape=(2,), seed=THEIRS.seed, split=split, random_bits=bits, fold_in=fold_in, name=NAME,
        tag=TAG,
    )  # fmt: skip


def counts(shape: tuple[int, ...]) -> tuple[Array, Array]:
    """Return 0, 1, .. in a shape: the upper halves of its numbers, the lower halves."""
    if (size := math.prod(shape)) >= 2**32:
        raise NotImplementedError(f"{size:,} random numbers at once are more than 2^32")
    return jnp.zeros(shape, np.uint32), lax.iota(np.uint32, size).reshape(shape)


@partial(jax.jit, static_argnums=1)
def split(pair: Array, shape: tuple[int, ...]) -> Array:
    """Return keys in a shape."""
    return jnp.stack(hashed.bind(*pair, *counts(shape)), -1)


@jax.jit
def fold_in(pair: Array, number: Any) -> Array:
    """Return the key of a number under a key."""
    return jnp.stack(hashed.bind(*pair, *THEIRS.seed(number)))


@partial(jax.jit, static_argnums=(1, 2))
def bits(pair: Array, width: int, shape: tuple[int, ...]) -> Array:
    """Return integers of so many bits."""
    if width not in (8, 16, 32, 64):
        raise TypeError(f"width={width} is not one of 8, 16, 32, 64")
    x, y = hashed.bind(*pair, *counts(shape))
    kind = np.dtype(f"uint{width}")
    if width == 64:
        return x.astype(kind) << np.uint64(32) | y.astype(kind)
    return (x ^ y).astype(kind)


def shapes(*operands: Any) -> list[ShapedArray]:
    """Return the shapes of a hash of four arrays that broadcast."""
    shape = np.broadcast_shapes(*(each.shape for each in operands))
    return [ShapedArray(shape, np.dtype(np.uint32))] * 2


def lowered(context: Any, *operands: Any) -> Any:
    """Call the hash on flat arrays; a key for all numbers is passed on as one."""
    shape, size = context.avals_out[0].shape, math.prod(context.avals_out[0].shape)
    one = all(math.prod(each.shape) == 1 for each in context.avals_in[:2])
    kinds = [jax.ShapeDtypeStruct((size,), np.dtype(np.uint32))] * 2
    call = jax.ffi.ffi_call(import_module(WRITER).registered(one), kinds)
    flattened = lambda each: jnp.broadcast_to(each, shape).reshape(size)

    def flat(*operands: Array) -> list[Array]:
        keys = [each.reshape(1) if one else flattened(each) for each in operands[:2]]
        return [y.reshape(shape) for y in call(*keys, *map(flattened, operands[2:]))]

    return mlir.lower_fun(flat, multiple_results=True)(context, *operands)


hashed = core.Primitive(NAME)
hashed.multiple_results = True
hashed.def_abstract_eval(shapes)
hashed.def_impl(jax.jit(hashed.bind))
batching.defbroadcasting(hashed)
elsewhere = mlir.lower_fun(threefry2x32_p.bind, multiple_results=True)
mlir.register_lowering(hashed, elsewhere)
mlir.register_lowering(hashed, lowered, platform="cpu")
