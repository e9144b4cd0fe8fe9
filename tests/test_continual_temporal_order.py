"""Continual temporal order: cut at each B, every piece is a sequence of its own."""

import numpy as np
import pytest
from judged import draw, held_out, score

from lstm_research.tasks.continual_temporal_order import ContinualTemporalOrder
from lstm_research.tasks.task import Batch

SPEC = ContinualTemporalOrder(length=20, train=3, stream=5, held_out=400)
NAMES = ["E", "B", "a", "b", "c", "d", "X", "Y"]


def classes(batch: Batch) -> list[list[tuple[int, int]]]:
    """Return (step of the answer, class) of each sequence of each row, read symbol by symbol."""
    found = []
    for row, length in zip(batch.inputs, batch.lengths, strict=True):
        order, pieces = "", []
        for step in range(length):
            name = NAMES[row[step]]
            order += {"X": "0", "Y": "1"}.get(name, "")
            if name == "B":
                pieces.append((step, int(order, 2)))
                assert len(order) == 3
                order = ""
                assert step + 1 == length or NAMES[row[step + 1]] == "E"
        found.append(pieces)
    return found


@pytest.mark.parametrize(("batch", "many"), [(draw(SPEC, 50), 3), (held_out(SPEC), 5)])
def test_an_answer_is_asked_at_the_end_of_each_sequence(batch, many):
    for row, pieces in enumerate(classes(batch)):
        assert len(pieces) == many
        assert [step for step, _ in pieces] == list(np.flatnonzero(batch.mask[row]))
        assert [kind for _, kind in pieces] == [batch.targets[row, step] for step, _ in pieces]
        spans = np.diff([-1, *[step for step, _ in pieces]])
        assert set(spans) <= {20, 21, 22} and batch.lengths[row] == spans.sum()
    assert len(set(batch.targets[batch.mask > 0])) == 8


def test_a_memory_of_the_order_solves_it():
    batch = held_out(SPEC)
    outputs = np.zeros((*batch.mask.shape, 8))
    for row, pieces in enumerate(classes(batch)):
        for step, kind in pieces:
            outputs[row, step, kind] = 20.0
    found, best = score(SPEC, outputs, batch), SPEC.build().ceiling
    assert {name: found[name] for name in best} == pytest.approx(best, abs=1e-6)
    assert SPEC.build().success.holds(found)
    step = batch.mask[0].nonzero()[0][2]
    outputs[0, step] = 0.0
    again = score(SPEC, outputs, batch)
    assert again["before_error"] == pytest.approx(5 - 3 / 400) and again["accuracy"] <= 1
    assert again["sequence_within"] == pytest.approx(1 - 1 / 400)


def test_the_same_class_always_gets_the_stated_chance():
    batch, chance = held_out(SPEC), SPEC.build().chance
    outputs = np.zeros((*batch.mask.shape, 8))
    assert score(SPEC, outputs, batch)["nll"] == pytest.approx(chance["nll"], rel=1e-5)
    outputs[..., 5] = 20.0
    found = score(SPEC, outputs, batch)
    for name in ("within", "accuracy"):
        assert found[name] == pytest.approx(chance[name], abs=0.035)
    assert found["before_error"] == pytest.approx(chance["before_error"], abs=0.1)
    assert chance["before_error"] == pytest.approx(sum(8.0**-k for k in range(1, 6)))
