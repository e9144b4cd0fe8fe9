"""Parity: one bit of memory solves it, none gets the coin's share."""

from functools import cache

import jax
import numpy as np
import pytest
from judged import score

from lstm_research.tasks.parity import Parity
from lstm_research.tasks.task import Batch

MANY = 8000
FORMS = [
    Parity(length=6, held_out=MANY),
    Parity(length=6, variable=True, held_out=MANY),
    Parity(length=6, answer="step", held_out=MANY),
    Parity(length=1, answer="step", variable=True, held_out=MANY),
    Parity(length=4, answer="step", variable=True, test_length=9, held_out=MANY),
    Parity(length=4, variable=True, test_length=9, held_out=MANY),
]


@cache
def held_out(spec: Parity, split: str = "test") -> Batch:
    return jax.tree.map(np.asarray, spec.build().held_out(None, split)[0])


def ends(batch: Batch) -> np.ndarray:
    rows, time = batch.inputs.shape
    return np.full(rows, time) if batch.lengths is None else batch.lengths


@pytest.mark.parametrize("spec", FORMS)
def test_one_bit_of_memory_solves_it(spec):
    batch = held_out(spec)
    outputs = np.zeros((*batch.inputs.shape, 2))
    bits, memory = batch.inputs, np.zeros(MANY, int)
    for step in range(bits.shape[1]):
        memory ^= bits[:, step]
        outputs[np.arange(MANY), step, memory] = 20.0
    if batch.mask.ndim == 1:
        outputs = outputs[np.arange(MANY), ends(batch) - 1]
    found = score(spec, outputs, batch)
    assert found["accuracy"] == found["sequence_accuracy"] == 1.0 and found["nll"] < 1e-6
    assert spec.build().success.holds(found)


@pytest.mark.parametrize("spec", FORMS)
def test_seeing_the_present_bit_alone_gets_the_stated_chance(spec):
    batch = held_out(spec)
    chance, bits = spec.build().chance, batch.inputs
    right = min(chance["accuracy"] + 1e-9, 1 - 1e-7)
    seen = bits if batch.mask.ndim == 2 else bits[np.arange(MANY), ends(batch) - 1]
    outputs = np.log(np.where(np.eye(2)[seen] == 1, right, 1 - right))
    found = score(spec, outputs, batch)
    assert found["accuracy"] == pytest.approx(chance["accuracy"], abs=0.025)
    assert found["nll"] == pytest.approx(chance["nll"], abs=0.025)


@pytest.mark.parametrize("split", ["valid", "test"])
def test_lengths_are_uniform_and_bits_fair(split):
    batch = held_out(FORMS[-1], split)
    shortest, longest = (1, 4) if split == "valid" else (5, 9)
    lengths = batch.lengths
    shares = np.bincount(lengths, minlength=longest + 1)[shortest:] / MANY
    assert np.allclose(shares, 1 / (longest - shortest + 1), atol=0.025)
    inside = np.arange(longest) < lengths[:, None]
    bits = batch.inputs
    assert bits[inside].mean() == pytest.approx(0.5, abs=0.02) and not bits[~inside].any()


def test_both_answers_are_asked_of_the_same_bits():
    last, step = held_out(FORMS[0]), held_out(FORMS[2])
    assert (last.inputs == step.inputs).all() and (last.targets == step.targets[:, -1]).all()
