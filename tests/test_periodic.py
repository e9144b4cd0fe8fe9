"""Periodic functions: the wave of the paper, step after step, and what constants reach."""

import numpy as np
import pytest
from judged import draw, held_out, score

from lstm_research.tasks.periodic import TOLERANCE, WAVES, Periodic

SPECS = [
    Periodic(wave=wave, period=period, train=2, stream=3) for wave in WAVES for period in (10, 25)
]


def value(spec: Periodic, t: int) -> float:
    """Return f(t), from the definitions."""
    t, half = t % spec.period, spec.period / 2
    if spec.wave == "cosine":
        return 0.5 * (1 - np.cos(2 * np.pi * t / spec.period))
    if spec.wave == "triangle":
        return t / half if t <= half else 2 - t / half
    return 1.0 if t > half else 0.0


@pytest.mark.parametrize("spec", SPECS)
def test_the_targets_are_the_wave_and_the_input_is_nothing(spec):
    for batch, periods in ((draw(spec, 2), 2), (held_out(spec), 3)):
        steps = range(1, periods * spec.period + 1)
        assert np.allclose(batch.targets[0, :, 0], [value(spec, t) for t in steps], atol=1e-6)
        assert not batch.inputs.any() and (batch.mask == 1).all()


@pytest.mark.parametrize("spec", SPECS)
def test_the_wave_itself_solves_it(spec):
    batch, task = held_out(spec), spec.build()
    found = score(spec, batch.targets, batch)
    assert {name: found[name] for name in task.ceiling} == pytest.approx(task.ceiling)
    assert task.success.holds(found)
    wrong = batch.targets.copy()
    wrong[0, spec.period + 4] += TOLERANCE + 0.01
    assert score(spec, wrong, batch)["before_error"] == 1


@pytest.mark.parametrize("spec", SPECS)
def test_no_constant_beats_the_stated_chance(spec):
    batch, chance = held_out(spec), spec.build().chance
    tries = np.linspace(-0.3, 1.3, 321)
    near = np.abs(batch.targets[0, :, 0] - tries[:, None]) < TOLERANCE
    assert near.mean(axis=1).max() == pytest.approx(chance["within"], abs=1e-6)
    mean = np.full(batch.targets.shape, batch.targets.mean())
    found = score(spec, mean, batch)
    assert found["mse"] == pytest.approx(chance["mse"], rel=1e-5)
    assert found["before_error"] == chance["before_error"] == 0
