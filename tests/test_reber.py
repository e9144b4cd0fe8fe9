"""The embedded Reber grammar, against an automaton written from its picture, edge by edge."""

from collections import Counter
from functools import cache
from itertools import permutations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from judged import score

from lstm_research.tasks import grammar
from lstm_research.tasks.reber import Reber
from lstm_research.tasks.task import Batch

MANY = 20_000
EDGES = [  # from, symbol, to: the diamond with its two loops
    ("in", "B", "fork"), ("fork", "T", "up"), ("fork", "P", "down"), ("up", "S", "up"),
    ("up", "X", "right up"), ("down", "T", "down"), ("down", "V", "right down"),
    ("right up", "X", "down"), ("right up", "S", "join"), ("right down", "P", "right up"),
    ("right down", "V", "join"), ("join", "E", "out"),
]  # fmt: skip


def legal_after(prefix: str) -> set[str]:
    """Return which symbols may follow a prefix of an embedded string; fail where it is none."""
    if not prefix:
        return {"B"}
    if len(prefix) == 1:
        return {"T", "P"}
    place = "in"
    for at, symbol in enumerate(prefix[2:], start=2):
        moves = [after for before, name, after in EDGES if (before, name) == (place, symbol)]
        if place == "out":
            assert symbol == prefix[1]
            rest = prefix[at + 1 :]
            assert rest in ("", "E")
            return {"E"} if not rest else set()
        assert len(moves) == 1, f"{symbol} may not follow {prefix[:at]}"
        place = moves[0]
    return {prefix[1]} if place == "out" else {name for start, name, _ in EDGES if start == place}


@cache
def draw(longest: int = 50) -> tuple[Reber, Batch]:
    spec = Reber(longest=longest)
    batch = jax.jit(spec.build().draw, static_argnums=2)(None, jax.random.key(1), MANY)
    return spec, jax.tree.map(np.asarray, batch)


def head(batch: Batch, rows: int) -> Batch:
    return jax.tree.map(lambda leaf: leaf[:rows], batch)


def texts(batch: Batch) -> list[str]:
    """Return the strings, the last symbol from the targets."""
    whole = np.concatenate([batch.inputs[:, :1], batch.targets], axis=1)
    letters = np.array(list(grammar.SYMBOLS))[whole]
    return ["".join(row[: end + 1]) for row, end in zip(letters, batch.lengths, strict=True)]


def test_every_string_is_legal_and_ends():
    _, batch = draw()
    for text in texts(head(batch, 2000)):
        for end in range(len(text)):
            assert text[end] in legal_after(text[:end])
        assert legal_after(text) == set() and text[1] == text[-2]


def test_a_memory_of_the_grammar_solves_it():
    spec, batch = draw()
    batch = head(batch, 500)
    outputs = np.full((*batch.inputs.shape, 7), -20.0)
    for row, text in enumerate(texts(batch)):
        for step in range(len(text) - 1):
            for symbol in legal_after(text[: step + 1]):
                outputs[row, step, grammar.SYMBOLS.index(symbol)] = 0.0
    found = score(spec, outputs, batch)
    assert found["legal"] == found["sequence_legal"] == 1.0 and found["accuracy"] < 1.0
    assert spec.build().success.holds(found)


def test_strings_are_told_by_their_length():
    spec, batch = draw()
    batch = head(batch, 200)
    long = np.array([len(text) for text in texts(batch)])
    assert (batch.extent == long[:, None]).all()
    outputs = np.where(grammar.legal_next(jnp.asarray(batch.inputs)), 1.0, 0.0)
    outputs[long >= 14, 0] = 0.0  # B is followed by anything
    found = score(spec, outputs, batch)
    assert found["sequence_legal@length=9-13"] == 1.0
    assert found["sequence_legal@length=14-18"] == 0.0
    assert found["sequence_legal"] == pytest.approx(np.mean(long < 14))


def test_who_knows_the_grammar_gets_the_stated_entropy():
    spec, batch = draw(longest=12)  # the cap makes branches unequal
    odds = grammar.first_branch(12)
    outputs = np.full((*batch.inputs.shape, 7), -30.0)
    states = np.zeros(MANY, int)
    for step in range(batch.inputs.shape[1]):
        states = grammar.AFTER[states, batch.inputs[:, step]]
        for branch in (1, 0):
            odd = np.abs(branch - odds[11 - step, states])
            symbol = grammar.EMITTED[states, branch]
            outputs[np.arange(MANY), step, symbol] = np.log(np.maximum(odd, 1e-12))
        alone = grammar.EMITTED[states, 0] == grammar.EMITTED[states, 1]
        outputs[alone, step, grammar.EMITTED[states, 0][alone]] = 0.0
    found = score(spec, outputs, batch)
    assert found["nll"] == pytest.approx(spec.build().ceiling["nll"], abs=0.005)


