"""Counting languages, against their strings written out and compared prefix by prefix."""

import numpy as np
import pytest
from judged import draw, held_out, score

from lstm_research.tasks.anbn import AnBn
from lstm_research.tasks.task import Batch

SPECS = [AnBn(letters=2, longest=4, test=9), AnBn(letters=3, longest=4, test=9)]


def language(spec: AnBn, largest: int) -> list[str]:
    return [
        "S" + "".join(c * n for c in "abc"[: spec.letters]) + "T" for n in range(1, largest + 1)
    ]


def texts(batch: Batch) -> list[str]:
    return [
        "".join("Sabc"[i] for i in row[:n]) + "T"
        for row, n in zip(batch.inputs, batch.lengths, strict=True)
    ]


def legal(spec: AnBn, text: str) -> np.ndarray:
    """Return (step, output) of what may follow each prefix, from strings far beyond the longest."""
    names = "abc"[: spec.letters] + "T"
    words = language(spec, 30)
    follow = [{w[t] for w in words if w.startswith(text[:t])} for t in range(1, len(text))]
    return np.array([[name in each for name in names] for each in follow])


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_targets_are_the_symbols_that_may_follow(spec, split):
    batch = draw(spec, 50) if split == "train" else held_out(spec, split)
    for row, text in enumerate(texts(batch)):
        assert text in language(spec, 9)
        steps = len(text) - 1
        assert (batch.targets[row, :steps] == legal(spec, text)).all()
        assert not batch.targets[row, steps:].any()
        assert (batch.mask[row] == (np.arange(batch.mask.shape[1]) < steps)).all()
        assert (batch.extent[row] == text.count("a")).all()


@pytest.mark.parametrize("spec", SPECS)
def test_each_length_comes_once_to_validation_and_longer_ones_to_test(spec):
    counts = lambda batch: [text.count("a") for text in texts(batch)]
    assert counts(held_out(spec, "valid")) == [1, 2, 3, 4]
    assert counts(held_out(spec, "test")) == [5, 6, 7, 8, 9]
    assert set(counts(draw(spec, 50))) == {1, 2, 3, 4}


@pytest.mark.parametrize("spec", SPECS)
def test_a_counter_solves_it(spec):
    batch, task = held_out(spec), spec.build()
    outputs = np.zeros(batch.targets.shape)
    for row, text in enumerate(texts(batch)):
        outputs[row, : len(text) - 1] = np.where(legal(spec, text), 20.0, -20.0)
    found = score(spec, outputs, batch)
    assert {name: found[name] for name in task.ceiling} == pytest.approx(task.ceiling, abs=1e-6)
    assert task.success.holds(found)
    outputs[2, 0] = 0.0  # rejects n = 7
    found = score(spec, outputs, batch)
    assert found["largest_n"] == 6 and found["sequence_legal"] == pytest.approx(4 / 5)
    assert found["sequence_legal@n=7"] == 0 and found["sequence_legal@n=8"] == 1


@pytest.mark.parametrize("spec", SPECS)
def test_seeing_the_present_symbol_alone_gets_the_stated_chance(spec):
    batch, chance = held_out(spec), spec.build().chance
    asked = batch.mask > 0
    odds = np.zeros((spec.letters + 1, spec.letters + 1))
    for symbol in range(spec.letters + 1):
        odds[symbol] = batch.targets[asked & (batch.inputs == symbol)].mean(axis=0)
    logits = np.log(np.clip(odds, 1e-7, None)) - np.log(np.clip(1 - odds, 1e-7, None))
    found = score(spec, logits[batch.inputs], batch)
    assert {name: found[name] for name in chance} == pytest.approx(chance, abs=1e-5)
