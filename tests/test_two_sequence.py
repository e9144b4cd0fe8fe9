"""Two sequences: the sign of the first inputs is all that counts."""

import numpy as np
import pytest
from judged import draw, held_out, score

from lstm_research.tasks.two_sequence import TwoSequence

MANY = 20_000
FORMS = [TwoSequence(form=form, length=20, held_out=MANY) for form in ("3a", "3b", "3c")]


def signs(spec: TwoSequence, inputs: np.ndarray) -> np.ndarray:
    """Return the mean of the informative inputs of each row, one number after another."""
    return np.array([sum(row[: spec.informative, 0]) / spec.informative for row in inputs])


@pytest.mark.parametrize("spec", FORMS)
def test_the_sign_of_the_first_inputs_reaches_the_ceiling(spec):
    batch, best = held_out(spec), spec.build().ceiling
    one, two = (0.2, 0.8) if spec.form == "3c" else (1.0, 0.0)
    hard = np.where(signs(spec, batch.inputs) > 0, one, two)[:, None]
    found = score(spec, hard, batch)
    assert found["within"] == pytest.approx(best["within"], abs=6e-4)
    assert spec.build().success.holds(found)
    if spec.form != "3b":
        assert found["mse"] < 1e-12  # 1e-6 squared


def test_the_odds_of_the_class_reach_the_ceiling_of_3b():
    spec = TwoSequence(form="3b", length=20, informative=1, held_out=MANY)
    batch, best = held_out(spec), spec.build().ceiling
    odds = 1 / (1 + np.exp(-2 * batch.inputs[:, :1, 0] / 0.2))
    assert score(spec, odds, batch)["mse"] == pytest.approx(best["mse"], abs=1.5e-3)
    hard = score(spec, odds > 0.5, batch)
    assert hard["within"] == pytest.approx(best["within"], abs=5e-3)
    assert best["within"] == pytest.approx(0.98733, abs=1e-5)  # P(normal < sqrt 5)


@pytest.mark.parametrize("spec", FORMS)
def test_a_constant_gets_the_stated_chance(spec):
    batch, chance = held_out(spec), spec.build().chance
    middle = score(spec, np.full((MANY, 1), 0.5), batch)
    one = score(spec, np.full((MANY, 1), batch.targets.max()), batch)
    assert middle["mse"] == pytest.approx(chance["mse"], rel=1e-5)
    assert one["within"] == pytest.approx(chance["within"], abs=0.018)


@pytest.mark.parametrize("spec", FORMS)
def test_lengths_and_noise_are_those_of_the_paper(spec):
    batch = held_out(spec)
    assert set(batch.lengths) == {20, 21, 22}
    assert (batch.extent == batch.lengths - 3).all()
    inside = np.arange(22) < batch.lengths[:, None]
    assert (batch.inputs[~inside] == 0).all()
    noise = batch.inputs[:, 3:20, 0]
    assert abs(noise.mean()) < 0.004 and noise.var() == pytest.approx(0.2, abs=0.003)
    told = batch.inputs[:, :3, 0]
    if spec.form == "3b":
        assert (np.abs(told) - 1).var() > 0.1
    else:
        assert set(np.unique(told)) == {-1.0, 1.0} and (told == told[:, :1]).all()


def test_targets_of_3c_are_noisy_in_training_only():
    spec = FORMS[2]
    assert set(np.unique(held_out(spec).targets)) == {np.float32(0.2), np.float32(0.8)}
    batch = draw(spec, MANY)
    off = batch.targets - np.where(batch.inputs[:, 0] > 0, 0.2, 0.8)
    assert abs(off.mean()) < 0.012 and off.var() == pytest.approx(0.1, abs=0.006)
