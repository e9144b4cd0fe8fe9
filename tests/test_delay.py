"""Delay: a queue of n solves it, and its present step tells nothing."""

from collections import deque

import jax
import numpy as np
import pytest

from lstm_research.tasks.delay import Delay


@pytest.mark.parametrize("form", ["symbols", "values"])
def test_a_queue_answers_every_step_that_is_asked_and_no_other(form):
    spec = Delay(form=form, delay=3, length=8, alphabet=5, held_out=40)
    batch = jax.tree.map(np.asarray, spec.build().held_out(None, "test")[0])
    for inputs, targets, mask in zip(batch.inputs, batch.targets, batch.mask, strict=True):
        queue = deque()
        for step, heard in enumerate(inputs):
            queue.append(heard)
            assert mask[step] == (len(queue) > 3)
            if len(queue) > 3:
                assert (targets[step] == queue.popleft()).all()


def test_chance_is_that_of_what_no_step_tells():
    spec = Delay(form="values", delay=2, length=50, held_out=400)
    batch = spec.build().held_out(None, "valid")[0]
    values = np.asarray(batch.targets)[:, 2:]
    assert spec.build().chance["mse"] == pytest.approx((values**2).mean(), abs=0.01)
    assert abs(np.corrcoef(values.ravel(), np.asarray(batch.inputs)[:, 2:].ravel())[0, 1]) < 0.03
    spec = Delay(delay=2, length=50, alphabet=4, held_out=400)
    batch = spec.build().held_out(None, "valid")[0]
    counts = np.zeros((4, 4))
    np.add.at(counts, (np.asarray(batch.inputs)[:, 2:], np.asarray(batch.targets)[:, 2:]), 1)
    assert np.allclose(counts / counts.sum(axis=1, keepdims=True), 1 / 4, atol=0.02)
    assert spec.build().chance["accuracy"] == 1 / 4


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"delay": 9, "length": 9}, r"length=9: .*>= 10"),
    ],
)
def test_impossible_fields_are_refused_by_name_value_and_remedy(fields, message):
    with pytest.raises(ValueError, match=message):
        Delay(**fields)
