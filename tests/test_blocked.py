"""A function of whole vectors, run block by block, is the function."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agreement import agree

from lstm_research.blocked import call, program
from lstm_research.blockwise import Unblockable

ROWS, HIDDEN, WIDE = 2, 3, 16
RNG = np.random.default_rng(0)


def wide(array, filler=np.nan):
    """Return the blocks of an array with dead units that hold the filler."""
    blocks = np.split(np.asarray(array), array.shape[-1] // HIDDEN, -1)
    return [np.pad(b, ((0, 0), (0, WIDE - HIDDEN)), constant_values=filler) for b in blocks]


def run(f, array, matrix=None):
    """Return (made program, what it returns cut back to live units, the function's own)."""
    made = program(f, (array,), () if matrix is None else matrix, HIDDEN, WIDE)
    blocks = [] if matrix is None else [
        np.pad(matrix[i : i + HIDDEN, j : j + HIDDEN], ((0, WIDE - HIDDEN),) * 2)
        for i in range(0, len(matrix), HIDDEN) for j in range(0, matrix.shape[1], HIDDEN)
    ]  # fmt: skip
    out = call(made, [*wide(array), *blocks])
    live = jnp.concatenate([block[:, :HIDDEN] for block in out], -1)
    return made, live, f(array, () if matrix is None else matrix)


X = RNG.normal(size=(ROWS, 2 * HIDDEN)).astype("f4")
R = RNG.normal(size=(2 * HIDDEN, 3 * HIDDEN)).astype("f4")


@pytest.mark.parametrize(
    "f",
    [
        lambda x, _: jnp.tanh(x) * 2 + jnp.maximum(x, 0.5),
        lambda x, _: jnp.concatenate([x[:, HIDDEN:], x[:, :HIDDEN], x], -1),
        lambda x, _: jnp.where(x > 0, jax.nn.log_sigmoid(x), x**3),
        lambda x, _: x * jnp.repeat(jnp.array([0.5, 2.0]), HIDDEN),
        lambda x, _: jax.vjp(lambda v: jnp.split(jnp.exp(v), 2, -1)[1], x)[1](x[:, :HIDDEN])[0],
    ],
    ids=["elementwise", "cuts and joins", "choices", "numbers a block", "a derivative"],
)
def test_equations_of_units_alone(f):
    _, got, want = run(f, X)
    agree(got, want)


def test_a_product_hears_no_dead_unit():
    """They hold NaN here."""
    _, got, want = run(lambda x, r: jnp.tanh(x) @ r, X, R)
    agree(got, want)


def test_what_no_output_needs_is_neither_computed_nor_read():
    made, got, want = run(lambda x, _: jnp.sin(jnp.cos(x)[:, HIDDEN:]), X)
    agree(got, want)
    assert made.used == (False, True) and len(made.equations) == 2


@pytest.mark.parametrize(
    ("f", "reason"),
    [
        (lambda x, _: x - x.mean(-1, keepdims=True), "reduce_sum joins the units"),
        (lambda x, _: jnp.cumsum(x, -1), "cumsum joins the units"),
        (lambda x, _: x[:, 1 : 1 + HIDDEN], "goes through a block"),
        (lambda x, _: x * jnp.arange(2.0 * HIDDEN), "differs between units"),
        (lambda x, _: jnp.einsum("rk,sk->rs", x, x), "not one with a recurrent matrix"),
        (lambda x, r: x @ (2 * r), "mul changes a recurrent matrix"),
    ],
)
def test_what_joins_units_is_refused_by_name(f, reason):
    with pytest.raises(Unblockable, match=reason):
        run(f, X, R)
