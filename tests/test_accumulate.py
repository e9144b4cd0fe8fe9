"""What is read piece by piece is what is read at once, and takes memory by the root of time."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lstm_research as lr

FEATURES, HIDDEN, BATCH = 3, 8, 4


def made(name, steps, seed=0):
    keys = jax.random.split(jax.random.key(seed), 4)
    cell = lr.cell(name)
    weights = cell.init(keys[0], FEATURES, HIDDEN)
    x = jax.random.normal(keys[1], (steps, BATCH, FEATURES))
    out = jax.random.normal(keys[2], (HIDDEN, 2))
    return cell, weights, x, out, jax.random.normal(keys[3], (steps, BATCH, 2))


def read(out, h, y):
    return {"error": jnp.sum((h @ out - y) ** 2), "mean": h.sum((0, 1))}


def at_once(cell, weights, x, out, y, **more):
    carry, h = lr.unroll(cell, weights, cell.start((BATCH,), HIDDEN), x, **more)
    return carry, read(out, h, y)


def by_pieces(cell, weights, x, out, y, **more):
    carry = cell.start((BATCH,), HIDDEN)
    return lr.accumulate(cell, weights, carry, x, partial(read, out), y, **more)


def close(one, other):
    same = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)
    jax.tree.map(same, one, other)


@pytest.mark.parametrize("name", ["lstm", "gru", "mingru", "hochreiter1997"])
@pytest.mark.parametrize("piece", [1, 5, 12, 30, 100])
def test_pieces_add_up_to_the_whole_with_their_gradients(name, piece):
    cell, weights, x, out, y = made(name, 30)
    close(by_pieces(cell, weights, x, out, y, piece=piece), at_once(cell, weights, x, out, y))

    def loss(run, weights, x, out):
        carry, found = run(cell, weights, x, out, y)
        ends = sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(carry))
        return found["error"] + jnp.sum(found["mean"] ** 2) + ends

    gradient = lambda run: jax.grad(partial(loss, run), (0, 1, 2))(weights, x, out)
    close(gradient(partial(by_pieces, piece=piece)), gradient(at_once))


@pytest.mark.parametrize("piece", [4, 7, 30])
def test_lengths_and_resets_pass_from_piece_to_piece(piece, key):
    cell, weights, x, out, y = made("lstm", 30)
    more = {"lengths": jnp.array([0, 3, 17, 30]), "resets": jax.random.bernoulli(key, 0.2, (30, 4))}
    x = x.at[20:, 2].set(jnp.nan)  # padding
    wanted = at_once(cell, weights, x, out, y, **more)
    close(by_pieces(cell, weights, x, out, y, piece=piece, **more), wanted)
    close(by_pieces(cell, weights, x, out, y, piece=piece, engine="scan", **more), wanted)


def test_a_sequence_of_no_step_leaves_the_carry():
    cell, weights, x, out, y = made("lstm", 0)
    carry, found = by_pieces(cell, weights, x, out, y)
    assert not any(leaf.any() for leaf in jax.tree.leaves((carry, found)))


def test_memory_grows_with_the_root_of_time():
    cell, weights, *_ = made("lstm", 1)

    def takes(steps, run):
        loss = lambda w, x, y: run(cell, w, x, jnp.eye(HIDDEN, 2), y)[1]["error"]
        shapes = [jax.ShapeDtypeStruct((steps, BATCH, n), jnp.float32) for n in (FEATURES, 2)]
        compiled = jax.jit(jax.grad(loss)).lower(weights, *shapes).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert takes(64 * 1024, at_once) > 3 * takes(16 * 1024, at_once)
    assert takes(64 * 1024, by_pieces) < 2.2 * takes(16 * 1024, by_pieces)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"piece": 0}, "piece=0"),
        ({"reverse": True}, "no reverse"),
        ({"lengths": jnp.zeros(3, jnp.int32)}, "lengths has shape"),
    ],
)
def test_what_cannot_be_is_refused(more, said):
    cell, weights, x, out, y = made("lstm", 6)
    with pytest.raises(ValueError, match=said):
        by_pieces(cell, weights, x, out, y, **more)


def test_targets_of_other_steps_are_refused():
    cell, weights, x, out, y = made("lstm", 6)
    with pytest.raises(ValueError, match="x has 6 steps"):
        by_pieces(cell, weights, x, out, y[:5])
