"""Products whose operands are rounded: bfloat16 or float16 in, float32 sums out.

Everything between two products (the state, the gates, the sums of gradients) keeps the precision of
the arrays. The rounding goes straight through: the cotangents of a product are products of rounded
operands themselves. float16 holds nothing below 6e-8, and cotangents of a mean over many steps are
smaller, so with float16 the products of the backward pass take bfloat16, which has the range of
float32; no loss has to be scaled. "float32" leaves products to JAX: on a GPU those of float32 arrays
take TF32 unless `jax_default_matmul_precision` says otherwise.

Source: Micikevicius et al. 2018 (arXiv:1710.03740), float32 sums; Kalamkar et al. 2019
(arXiv:1905.12322), bfloat16 without scaling.
"""

# JAX leaves types unknown in its own signatures:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from functools import partial, reduce
from typing import Literal

import jax
import jax.numpy as jnp
from jax import lax

from lstm_research.axes import Array

Precision = Literal["float32", "bfloat16", "float16"]
FEW = 4  # numbers to add up, at most, for which a loop beats a matrix product: it adds a bias as it goes


def backwards(precision: Precision) -> Precision:
    """Return the precision of the products of the backward pass."""
    return "bfloat16" if precision == "float16" else precision


def narrow(a: Array, precision: Precision) -> Array:
    """Return an operand as a product takes it: rounded, unless precision is "float32"."""
    return a if precision == "float32" else a.astype(precision)


def coarse(a: Array, precision: Precision) -> Array:
    """Return an operand rounded, in the type that it has; XLA takes two conversions for none."""
    bits = {"bfloat16": (8, 7), "float16": (5, 10)}
    return a if precision == "float32" else lax.reduce_precision(a, *bits[precision])


def dot(a: Array, b: Array, precision: Precision = "float32", few: bool = False) -> Array:
    """Return a b, `... k` times `k n`; "float32" rounds nothing, and float64 then stays float64.

    few: where k is small, as a sum of k products of numbers, which a bias joins in one loop.
    """
    if precision == "float32":
        return a @ b
    return rounded(a, b, precision, few and 0 < len(b) <= FEW)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def rounded(a: Array, b: Array, precision: Precision, few: bool) -> Array:
    """Return a b of rounded operands, summed in float32."""
    sums = (((a.ndim - 1,), (0,)), ((), ()))
    if few:
        left, right = (coarse(each, precision).astype(jnp.float32) for each in (a, b))
        wide = reduce(jnp.add, (left[..., k : k + 1] * right[k] for k in range(len(b))))
    else:
        operands = narrow(a, precision), narrow(b, precision)
        wide = lax.dot_general(*operands, sums, preferred_element_type=jnp.float32)
    return wide.astype(jnp.result_type(a, b))


def forward(
    a: Array, b: Array, precision: Precision, few: bool
) -> tuple[Array, tuple[Array, Array]]:
    """Return the product, and its operands."""
    return rounded(a, b, precision, few), (a, b)


def backward(
    precision: Precision, few: bool, saved: tuple[Array, Array], cotangent: Array
) -> tuple[Array, Array]:
    """Return the cotangents of both operands."""
    a, b = saved
    back, flat = backwards(precision), cotangent.reshape(-1, cotangent.shape[-1])
    d_b = dot(a.reshape(-1, a.shape[-1]).T, flat, back)
    return dot(cotangent, b.T, back).astype(a.dtype), d_b.astype(b.dtype)


rounded.defvjp(forward, backward)
