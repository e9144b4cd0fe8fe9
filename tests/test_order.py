"""Every sequence comes once an epoch, whether the epoch is sorted or walked."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lstm_research.tasks import order as module
from lstm_research.tasks.order import order, portions, walked


@pytest.mark.parametrize("count", [1, 2, 3, 17, 64, 1000])
def test_a_walk_is_a_permutation(key, count):
    found = jax.jit(jax.vmap(lambda at: walked(key, at, count)))(jnp.arange(count))
    assert sorted(np.asarray(found).tolist()) == list(range(count))


def test_walks_of_two_keys_differ_and_leave_little_in_place(key):
    places = jnp.arange(1000)
    one, other = (
        np.asarray(jax.jit(jax.vmap(lambda at, k=k: walked(k, at, 1000)))(places))
        for k in jax.random.split(key)
    )
    assert (one != other).mean() > 0.98
    # a random permutation has one fixed point on average, and no correlation with the identity
    assert (one == np.arange(1000)).sum() < 10
    assert abs(np.corrcoef(one, np.arange(1000))[0, 1]) < 0.15


def test_a_large_set_comes_once_an_epoch_in_an_order_of_its_own(key, monkeypatch):
    monkeypatch.setattr(module, "SORTED", 10)
    compiled = jax.jit(lambda step: order(key, step, 7, 21))
    rows = np.concatenate([compiled(step) for step in range(6)])
    epochs = rows.reshape(2, 21)
    assert (np.sort(epochs, axis=1) == np.arange(21)).all()
    assert (epochs[0] != epochs[1]).any()


def test_a_batch_may_span_two_epochs_of_a_large_set(key, monkeypatch):
    monkeypatch.setattr(module, "SORTED", 10)
    compiled = jax.jit(lambda step: order(key, step, 8, 12))
    rows = np.concatenate([compiled(step) for step in range(3)]).reshape(2, 12)
    assert (np.sort(rows, axis=1) == np.arange(12)).all()


@pytest.mark.parametrize(("count", "most"), [(1, 5), (5, 5), (6, 5), (1000, 300), (7, 1)])
def test_portions_cover_all_in_order_with_two_lengths_at_most(count, most):
    found = portions(count, most)
    assert [at for part in found for at in range(count)[part]] == list(range(count))
    sizes = {part.stop - part.start for part in found}
    assert max(sizes) <= most and len(sizes) <= 2
