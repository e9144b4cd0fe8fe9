"""The continual grammar, against strings cut out of the stream and read one by one."""

from itertools import permutations

import numpy as np
import pytest
from judged import draw, held_out, score
from test_reber import legal_after

from lstm_research.tasks import continual_reber as module
from lstm_research.tasks.continual_reber import ContinualReber
from lstm_research.tasks.grammar import SYMBOLS

SPEC = ContinualReber(length=60, stream=40, held_out=600)


def legal(stream: str) -> list[set[str]]:
    """Return which symbols may follow each symbol of a stream; fail where it is none."""
    found, begin = [], 0
    for end in range(len(stream)):
        if begin == end:
            assert stream[end] == "B"
        else:
            assert stream[end] in legal_after(stream[begin:end])
        after = legal_after(stream[begin : end + 1])
        begin = begin if after else end + 1
        found.append(after or {"B"})
    return found


def streams(batch, rows: int) -> list[str]:
    return ["".join(SYMBOLS[i] for i in row) for row in batch.inputs[:rows]]


def test_a_stream_is_one_legal_string_after_another():
    batch = draw(SPEC, 200)
    for row, stream in enumerate(streams(batch, 200)):
        sets = legal(stream)
        targets = [SYMBOLS[i] for i in batch.targets[row]]
        assert all(symbol in allowed for symbol, allowed in zip(targets, sets, strict=True))
        assert targets[:-1] == list(stream[1:])


def test_a_memory_of_the_grammar_solves_it():
    batch = held_out(SPEC)
    outputs = np.full((*batch.inputs.shape, 7), -20.0)
    for row, stream in enumerate(streams(batch, len(outputs))):
        for step, allowed in enumerate(legal(stream)):
            for symbol in allowed:
                outputs[row, step, SYMBOLS.index(symbol)] = 0.0
    found, task = score(SPEC, outputs, batch), SPEC.build()
    assert found["legal"] == found["sequence_legal"] == 1.0 and found["before_error"] == 40
    assert found["nll"] == pytest.approx(task.ceiling["nll"], abs=0.01)
    assert task.success.holds(found)
    wrong = outputs.copy()
    wrong[:, 25] = 0.0  # on a par
    assert score(SPEC, wrong, batch)["before_error"] == 25


def test_seeing_the_present_symbol_alone_gets_the_stated_chance():
    batch, chance = held_out(SPEC), SPEC.build().chance
    pairs = np.full((7, 7), 1e-9)
    np.add.at(pairs, (batch.inputs, batch.targets), 1)
    odds = pairs / pairs.sum(axis=1, keepdims=True)
    found = score(SPEC, np.log(odds)[batch.inputs], batch)
    assert found["nll"] == pytest.approx(chance["nll"], abs=0.01)
    assert found["accuracy"] == pytest.approx(chance["accuracy"], abs=0.012)
    assert found["legal"] <= chance["legal"] + 0.012
    assert found["before_error"] <= chance["before_error"] + 0.2


def test_the_best_ranking_goes_as_far_as_stated():
    batch = held_out(SPEC)
    rows = streams(batch, 600)
    sets = [legal(stream) for stream in rows]
    seen = {(row[t], frozenset(s[t])) for row, s in zip(rows, sets, strict=True) for t in range(40)}
    choices = {symbol: set() for symbol in SYMBOLS}
    for symbol in SYMBOLS:
        follow = {each for one, each in seen if one == symbol}
        for top in permutations(SYMBOLS, 2):  # no legal set is larger
            choices[symbol].add(frozenset(follow & {frozenset(top[:1]), frozenset(top)}))
    best = {symbol: choices[symbol].pop() for symbol in SYMBOLS}  # climbed one symbol at a time
    far = lambda best: sum(reach(row, s, best) for row, s in zip(rows, sets, strict=True)) / 600
    for _ in range(2):
        for symbol in SYMBOLS:
            options = [*choices[symbol], best[symbol]]
            best[symbol] = max(options, key=lambda one, at=symbol: far({**best, at: one}))
    assert far(best) == pytest.approx(SPEC.build().chance["before_error"], abs=0.2)


def reach(stream: str, sets: list[set[str]], best: dict) -> int:
    for step, (symbol, allowed) in enumerate(zip(stream, sets, strict=True)):
        if frozenset(allowed) not in best[symbol]:
            return step
    return len(stream)


def test_moves_are_probabilities():
    assert np.allclose(module.MOVES.sum(axis=(1, 2)), 1)
