"""Spike trains, against a clock that walks through each of them."""

import numpy as np
import pytest
from judged import draw, held_out, score
from sampled import first

from lstm_research.tasks.spike_delay import SpikeDelay
from lstm_research.tasks.task import Batch

SPECS = [
    SpikeDelay(form=form, shortest=3, largest=4, between=between, train=4, stream=5, held_out=600)
    for form in ("measure", "generate")
    for between in (True, False)
]


def walked(spec: SpikeDelay, batch: Batch) -> np.ndarray:
    """Return the answers of one who counts steps, NaN where none is asked."""
    answers = np.full(batch.mask.shape, np.nan)
    for row, length in enumerate(batch.lengths):
        since, delay = 0, 0
        for step in range(length):
            since += 1
            seen = batch.inputs[row, step, 0]
            if spec.form == "measure":
                if seen == 1:
                    answers[row, step], since = since - spec.shortest, 0
                continue
            delay = seen if since == 1 else delay
            answers[row, step] = since == spec.shortest + delay
            since = 0 if answers[row, step] else since
    return answers


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("train", first([True, False]))
def test_answers_are_those_of_a_clock(spec, train):
    batch = draw(spec, 100) if train else held_out(spec)
    answers = walked(spec, batch)
    assert (np.isnan(answers) == (batch.mask == 0)).all()
    asked = batch.mask > 0
    assert (batch.targets[..., 0][asked] == answers[asked]).all()
    spikes = asked if spec.form == "measure" else batch.targets[..., 0] > 0
    assert (spikes.sum(axis=1) == (4 if train else 5)).all()
    assert spikes[np.arange(len(spikes)), batch.lengths - 1].all()
    steps = np.diff(np.c_[np.full(len(spikes), -1), np.nonzero(spikes)[1].reshape(len(spikes), -1)])
    delays = {0, 1, 2, 3, 4} if spec.between else {0, 4}
    assert set(steps.ravel() - 3) == delays
    shares = np.bincount(steps.ravel() - 3)[sorted(delays)] / steps.size
    assert np.allclose(shares, 1 / len(delays), atol=0.1 if train else 0.05)


@pytest.mark.parametrize("spec", SPECS)
def test_a_clock_solves_it(spec):
    batch, task = held_out(spec), spec.build()
    answers = np.nan_to_num(walked(spec, batch))[..., None]
    outputs = answers if spec.form == "measure" else 40 * answers - 20
    found = score(spec, outputs, batch)
    assert {name: found[name] for name in task.ceiling} == pytest.approx(task.ceiling, abs=1e-6)
    assert task.success.holds(found)
    third = np.cumsum(batch.targets[0, :, 0] > 0) if spec.form == "generate" else None
    step = np.flatnonzero(batch.mask[0])[2] if third is None else int((third < 3).sum())
    outputs[0, step] += 0.5 if spec.form == "measure" else -40
    again = score(spec, outputs, batch)
    assert again["before_error"] == pytest.approx(5 - 3 / 600)
    assert again["sequence_within"] == pytest.approx(1 - 1 / 600)


@pytest.mark.parametrize("spec", SPECS[:2])
def test_measuring_a_constant_gets_the_stated_chance(spec):
    batch, chance = held_out(spec), spec.build().chance
    constant = lambda value: score(spec, np.full(batch.targets.shape, value), batch)
    mean = sum(spec.delays) / len(spec.delays)
    assert constant(mean)["mse"] == pytest.approx(chance["mse"], rel=0.1)
    found = constant(spec.delays[0])
    for name in ("within", "before_error"):
        assert found[name] == pytest.approx(chance[name], abs=0.09)


@pytest.mark.parametrize("spec", SPECS[2:])
def test_generating_by_the_present_input_alone_gets_the_stated_chance(spec):
    batch, chance = held_out(spec), spec.build().chance
    asked, told = batch.mask > 0, batch.inputs > 0
    odds = batch.targets[asked[..., None] & ~told].mean()
    logits = np.where(told, -20.0, np.log(odds / (1 - odds)))
    found = score(spec, logits, batch)
    assert found["nll"] == pytest.approx(chance["nll"], rel=0.02)
    assert found["within"] == pytest.approx(chance["within"], abs=0.01)
    assert found["before_error"] == chance["before_error"] == 0
    assert found["sequence_within"] == chance["sequence_within"] == 0
