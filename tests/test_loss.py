"""Losses equal their formulas in NumPy, and what a mask hides reaches nothing."""

import jax
import numpy as np
import pytest
from agreement import agree

from lstm_research.loss import LOSSES

RNG = np.random.default_rng(0)
OUT, MASK = RNG.normal(size=(4, 5, 3)), RNG.uniform(size=(4, 5)) * (RNG.random((4, 5)) < 0.6)
TARGETS = {
    "cross_entropy": RNG.integers(0, 3, (4, 5)),
    "bernoulli": RNG.integers(0, 2, (4, 5, 3)).astype(float),
    "squared_error": RNG.normal(size=(4, 5, 3)),
    "quantile": RNG.normal(size=(4, 5, 1)),
}


def by_hand(name, out, target):
    """Return the loss of one scored vector."""
    if name == "cross_entropy":
        return np.log(np.exp(out).sum()) - out[target]
    if name == "bernoulli":
        chance = 1 / (1 + np.exp(-out))
        return -(target * np.log(chance) + (1 - target) * np.log(1 - chance)).sum()
    if name == "quantile":  # three outputs for the one target: its quartiles
        pairs = zip((0.25, 0.5, 0.75), target - out, strict=True)
        return np.mean([q * gap if gap > 0 else (q - 1) * gap for q, gap in pairs])
    return ((out - target) ** 2).sum()


def test_every_loss_is_tried_here():
    assert set(TARGETS) == set(LOSSES)


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_the_masked_sum_of_its_formula(float64, name):
    values = [[by_hand(name, OUT[i, t], TARGETS[name][i, t]) for t in range(5)] for i in range(4)]
    agree(LOSSES[name](OUT, TARGETS[name], MASK), ((np.array(values) * MASK).sum(), MASK.sum()))


@pytest.mark.parametrize("name", LOSSES)
def test_batches_add_up(float64, name):
    halves = [
        LOSSES[name](OUT[part], TARGETS[name][part], MASK[part])
        for part in (slice(0, 2), slice(2, 4))
    ]
    agree(jax.tree.map(lambda a, b: a + b, *halves), LOSSES[name](OUT, TARGETS[name], MASK))


@pytest.mark.parametrize("filler", [np.nan, np.inf])
@pytest.mark.parametrize("name", LOSSES)
def test_what_a_mask_hides_reaches_neither_value_nor_gradient(float64, name, filler):
    hidden = MASK == 0
    assert hidden.any()
    out, target = OUT.copy(), TARGETS[name].copy()
    out[hidden] = filler
    if target.ndim == 3:
        target[hidden] = filler
    pull = jax.value_and_grad(lambda out, target: LOSSES[name](out, target, MASK)[0])
    value, grad = pull(out, target)
    agree((value, grad), pull(np.where(hidden[..., None], 0.0, OUT), TARGETS[name]))
    assert not np.asarray(grad)[hidden].any()


@pytest.mark.parametrize("name", LOSSES)
def test_an_empty_mask_weighs_nothing(name):
    total, weight = LOSSES[name](OUT, TARGETS[name], np.zeros((4, 5)))
    assert total == 0 and weight == 0


@pytest.mark.parametrize("name", ["cross_entropy", "bernoulli"])
def test_huge_logits_stay_finite(name):
    assert np.isfinite(LOSSES[name](1e4 * OUT, TARGETS[name], np.ones((4, 5)))[0])


def test_the_best_constant_under_the_quantile_loss_is_the_quantile(float64):
    values = np.sort(RNG.normal(size=999))[:, None]
    loss = lambda q: LOSSES["quantile"](np.broadcast_to(q, (999, 3)), values, np.ones(999))[0]
    best = values[[249, 499, 749], 0]
    middle = float(loss(best))
    for at in range(3):
        for other in (values[200, 0], values[520, 0], values[800, 0]):
            moved = best.copy()
            moved[at] = other
            assert float(loss(moved)) > middle
