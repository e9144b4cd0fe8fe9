"""Regular languages: automata against what the languages mean, written as regular expressions."""

import re
from functools import cache
from itertools import groupby, pairwise, product

import jax
import numpy as np
import pytest

from lstm_research.tasks.automaton import AUTOMATA, Automaton, automaton, walked
from lstm_research.tasks.task import Batch


def runs(string: str) -> list[tuple[str, bool]]:
    """Return the symbol of each run, and whether the run is odd."""
    return [(symbol, len(list(run)) % 2 == 1) for symbol, run in groupby(string)]


def like(pattern: str):
    return lambda string: re.fullmatch(pattern, string) is not None


MEANINGS = {
    "tomita_1": like("1*"),
    "tomita_2": like("(10)*"),
    "tomita_3": lambda s: all(pair != (("1", True), ("0", True)) for pair in pairwise(runs(s))),
    "tomita_4": lambda s: "000" not in s,
    "tomita_5": lambda s: s.count("0") % 2 == s.count("1") % 2 == 0,
    "tomita_6": lambda s: (s.count("0") - s.count("1")) % 3 == 0,
    "tomita_7": like("0*1*0*1*"),
    "aa_star": like("(00)*"),
    "abab_star": like("(0101)*"),
    "d_2": like("(0(01)*1)*"),
    "d_3": like("(0(0(01)*1)*1)*"),
    "d_4": like("(0(0(0(01)*1)*1)*1)*"),
}
MANY = 400


@cache
def held_out(form: str) -> list[Batch]:
    task = Automaton(form=form, length=4, test_length=12, held_out=MANY).build()
    return [jax.tree.map(np.asarray, batch) for batch in task.held_out(None, "test")]


@pytest.mark.parametrize("form", AUTOMATA)
def test_automata_accept_what_the_language_means_for_every_short_string(form):
    after, belongs = automaton(form)
    for length in range(1, 10):
        for symbols in product((0, 1), repeat=length):
            state = 0
            for symbol in symbols:
                state = after[state, symbol]
            assert belongs[state] == MEANINGS[form]("".join(map(str, symbols)))


@pytest.mark.parametrize("form", ["tomita_3", "tomita_5", "d_3"])
def test_every_prefix_is_labelled_by_the_language(form):
    for batch in held_out(form):
        for symbols, targets in zip(batch.inputs.tolist(), batch.targets.tolist(), strict=True):
            string = "".join(map(str, symbols))
            assert targets == [MEANINGS[form](string[:n]) for n in range(1, 13)]
        assert (batch.mask == 1).all() and (batch.extent == np.arange(1, 13)).all()


@pytest.mark.parametrize("form", AUTOMATA)
def test_half_of_the_strings_can_be_mended_at_their_end(form):
    after, _ = automaton(form)
    dead, odds = len(after) - 1, walked(after, 30)
    assert np.allclose(odds.sum(axis=1), 1) and (odds >= 0).all()
    state = np.eye(dead + 1)[0]
    for _ in range(30):
        after_it = np.zeros(dead + 1)
        for symbol in (0, 1):
            np.add.at(after_it, after[:, symbol], state * odds[:, symbol])
        state = after_it
    has = (after[:dead] == dead).any()
    assert state[dead] == pytest.approx(0.5 if has else 0.0, abs=1e-6)


@pytest.mark.parametrize("form", ["tomita_3", "tomita_5", "d_3"])
def test_seeing_the_present_symbol_alone_gets_the_stated_chance(form):
    chance = Automaton(form=form, length=4, test_length=12).build().chance
    counts = np.zeros((2, 2))
    for batch in held_out(form):
        np.add.at(counts, (batch.inputs, batch.targets), 1)
    shares = counts / counts.sum(axis=1, keepdims=True)
    nll = -(counts * np.log(np.where(counts > 0, shares, 1))).sum() / counts.sum()
    assert chance["accuracy"] == pytest.approx(counts.max(axis=1).sum() / counts.sum(), abs=0.03)
    assert chance["nll"] == pytest.approx(nll, abs=0.04)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"form": "tomita_8"}, r"form.*'tomita_8'.*'tomita_"),
        ({"length": 1}, r"length=1: .*>= 2"),
        ({"test_length": 40}, r"test_length=40: .*>= 41"),
    ],
)
def test_impossible_fields_are_refused_by_name_value_and_remedy(fields, message):
    with pytest.raises(ValueError, match=message):
        Automaton(**fields)
