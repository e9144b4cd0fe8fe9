"""Copying memory: who keeps the symbols gets all, who keeps none gets K ln A / (T + 2 K) nats."""

from functools import cache, partial
from math import log

import jax
import numpy as np
import pytest
from judged import score

from lstm_research.evaluate import metrics
from lstm_research.tasks.copying import Copying
from lstm_research.tasks.task import Batch

FORMS = ("arjovsky", "tcn")
MANY = 20_000


@cache
def draw(form: str) -> tuple[Copying, Batch]:
    spec = Copying(form=form, delay=3, symbols=2)
    batch = jax.jit(spec.build().draw, static_argnums=2)(None, jax.random.key(1), MANY)
    return spec, jax.tree.map(np.asarray, batch)


@pytest.mark.parametrize("form", FORMS)
def test_a_memory_of_the_symbols_solves_it(form):
    spec, batch = draw(form)
    outputs = np.zeros((*batch.inputs.shape, 9))
    for row, tokens in enumerate(batch.inputs):
        memory, cued = [], 0
        for step, token in enumerate(tokens):
            if 1 <= token <= 8:
                memory.append(token)
            say = memory.pop(0) if cued else 0  # one step after the first cue the recital begins
            cued = cued or token == 9
            outputs[row, step, say] = 50.0
    found = score(spec, outputs, batch)
    assert found["nll"] < 1e-6 and found["accuracy"] == found["sequence_accuracy"] == 1.0
    assert spec.build().success.holds(found)


@pytest.mark.parametrize("form", FORMS)
def test_no_memory_gets_the_stated_chance(form):
    spec, batch = draw(form)
    outputs = np.zeros((*batch.inputs.shape, 9))
    outputs[:, :-2, 0] = 50.0  # knows when to recite
    outputs[:, -2:, 0], outputs[:, -2:, 1] = -50.0, 1e-3  # but not what: symbol 1, by a hair
    found, chance = score(spec, outputs, batch), spec.build().chance
    assert found["nll"] == pytest.approx(chance["nll"], rel=1e-3)
    assert found["accuracy"] == pytest.approx(chance["accuracy"], abs=0.012)
    assert found["sequence_accuracy"] == pytest.approx(chance["sequence_accuracy"], abs=0.005)


def test_published_baselines_are_those_of_chance():
    for delay, nll in ((200, 0.0945), (500, 0.0400), (1000, 0.0204), (2000, 0.0103)):
        assert Copying(delay=delay).build().chance["nll"] == pytest.approx(nll, abs=5e-5)
    assert Copying(delay=200).build().chance["nll"] == pytest.approx(10 * log(8) / 220)


@pytest.mark.parametrize(
    ("form", "tail"), [("arjovsky", [0, 0, 9, 0, 0]), ("tcn", [0, 0, 9, 9, 9])]
)
def test_the_cue_stands_where_the_form_puts_it(form, tail):
    _, batch = draw(form)
    inputs, targets = batch.inputs, batch.targets
    assert (inputs[:, 2:] == tail).all()
    assert (targets[:, :5] == 0).all() and (targets[:, 5:] == inputs[:, :2]).all()
    assert (batch.scored == [0, 0, 0, 0, 0, 1, 1]).all() and (batch.mask == 1).all()


def test_both_forms_recall_the_same_symbols():
    one, other = draw("arjovsky")[1], draw("tcn")[1]
    assert (one.targets == other.targets).all() and (one.inputs[:, :2] == other.inputs[:, :2]).all()


def test_sequences_are_as_long_as_the_delay_and_twice_the_symbols():
    for form in FORMS:
        task = Copying(form=form, delay=30).build()
        batch = jax.eval_shape(lambda key, task=task: task.sample(key, 5), jax.random.key(0))
        assert batch.inputs.shape == batch.targets.shape == (5, 50)


def test_symbols_are_uniform_over_the_alphabet():
    _, batch = draw("arjovsky")
    shares = np.bincount(batch.inputs[:, :2].ravel(), minlength=10) / (2 * MANY)
    assert shares[0] == shares[9] == 0 and np.allclose(shares[1:9], 1 / 8, atol=0.0083)


def test_accuracy_is_told_by_the_place_of_the_symbol():
    spec = Copying(delay=4, symbols=3)
    batch = spec.build().sample(jax.random.key(1), 50)
    outputs = np.eye(spec.alphabet + 1)[np.asarray(batch.targets)]
    outputs[:, -2] = np.eye(spec.alphabet + 1)[0]  # blank in place of the second
    found = jax.jit(partial(metrics, spec.build()))(np.float32(outputs), batch)
    shares = {name: float(a / b) for name, (a, b) in found.items() if "@" in name}
    assert shares == {"accuracy@place=1": 1.0, "accuracy@place=2": 0.0, "accuracy@place=3": 1.0}


@pytest.mark.parametrize("form", FORMS)
def test_a_drawn_delay_is_uniform_and_ends_with_the_recital(form):
    spec = Copying(form=form, delay=4, symbols=2, variable=True, held_out=4000)
    batch = jax.tree.map(np.asarray, spec.build().held_out(None, "test")[0])
    delays = np.zeros(len(batch.inputs), int)
    for row, tokens in enumerate(batch.inputs):
        delays[row] = list(tokens).index(9) - 1
        end = delays[row] + 4
        cues = [9] + [0 if form == "arjovsky" else 9] * 2
        assert tokens[2:end].tolist() == [0] * (delays[row] - 1) + cues
        assert batch.lengths[row] == end == batch.mask[row].sum() and not tokens[end:].any()
        assert batch.targets[row].tolist() == [*[0] * (end - 2), *tokens[:2], *[0] * (8 - end)]
        assert batch.scored[row].nonzero()[0].tolist() == [end - 2, end - 1]
        assert (batch.extent[row] == delays[row] + 2).all()
    assert np.allclose(np.bincount(delays)[1:] / len(delays), 1 / 4, atol=0.03)
    chance = spec.build().chance
    assert chance["nll"] == pytest.approx(2 * log(8) / batch.mask.sum(axis=1).mean(), rel=0.02)
    assert spec.build().slices.bins == ((3, 3), (4, 4), (5, 5), (6, 6))