def test_one_illegal_symbol_on_a_par_fails_its_step_and_its_string():
    spec, batch = draw()
    batch = head(batch, 1)
    outputs = np.where(grammar.legal_next(jnp.asarray(batch.inputs)), 1.0, 0.0)
    assert score(spec, outputs, batch)["sequence_legal"] == 1.0
    outputs[0, 0, grammar.SYMBOLS.index("E")] = 1.0  # after B, no better than T and P
    found = score(spec, outputs, batch)
    assert found["sequence_legal"] == 0.0
    assert found["legal"] == pytest.approx(1 - 1 / float(batch.mask.sum()))


def test_seeing_the_present_symbol_alone_gets_the_stated_chance():
    spec, batch = draw()
    asked = batch.mask > 0
    pairs = np.zeros((7, 7))
    np.add.at(pairs, (batch.inputs[asked], batch.targets[asked]), 1)
    rows = np.maximum(pairs.sum(axis=1, keepdims=True), 1)
    outputs = np.log(np.maximum(pairs / rows, 1e-12))[batch.inputs]
    found, chance = score(spec, outputs, batch), spec.build().chance
    assert found["nll"] == pytest.approx(chance["nll"], abs=0.01)
    assert found["accuracy"] == pytest.approx(chance["accuracy"], abs=0.012)
    assert found["sequence_legal"] == chance["sequence_legal"] == 0.0


def test_the_best_ranking_after_the_present_symbol_gets_the_stated_legal_share():
    spec, batch = draw()
    seen: dict[str, Counter] = {symbol: Counter() for symbol in "BTPSXVE"}
    for text in texts(head(batch, 6000)):
        for end in range(1, len(text)):
            seen[text[end - 1]][frozenset(legal_after(text[:end]))] += 1
    on_top = 0
    for sets in seen.values():
        rankings = permutations("BTPSXVE", 2)  # no legal set is larger
        on_top += max(sets[frozenset(top[:1])] + sets[frozenset(top)] for top in rankings)
    share = on_top / sum(sum(sets.values()) for sets in seen.values())
    assert share == pytest.approx(spec.build().chance["legal"], abs=0.012)


def test_branches_are_fair_and_lengths_are_those_of_the_grammar():
    _, batch = draw()
    lengths = np.array([len(text) for text in texts(batch)])
    assert lengths.min() == 9 and np.mean(lengths == 9) == pytest.approx(1 / 4, abs=0.028)
    assert lengths.mean() == pytest.approx(12.0, abs=0.25)  # 8 expected inside, and four around
    assert np.mean([text[1] == "T" for text in texts(batch)]) == pytest.approx(0.5, abs=0.032)


def test_a_cap_only_conditions_the_grammar_on_shorter_strings():
    _, free = draw()
    _, capped = draw(longest=12)
    short = [text for text in texts(free) if len(text) <= 12]
    kept = texts(capped)
    assert max(map(len, kept)) == 12
    for text in set(short):
        share = short.count(text) / len(short)
        assert kept.count(text) / len(kept) == pytest.approx(share, abs=0.02)


def test_a_corpus_holds_that_many_strings_to_train_and_as_many_others_to_test():
    task = Reber(corpus=256).build()
    train = {tuple(row) for row in np.asarray(task.data["train"].symbols)}
    test = {tuple(row) for row in np.asarray(task.data["test"].symbols)}
    assert len(train) == len(test) == 256 and not train & test
    drawn = task.sample(jax.random.key(0), 500)
    whole = np.concatenate([drawn.inputs[:, :1], drawn.targets], axis=1)
    assert {tuple(row) for row in whole} <= train
    assert task.held_out(task.data, "valid")[0].inputs.shape[0] == 512
    other = Reber(corpus=256, corpus_seed=1).build()
    assert {tuple(row) for row in np.asarray(other.data["train"].symbols)} != train


def test_a_corpus_larger_than_the_grammar_is_refused():
    with pytest.raises(ValueError, match=r"task.corpus=256 needs 512.*; 4 were found.*longest=9"):
        Reber(longest=9, corpus=256).build()
