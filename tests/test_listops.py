"""ListOps: trees drawn level by level against a parser that reads the tokens one by one."""

import hashlib
from functools import cache
from statistics import median

import jax
import numpy as np
import pytest

from lstm_research.tasks import trees
from lstm_research.tasks.listops import ListOps

SPEC = ListOps(shortest=4, longest=40, depth=4, arguments=4, train=600, held_out=300)
ACTIONS = {10: min, 11: max, 12: lambda held: int(median(held)), 13: lambda held: sum(held) % 10}


def parsed(tokens: list[int]) -> tuple[int, int, list[int]]:
    """Return value, depth and numbers of arguments of the one tree that the tokens write."""
    waiting, arguments, deepest = [[]], [], 1
    for token in tokens:
        if token == trees.CLOSE:
            operator, *held = waiting.pop()
            arguments.append(len(held))
            waiting[-1].append(ACTIONS[operator](held))
        elif token >= trees.MIN:
            waiting.append([token])
        else:
            waiting[-1].append(token)
            deepest = max(deepest, len(waiting))
    ((value,),) = waiting
    return value, deepest, arguments


@cache
def splits() -> dict[str, list[tuple[list[int], int]]]:
    found = {}
    for split, corpus in SPEC.build().data.items():
        tokens, starts, lengths, values = map(np.asarray, corpus)
        found[split] = [
            (tokens[start : start + many].tolist(), int(value))
            for start, many, value in zip(starts, lengths, values, strict=True)
        ]
        assert sum(lengths) == len(tokens)
    return found


def test_values_are_those_of_a_parser_and_trees_keep_their_limits():
    seen, deepest = set(), 0
    for pieces in splits().values():
        for tokens, value in pieces:
            found, depth, arguments = parsed(tokens)
            assert found == value and 4 <= len(tokens) <= 40
            assert 2 <= depth <= 4 and all(2 <= many <= 4 for many in arguments)
            seen |= set(tokens)
            deepest = max(deepest, depth)
    assert seen == set(range(trees.TOKENS)) and deepest == 4


def test_no_tree_comes_twice_in_or_across_splits():
    every = [tuple(tokens) for pieces in splits().values() for tokens, _ in pieces]
    assert len(set(every)) == len(every) == 600 + 2 * 300


def test_trees_have_the_odds_of_the_grammar():
    """A root is an operator with odds 1/4, of 2..3 children, each a fair digit where it is one."""
    every = trees.levels(np.random.default_rng(3), 20_000, 2, 3)
    roots, below = every
    assert (roots.children > 0).mean() == pytest.approx(1 / 4, abs=0.01)
    kinds = np.bincount(roots.tokens[roots.children > 0] - trees.MIN) / (roots.children > 0).sum()
    assert np.allclose(kinds, 1 / 4, atol=0.02)
    assert np.bincount(roots.children)[2:] / 20_000 == pytest.approx([1 / 8, 1 / 8], abs=0.01)
    assert not below.children.any()
    assert np.allclose(np.bincount(below.tokens) / len(below.tokens), 1 / 10, atol=0.01)


def test_held_out_batches_hold_every_tree_of_a_split_once_with_its_length():
    task = SPEC.build()
    found = []
    for batch in task.held_out(task.data, "test"):
        for row, many in enumerate(np.asarray(batch.lengths)):
            tokens = np.asarray(batch.inputs[row])
            assert batch.extent[row] == many and not tokens[many:].any()
            found.append((tokens[:many].tolist(), int(batch.targets[row])))
    assert found == splits()["test"]
    shares = np.bincount([value for _, value in found]) / len(found)
    assert task.chance["accuracy"] == pytest.approx(shares.max())


def test_an_epoch_takes_every_training_tree_once():
    task = SPEC.build()
    rows = []
    for step in range(3):
        batch = task.draw_at(task.data, jax.random.key(0), step, 200)
        rows += [tuple(row[:n]) for row, n in zip(np.asarray(batch.inputs).tolist(),
                                                  np.asarray(batch.lengths), strict=True)]  # fmt: skip
    assert sorted(rows) == sorted(tuple(tokens) for tokens, _ in splits()["train"])


def test_long_trees_are_parsed_alike():
    tokens, lengths, values = trees.corpus(1, 20, 501, 1999, 10, 10)
    for start, many, value in zip(np.cumsum(lengths) - lengths, lengths, values, strict=True):
        assert parsed(tokens[start : start + many].tolist())[0] == value and 501 <= many <= 1999
    again = trees.corpus(1, 20, 501, 1999, 10, 10)
    other = trees.corpus(2, 20, 501, 1999, 10, 10)
    assert (again[0] == tokens).all() and again[0].tolist() != other[0].tolist()


@pytest.mark.parametrize(
    ("asked", "digest"),
    [
        ((0, 2000, 5, 50, 4, 5), "76168ea2f30e2662"),
        ((1, 20, 501, 1999, 10, 10), "5545d792490563d5"),
        ((7, 300, 5, 200, 6, 2), "5f3c0c6a2a9db0d9"),
    ],
)
def test_a_seed_means_the_trees_that_it_always_meant(asked, digest):
    tokens, lengths, values = trees.corpus(*asked)
    written = b"".join(each.astype("<i8").tobytes() for each in (tokens, lengths, values))
    assert hashlib.sha256(written).hexdigest()[:16] == digest


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"shortest": 60}, r"longest=50: .*>= 60"),
        ({"shortest": 3}, r"shortest=3: .*>= 4"),
        ({"shortest": 40, "depth": 3}, r"shortest=40: .*depth=3.*at most 37"),
        ({"arguments": 1}, r"arguments=1: .*>= 2"),
    ],
)
def test_impossible_fields_are_refused_by_name_value_and_remedy(fields, message):
    with pytest.raises(ValueError, match=message):
        ListOps(**fields)


def test_a_corpus_larger_than_the_language_is_refused():
    with pytest.raises(ValueError, match=r"task.train=900 .*different trees; 400 were found"):
        ListOps("listops", 4, 4, 2, 2, 900, 10).build()
