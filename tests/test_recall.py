"""Associative recall: a dictionary answers it, and near returns are the likelier."""

from functools import cache

import jax
import numpy as np
import pytest

from lstm_research.tasks.recall import Recall
from lstm_research.tasks.task import Batch

SPEC = Recall(length=21, pairs=3, vocabulary=20, power=0.5, held_out=3000)


@cache
def held_out() -> Batch:
    return jax.tree.map(np.asarray, SPEC.build().held_out(None, "test")[0])


def test_a_dictionary_answers_every_return_and_nothing_else_is_asked():
    batch = held_out()
    for tokens, targets, mask, lags in zip(
        batch.inputs.tolist(), batch.targets, batch.mask, batch.extent, strict=True
    ):
        keys, values = tokens[0:6:2], tokens[1:6:2]
        assert len(set(keys)) == len(set(values)) == 3
        assert all(1 <= key <= 9 for key in keys) and all(10 <= value <= 19 for value in values)
        memory = {
            key: (value, place) for key, value, place in zip(keys, values, (1, 3, 5), strict=True)
        }
        for step, token in enumerate(tokens):
            asked = step >= 6 and token > 0
            assert mask[step] == asked
            if asked:
                value, place = memory.pop(token)
                assert step % 2 == 0 and targets[step] == value and lags[step] == step - place
        assert not memory


def test_keys_return_where_the_power_law_says():
    """Compare with a draw without replacement, one place after the other."""
    batch = held_out()
    found = (batch.mask[:, 6::2].sum(axis=0) / len(batch.mask))[:7]
    random, odds = np.random.default_rng(0), np.arange(1, 8) ** -0.5
    drawn = [random.choice(7, 3, replace=False, p=odds / odds.sum()) for _ in range(4000)]
    expected = np.bincount(np.ravel(drawn), minlength=7) / 4000
    assert np.allclose(found, expected, atol=0.04)


def test_bins_hold_every_lag_and_chance_is_one_value_of_all():
    batch, task = held_out(), SPEC.build()
    lags = batch.extent[batch.mask > 0]
    assert task.slices.bins[0][0] == lags.min() == 1 and task.slices.bins[-1][1] == lags.max()
    assert task.chance["accuracy"] == 1 / 10
    shares = np.bincount(batch.targets[batch.mask > 0] - 10) / batch.mask.sum()
    assert shares == pytest.approx(np.full(10, 1 / 10), abs=0.02)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"length": 15}, r"length=15: .*>= 16"),
        ({"vocabulary": 8}, r"vocabulary=8: .*>= 10"),
        ({"vocabulary": 11}, r"vocabulary=11: must be even"),
        ({"power": 0.0}, r"power=0.0: must be above 0"),
    ],
)
def test_impossible_fields_are_refused_by_name_value_and_remedy(fields, message):
    with pytest.raises(ValueError, match=message):
        Recall(**fields)
