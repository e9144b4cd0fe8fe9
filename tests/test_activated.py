"""A block that is read through its activation alone is kept as that; any other stays what it is."""

import jax
import jax.numpy as jnp
import pytest
from agreement import agree

import lstm_research as lr
from lstm_research import activated, native
from lstm_research.blocked import call, program
from lstm_research.masks import Masks
from lstm_research.whole_step import Shape, flattened

HIDDEN, ROWS = 8, 2
Z, C = (jax.random.normal(jax.random.key(i), (ROWS, HIDDEN)) for i in (0, 1))
HALF = ("mul", 0.5)
TANH = ("tanh", None)


def made(f):
    """Return a program of z and c."""
    return program(f, (Z, C), (), HIDDEN, HIDDEN)


THROUGH = {
    "tanh": (lambda z, c: jnp.tanh(z) * c, (TANH,)),
    "a sigmoid": (lambda z, c: (jnp.tanh(z * 0.5) * 0.5 + 0.5) * c, (HALF, TANH)),
    "logistic": (lambda z, c: jax.nn.sigmoid(z) + c, (("logistic", None),)),
    "a peephole": (lambda z, c: jnp.tanh(0.5 * (z + c * c)), (("add", None), HALF, TANH)),
    "twice": (lambda z, c: jnp.tanh(z) * c + jnp.tanh(z), (TANH,)),
}
APART = {
    "itself": lambda z, c: z * c,
    "itself too": lambda z, c: jnp.tanh(z) + z,
    "two functions": lambda z, c: jnp.tanh(z) + jax.nn.sigmoid(z),
    "two slopes": lambda z, c: jnp.tanh(z * 0.5) + jnp.tanh(z * 2.0),
    "a gated sum": lambda z, c: jnp.tanh(z * c),
    "an output": lambda z, c: jnp.maximum(z, 0.0),
    "nowhere": lambda z, c: c,
}


def ends(path, z, c):
    """Return what is at the end of a path."""
    for name, number in path:
        rule = {"mul": lambda x, n=number: x * n, "tanh": jnp.tanh, "logistic": jax.nn.sigmoid}
        z = z + c * c if name == "add" else rule[name](z)
    return z


@pytest.mark.parametrize("name", THROUGH)
def test_a_value_read_through_one_function_is_replaced_by_what_that_returns(name):
    f, path = THROUGH[name]
    whole = made(lambda z, c, _: f(z, c))
    (found,) = activated.paths(whole, whole.inputs[:1])
    assert found == path
    less = activated.taken(whole, [found])
    assert len(less.equations) < len(whole.equations)
    asked = {id(var) for each in less.equations for var in each.invars} | set(map(id, less.outputs))
    assert all(id(each.outvars[0]) in asked for each in less.equations)  # nothing for nobody
    kept = activated.given(made(lambda z, c, _: (f(z, c), z)), 1, [path])
    ahead = call(kept, [Z, C])
    agree(ahead[1], ends(path, Z, C))
    agree(call(less, [ahead[1], C])[0], f(Z, C))


@pytest.mark.parametrize("name", APART)
def test_a_value_read_in_another_way_stays(name):
    whole = made(lambda z, c, _: APART[name](z, c))
    assert activated.paths(whole, whole.inputs[:1]) == ((),)
    assert activated.taken(whole, [()]) is whole


def test_a_way_back_that_reads_otherwise_is_a_fault():
    whole = made(lambda z, c, _: jnp.tanh(z) + z)
    with pytest.raises(AssertionError, match="not by"):
        activated.taken(whole, [(TANH,)])
    given = made(lambda z, c, _: (jnp.tanh(z), z))
    with pytest.raises(AssertionError, match="not by"):
        activated.taken(given, [(TANH,)])
    unread = made(lambda z, c, _: c)
    assert activated.taken(unread, [(TANH,)]).outputs == unread.outputs


def kept(name, hidden=HIDDEN):
    """Return which blocks the native engine keeps as activations."""
    cell = lr.cell(name)
    weights = cell.init(jax.random.key(0), 20, hidden)
    zx = jnp.zeros((3, ROWS, weights.w.shape[1]))
    carry = cell.start((ROWS,), hidden)
    data, _ = flattened(cell, weights, None, carry, zx, Masks(None, None))
    return native.known(Shape(cell, hidden, False), data)


@pytest.mark.parametrize(
    ("name", "count"),
    [("lstm", 4), ("cifg", 3), ("peephole", 4), ("greff/v", 4), ("gru", 2), ("gru_before", 3)],
)
def test_gates_are_kept_as_activations(name, count):
    assert sum(map(bool, kept(name))) == count


def test_what_a_product_after_the_kernel_reads_stays():
    assert kept("gru_before", 512) == () and len(kept("lstm", 512)) == 4
