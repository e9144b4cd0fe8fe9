"""What a function makes of vectors, it makes of every column."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agreement import agree

from lstm_research.columns import NotByColumns, by_columns

N, WIDE = 6, 5


def table(seed: int, rows: int = N):
    return np.random.default_rng(seed).normal(size=(rows, WIDE))


def every(a, b):
    """Use each kind of operation that is known."""
    left, right = jnp.split(a, 2)
    both = jnp.concatenate([right, jnp.tanh(left) * b[:3], jnp.array([1.0, 2.0])])
    steps = jnp.cumsum(both)[1:-1:2].reshape(3, 1)
    mean = both.mean() * jnp.where(a[0] > 0, both, -both)
    return {"x": steps, "y": jnp.clip(mean, -0.5, b.sum())}


def test_columns_are_vectors_side_by_side(float64):
    a, b = table(0), table(1)
    got = jax.jit(by_columns(every))(a, b)
    want = [every(a[:, k], b[:, k]) for k in range(WIDE)]
    agree(got, jax.tree.map(lambda *each: np.stack(each, -1), *want))


def test_gradients_are_those_of_the_vectors(float64):
    a, b, seen = table(0), table(1), table(2, 8)
    loss = lambda f, seen: lambda a, b: (f(a, b)["y"] * seen).sum()
    got = jax.grad(loss(by_columns(every), seen), (0, 1))(a, b)
    each = [jax.grad(loss(every, seen[:, k]), (0, 1))(a[:, k], b[:, k]) for k in range(WIDE)]
    agree(got, tuple(np.stack(column, -1) for column in zip(*each, strict=True)))


def test_what_no_column_enters_is_the_same_for_all(float64):
    shared = np.arange(3.0)
    got = by_columns(lambda a: (jnp.sort(shared) * 2.0, a[:3] + jnp.sin(shared)))(table(0))
    agree(got[0], np.repeat(2.0 * shared[:, None], WIDE, 1))
    agree(got[1], table(0)[:3] + np.sin(shared)[:, None])


def test_an_unknown_operation_is_refused_by_name():
    with pytest.raises(NotByColumns, match="dot_general is not known for columns"):
        by_columns(lambda a: a @ jnp.ones((N, 2)))(table(0))
