"""Lengths and resets become masks."""

import jax.numpy as jnp
import numpy as np

from lstm_research.masks import choose, clean, layout

X = np.random.default_rng(0).normal(size=(5, 4, 2)).astype(np.float32)


def test_no_masks_cost_nothing():
    assert layout(X, None, None, False) == (None, None)


def test_a_reversed_reset_lies_before_the_step_that_is_taken_after_it():
    resets = np.zeros((5, 1), bool)
    resets[[0, 3]] = True
    assert np.flatnonzero(layout(X[:, :1], None, resets, True).fresh).tolist() == [2]
    assert np.flatnonzero(layout(X[:, :1], None, resets, False).fresh).tolist() == [0, 3]


def test_a_reset_in_the_padding_is_none_and_nan_there_is_cleaned():
    lengths, resets = np.array([5, 3, 1, 0]), np.ones((5, 4), bool)
    masks = layout(X, lengths, resets, False)
    exists = np.arange(5)[:, None] < lengths
    assert (masks.valid[..., 0] == exists).all() and (masks.fresh[..., 0] == exists).all()
    dirty = np.where(exists[..., None], X, np.nan)
    assert (clean(jnp.asarray(dirty), masks) == np.where(exists[..., None], X, 0)).all()
    assert clean(dirty, layout(X, None, None, False)) is dirty


def test_a_choice_is_made_leaf_by_leaf():
    mask = np.array([[True], [False]])
    got = choose(mask, (np.ones((2, 3)), np.zeros((2, 1))), (np.zeros((2, 3)), np.ones((2, 1))))
    assert got[0][:, 0].tolist() == [1, 0] and got[1][:, 0].tolist() == [0, 1]
