"""Long lags: the first of x and y decides, whatever lies between; kept to plain Python."""

import numpy as np
import pytest
from judged import draw, score
from sampled import first

from lstm_research.tasks.long_lag import LongLag
from lstm_research.tasks.task import Batch

MANY = 4000
FORMS = [
    LongLag(form="2a", delay=6),
    LongLag(form="2b", delay=6),
    LongLag(form="2b", delay=6, distractors=3),
    LongLag(form="2c", delay=6, distractors=4, tail=12),
]


def texts(spec: LongLag, batch: Batch) -> list[str]:
    """Return each row in letters: x, y, and digits for distractors; in 2c b and e too."""
    letters = list("xybe0123456789" if spec.form == "2c" else "xy0123456789")
    ends = np.full(len(batch.inputs), spec.delay) if batch.lengths is None else batch.lengths
    return ["".join(letters[i] for i in row[:n]) for row, n in zip(batch.inputs, ends, strict=True)]


def answers(spec: LongLag, batch: Batch) -> np.ndarray:
    """Return the outputs of one who remembers the first of x and y."""
    outputs = np.zeros((*batch.mask.shape, spec.build().outputs))
    for row, text in enumerate(texts(spec, batch)):
        first = "xy".index(next(letter for letter in text if letter in "xy"))
        if spec.form == "2c":
            outputs[row, first] = 20.0
            continue
        for step in range(spec.delay - 1):
            following = [step + 2] if spec.form == "2a" else range(2, 2 + spec.different)
            outputs[row, step, :2] = -20.0
            outputs[row, step, list(following)] += 20.0 * (spec.form == "2a")
        outputs[row, -1, first] = 20.0
    return outputs


@pytest.mark.parametrize("spec", first(FORMS, 2))
def test_a_memory_of_the_first_symbol_solves_it(spec):
    batch = draw(spec, MANY)
    found, best = score(spec, answers(spec, batch), batch), spec.build().ceiling
    assert found["accuracy"] == found["within"] == 1.0
    assert found["nll"] == pytest.approx(best["nll"], abs=1e-5)
    assert spec.build().success.holds(found)


@pytest.mark.parametrize("spec", FORMS)
def test_no_memory_of_it_gets_the_stated_chance(spec):
    batch, chance = draw(spec, MANY), spec.build().chance
    outputs = answers(spec, batch)
    last = outputs if spec.form == "2c" else outputs[:, -1]
    last[:, 2:] = -20.0
    last[:, :2] = [1e-4, 0.0]
    found = score(spec, outputs, batch)
    assert found["accuracy"] == pytest.approx(chance["accuracy"], abs=0.04)
    assert found["nll"] == pytest.approx(chance["nll"], abs=1e-3)
    assert found["within"] == chance["within"] == 0.0


def test_2a_has_two_sequences_in_all():
    spec = FORMS[0]
    batch = draw(spec, MANY)
    assert set(texts(spec, batch)) == {"x01234", "y01234"}
    assert (batch.targets[:, -1] == batch.inputs[:, 0]).all()
    assert (batch.targets[:, :-1] == batch.inputs[:, 1:]).all()
    assert batch.inputs[:, 0].mean() == pytest.approx(0.5, abs=0.04)


def test_2b_has_any_distractor_anywhere():
    for spec in FORMS[1:3]:
        batch = draw(spec, MANY)
        shares = np.bincount(batch.inputs[:, 1:].ravel())[2:] / (5 * MANY)
        assert len(shares) == spec.different
        assert np.allclose(shares, 1 / spec.different, atol=0.018)


def test_2c_ends_with_the_trigger_after_a_geometric_tail():
    spec = FORMS[3]
    rows = texts(spec, batch := draw(spec, MANY))
    tails = np.array([len(text) - 9 for text in rows])
    for text, lag in zip(rows, batch.extent, strict=True):
        assert text[0] == "b" and text[1] in "xy" and text.index("e") == len(text) - 1
        assert set(text[2:-1]) <= set("0123") and lag == len(text) - 2
    assert tails.min() == 0 and tails.max() == 12
    odds = 0.1 * 0.9 ** np.arange(13)
    assert np.allclose(np.bincount(tails) / MANY, odds / odds.sum(), atol=0.025)


def test_an_output_off_by_the_tolerance_is_not_within():
    for spec, edge in ((FORMS[1], 0.25), (FORMS[3], 0.2)):
        batch = draw(spec, 50)
        for wide, within in ((edge + 0.01, 0.0), (edge - 0.01, 1.0)):
            outputs = answers(spec, batch)
            last = outputs if spec.form == "2c" else outputs[:, -1]
            best = last.argmax(axis=1)
            last[:] = -30.0
            last[np.arange(50), best] = np.log(1 - wide)
            last[np.arange(50), 1 - best] = np.log(wide)
            assert score(spec, outputs, batch)["within"] == within
