"""Jacobians of a step equal finite differences; their products are derivatives over many steps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agreement import agree
from blocks import random_carry, random_weights

from lstm_research import catalogue
from lstm_research.analysis.jacobian import (
    TooLarge,
    carried,
    fitting,
    jacobians,
    memory,
    parts,
    spectrum,
)  # fmt: skip
from lstm_research.cells import CELLS
from lstm_research.engines import unroll

pytestmark = pytest.mark.usefixtures("float64")

T, D, H, TINY = 4, 2, 3, 1e-6


def problem(name):
    cell = catalogue.spec(CELLS, "cell", name, {}).build()
    x = np.random.default_rng(0).normal(size=(T, D))
    return cell, random_weights(cell, D, H), random_carry(cell, (), H), x


def ended(cell, weights, flat, unravel, x):
    carry, _ = unroll(cell, weights, jax.tree.map(lambda a: a[None], unravel(flat)), x[:, None])
    return np.concatenate([np.asarray(leaf).ravel() for leaf in jax.tree.leaves(carry)])


@pytest.mark.parametrize("name", ["lstm", pytest.param("mgu", marks=pytest.mark.slow)])
def test_the_jacobian_of_a_step_equals_finite_differences(name):
    cell, weights, carry, x = problem(name)
    flat, unravel = jax.flatten_util.ravel_pytree(carry)
    found = jacobians(cell, weights, carry, x)
    for t in range(2):
        columns = [
            (ended(cell, weights, flat + e, unravel, x[t : t + 1])
             - ended(cell, weights, flat - e, unravel, x[t : t + 1])) / (2 * TINY)
            for e in TINY * np.eye(flat.size)
        ]  # fmt: skip
        agree(found[t], np.stack(columns, 1), 1e-7)
        flat = jnp.asarray(ended(cell, weights, flat, unravel, x[t : t + 1]))


def test_products_of_jacobians_are_the_derivative_over_all_steps():
    cell, weights, carry, x = problem("lstm")
    flat, unravel = jax.flatten_util.ravel_pytree(carry)
    part = parts(carry)[memory(carry)]
    norms = carried(jacobians(cell, weights, carry, x), part)
    columns = [
        (ended(cell, weights, flat + e, unravel, x) - ended(cell, weights, flat - e, unravel, x))
        / (2 * TINY)
        for e in TINY * np.eye(flat.size)
    ]
    whole = np.stack(columns, 1)[part, part]
    assert norms[0] == 1 and len(norms) == T + 1
    np.testing.assert_allclose(norms[T], np.linalg.svd(whole)[1][0], rtol=1e-6)


def test_the_spectrum_of_a_rotation_lies_on_the_unit_circle():
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    found = spectrum(np.stack([turn, 3 * turn]))
    np.testing.assert_allclose(np.abs(found.eigenvalues), [[1, 1], [3, 3]])
    np.testing.assert_allclose(found.singular, [[1, 1], [3, 3]])


def test_the_memory_is_c_where_there_is_one():
    assert memory(problem("lstm")[2]) == "c" and memory(problem("gru")[2]) == "h"
    assert memory(problem("lem")[2]) == "z"
    assert parts(problem("lstm")[2]) == {"c": slice(0, 3), "h": slice(3, 6)}


def test_a_memory_that_is_too_large_is_refused_with_its_size():
    wide = {"c": jax.ShapeDtypeStruct((10_000,), float)}
    with pytest.raises(TooLarge, match="10,000"):
        fitting(wide, 5)
    assert fitting({"c": jax.ShapeDtypeStruct((4,), float)}, 5) == 5
