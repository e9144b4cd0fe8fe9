"""Selective memory: a list that skips the noise recites every symbol, at every lag."""

from functools import cache

import jax
import numpy as np
import pytest
from judged import score

from lstm_research.tasks.selective import Selective
from lstm_research.tasks.task import Batch

MANY = 3000
FORMS = ("denoise", "mamba")


@cache
def drawn(form: str) -> tuple[Selective, Batch]:
    spec = Selective(form=form, slots=7, symbols=3, alphabet=4, held_out=MANY)
    return spec, jax.tree.map(np.asarray, spec.build().held_out(None, "test")[0])


@pytest.mark.parametrize("form", FORMS)
def test_a_list_that_skips_the_noise_solves_it_at_every_lag(form):
    spec, batch = drawn(form)
    outputs = np.zeros((*batch.inputs.shape, 5))
    late = form == "denoise"  # the cue has a step of its own
    for row, tokens in enumerate(batch.inputs):
        memory = []
        for step, token in enumerate(tokens):
            if step < spec.slots and token:
                memory.append((token, step))
            say = 0
            if step >= spec.slots + late:
                say, heard = memory.pop(0)
                assert batch.extent[row, step] == step - heard
            outputs[row, step, say] = 50.0
        assert not memory
    found = score(spec, outputs, batch)
    assert found["nll"] < 1e-6 and found["accuracy"] == found["sequence_accuracy"] == 1.0
    curve = {name: value for name, value in found.items() if "@lag" in name}
    assert set(curve.values()) == {1.0} and len(curve) == 7 - 3 + 1


@pytest.mark.parametrize("form", FORMS)
def test_no_memory_gets_the_stated_chance(form):
    spec, batch = drawn(form)
    outputs = np.zeros((*batch.inputs.shape, 5))
    outputs[:, :-3, 0] = 50.0
    outputs[:, -3:, 0], outputs[:, -3:, 1] = -50.0, 1e-3
    found, chance = score(spec, outputs, batch), spec.build().chance
    assert found["nll"] == pytest.approx(chance["nll"], rel=1e-3)
    assert found["accuracy"] == pytest.approx(chance["accuracy"], abs=0.025)
    assert found["sequence_accuracy"] == pytest.approx(chance["sequence_accuracy"], abs=0.01)


def test_the_cue_stands_where_the_form_puts_it_and_places_are_uniform():
    for form, tail in (("denoise", [5, 0, 0, 0]), ("mamba", [5, 5, 5])):
        inputs = drawn(form)[1].inputs
        assert (inputs[:, 7:] == tail).all()
        assert ((inputs[:, :7] > 0).sum(axis=1) == 3).all()
        assert np.allclose((inputs[:, :7] > 0).mean(axis=0), 3 / 7, atol=0.04)


def test_published_baseline_of_denoising_is_that_of_chance():
    spec = Selective(form="denoise", slots=209, symbols=10, alphabet=9)
    assert spec.build().chance["nll"] == pytest.approx(0.0999, abs=5e-5)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"slots": 9}, r"slots=9: .*>= 16"),
        ({"form": "denose"}, r"form.*'denose'.*'denoise'"),
    ],
)
def test_impossible_fields_are_refused_by_name_value_and_remedy(fields, message):
    with pytest.raises(ValueError, match=message):
        Selective(**fields)
