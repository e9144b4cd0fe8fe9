"""Induction heads: look for the first mark, say what follows it."""

import jax
import numpy as np
import pytest

from lstm_research.tasks.induction import Induction

SPEC = Induction(length=6, vocabulary=5, test_length=11, held_out=2000)


@pytest.mark.parametrize(("split", "lengths"), [("valid", {6}), ("test", {7, 8, 9, 10, 11})])
def test_the_answer_follows_the_first_mark_and_the_lag_is_told(split, lengths):
    seen, lags, answers = set(), [], []
    for batch in SPEC.build().held_out(None, split):
        batch = jax.tree.map(np.asarray, batch)
        for row, length in enumerate(batch.lengths):
            tokens = batch.inputs[row, :length].tolist()
            first = tokens.index(4)
            assert tokens.count(4) == 2 and tokens[-1] == 4 and not batch.inputs[row, length:].any()
            assert batch.targets[row] == tokens[first + 1]
            assert batch.extent[row] == length - 1 - (first + 1)
            seen.add(int(length))
            lags.append(int(batch.extent[row]))
            answers.append(int(batch.targets[row]))
    assert seen == lengths
    assert set(lags) == set(range(1, max(lengths) - 1))
    assert np.allclose(np.bincount(answers) / len(answers), 1 / 4, atol=0.04)
    assert SPEC.build().chance["accuracy"] == 1 / 4


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"length": 2}, r"length=2: .*>= 3"),
    ],
)
def test_impossible_fields_are_refused_by_name_value_and_remedy(fields, message):
    with pytest.raises(ValueError, match=message):
        Induction(**fields)
