"""Strings come with the odds that the state gives, and what cannot come never does."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lstm_research.tasks import walks
from lstm_research.tasks.walks import Language, walk

ODDS = np.array([[0.0, 3.0, 0.0, 1.0, 0.0], [2.0, 0.0, 2.0, 0.0, 4.0]], np.float32)


def language(odds=ODDS) -> Language:
    """Return a walk whose state is the parity of the symbols so far."""
    table = jnp.asarray(odds)
    return Language(
        start=lambda size: jnp.zeros(size, jnp.int32),
        odds=lambda state: table[state],
        move=lambda state, symbols: (state + symbols) % 2,
        told=lambda state: state,
    )


def test_a_symbol_is_as_likely_as_its_weight():
    symbols, states = walk(language(), jax.random.key(0), 4000, 5)
    states = np.concatenate([np.zeros((4000, 1), int), states[:, :-1]], 1)
    for state, odds in enumerate(ODDS):
        drawn = np.asarray(symbols)[states == state]
        shares = np.bincount(drawn, minlength=5) / len(drawn)
        assert np.abs(shares - odds / odds.sum()).max() < 0.03
        assert not shares[odds == 0].any()


@pytest.mark.parametrize("share", [0.0, 1.0 - 2.0**-24])
def test_the_ends_of_the_draw_are_symbols_that_can_be(share, monkeypatch):
    monkeypatch.setattr(
        walks.jax.random, "uniform", lambda key, shape: jnp.full(shape, share, jnp.float32)
    )
    odds = np.array([[0.0, 0.1, 0.7, 0.3, 0.0], [0.0, 1 / 3, 1 / 3, 1 / 3, 0.0]], np.float32)
    symbols, _ = walk(language(odds), jax.random.key(0), 8, 6)
    assert set(np.unique(symbols)) <= {1, 2, 3}


def test_a_string_belongs_to_its_key():
    one, other = (walk(language(), jax.random.key(k), 50, 20)[0] for k in (0, 1))
    again = walk(language(), jax.random.key(0), 50, 20)[0]
    assert (one == again).all() and (one != other).any()
