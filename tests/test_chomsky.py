"""Every string problem against plain Python, which reads the string and writes the answer."""

import math
from collections.abc import Callable
from functools import cache, partial
from itertools import pairwise

import jax
import numpy as np
import pytest
from sampled import first

from lstm_research.evaluate import evaluate, metrics
from lstm_research.tasks.chomsky import PROBLEMS, Chomsky
from lstm_research.tasks.context_sensitive import numbers, roots, subtracted
from lstm_research.tasks.spans import ROWS, Span
from lstm_research.tasks.task import Batch, Task
from lstm_research.tasks.transduction import draw

LENGTH, LONGEST, MANY = 9, 31, 1000


def value(tokens: list[int]) -> int:
    """Return the value modulo 5 of digits, + - * or + - ( ), by Python's own arithmetic."""
    return eval("".join("01234+-*"[token] for token in tokens)) % 5


def bracketed(tokens: list[int]) -> int:
    return eval("".join("01234+-()"[token] for token in tokens)) % 5


def solution(tokens: list[int]) -> int:
    """Try every digit; exactly one solves the equation."""
    left, right = tokens[:-2], tokens[-1]
    assert tokens[-2] == 10 and left.count(9) == 1
    solved = [d for d in range(5) if bracketed([d if t == 9 else t for t in left]) == right]
    assert len(solved) == 1
    return solved[0]


def after_actions(tokens: list[int]) -> list[int]:
    stack = []
    for token in tokens:
        if token == 2:
            stack = stack[:-1]
        else:
            stack.append(token % 3)
    return [*stack[::-1], 2]


def missing(tokens: list[int]) -> int:
    half = len(tokens) // 2
    hidden = tokens.index(2)
    assert (tokens[2 * half :] == [3]) if len(tokens) % 2 else True
    other = hidden - half if hidden >= half else hidden + half
    first, second = tokens[:half], tokens[half : 2 * half]
    assert all(a == b or 2 in (a, b) for a, b in zip(first, second, strict=True))
    return tokens[other]


def low_first(bits: list[int]) -> int:
    return sum(bit << place for place, bit in enumerate(bits))


def operated(tokens: list[int], operator: Callable[[int, int], int]) -> list[int]:
    at = tokens.index(2)
    a, b = low_first(tokens[:at]), low_first(tokens[at + 1 :])
    assert a > 0 and b > 0
    return [*map(int, reversed(f"{operator(a, b):b}")), 2]


def root(tokens: list[int]) -> list[int]:
    number = int("".join(map(str, tokens)), 2)
    assert number > 0
    return [*map(int, f"{math.isqrt(number):b}".zfill(-(-len(tokens) // 2)))]


ORACLES: dict[str, Callable[[list[int]], int | list[int]]] = {
    "even_pairs": lambda s: sum(a != b for a, b in pairwise(s)) % 2,
    "cycle_navigation": lambda s: sum({0: 0, 1: 1, 2: -1}[move] for move in s) % 5,
    "modular_arithmetic": value,
    "modular_arithmetic_brackets": bracketed,
    "solve_equation": solution,
    "stack_manipulation": after_actions,
    "reverse_string": lambda s: s[::-1],
    "duplicate_string": lambda s: s + s,
    "missing_duplicate": missing,
    "odds_first": lambda s: s[::2] + s[1::2],
    "binary_addition": lambda s: operated(s, lambda a, b: a + b),
    "binary_multiplication": lambda s: operated(s, lambda a, b: a * b),
    "compute_sqrt": root,
    "bucket_sort": sorted,
}


@cache
def drawn(form: str) -> Batch:
    """Return strings of every length at once: one program a form."""
    problem = PROBLEMS[form]
    make = jax.jit(partial(draw, problem), static_argnums=(1, 2))
    batch = make(jax.random.key(5), MANY, Span(problem.shortest, LONGEST))
    return jax.tree.map(np.asarray, batch)


def built(form: str) -> Task:
    return Chomsky(form=form, length=LENGTH, test_length=LONGEST, held_out=ROWS + 50).build()


def rows(batch: Batch, ask: int) -> list[tuple[list[int], list[int], list[float]]]:
    """Return of each row what stands before the asks, the answers under them and their weights."""
    found = []
    for row, (inputs, length) in enumerate(zip(batch.inputs, batch.lengths, strict=True)):
        tokens = inputs[:length].tolist()
        start = tokens.index(ask)
        assert set(tokens[start:]) == {ask} and not inputs[length:].any()
        if batch.mask.ndim == 1:
            assert length == start + 1
            found.append((tokens[:start], [int(batch.targets[row])], [float(batch.mask[row])]))
        else:
            asked = np.arange(len(inputs)) >= start
            asked &= np.arange(len(inputs)) < length
            assert ((batch.mask[row] > 0) == asked).all()
            answers = batch.targets[row][asked].tolist()
            found.append((tokens[:start], answers, batch.mask[row][asked].tolist()))
    return found


@pytest.mark.parametrize("form", first(ORACLES, 5))
def test_answers_are_those_of_plain_python(form):
    assert set(ORACLES) == set(PROBLEMS)
    problem, seen = PROBLEMS[form], set()
    for tokens, answers, weights in rows(drawn(form), problem.symbols):
        expected = ORACLES[form](tokens)
        assert answers == (expected if isinstance(expected, list) else [expected])
        assert sum(weights) == pytest.approx(1.0) and len(set(weights)) == 1
        assert all(0 <= token < problem.symbols for token in tokens)
        seen |= set(tokens)
    assert seen == set(range(problem.symbols))


@pytest.mark.parametrize("form", ORACLES)
def test_strings_have_every_length_and_say_so(form):
    batch = drawn(form)
    told = [len(tokens) for tokens, _, _ in rows(batch, PROBLEMS[form].symbols)]
    assert (batch.extent.reshape(MANY, -1)[:, 0] == told).all()
    odd = form == "modular_arithmetic"
    assert set(told) == set(range(PROBLEMS[form].shortest, LONGEST + 1, 2 if odd else 1))


@pytest.mark.parametrize("form", ORACLES)
def test_best_constant_gets_the_stated_chance_on_long_strings(form):
    batch, classes = drawn(form), PROBLEMS[form].classes
    long = batch.extent.reshape(MANY, -1)[:, 0] > LENGTH
    shares = np.bincount(batch.targets[long].ravel(), batch.mask[long].ravel(), classes)
    shares /= shares.sum()
    chance = built(form).chance
    loose = 0.06 if form in ("binary_multiplication", "compute_sqrt") else 0.04
    assert shares.max() == pytest.approx(chance["accuracy"], abs=loose)
    if "nll" in chance:
        nll = -(shares * np.log(np.maximum(shares, 1e-9))).sum()
        assert nll == pytest.approx(chance["nll"], abs=0.03)


def test_splits_differ_in_length_and_right_answers_reach_the_ceiling_of_each():
    task = built("reverse_string")
    measure = jax.jit(partial(metrics, task))
    score = lambda batch: measure(20 * np.eye(2, dtype=np.float32)[batch.targets], batch)
    for split, low, high in (("valid", 1, LENGTH), ("test", LENGTH + 1, LONGEST)):
        batches = [jax.tree.map(np.asarray, batch) for batch in task.held_out(None, split)]
        one, other = batches
        assert len(one.inputs) == len(other.inputs) == ROWS // 2 + 25
        assert not (one.inputs == other.inputs).all()
        assert set(np.concatenate([one.extent[:, 0], other.extent[:, 0]])) == {
            *range(low, high + 1)
        }
        found = evaluate(score, batches)
        assert found["accuracy"] == found["sequence_accuracy"] == 1.0 and found["nll"] < 1e-6
        assert task.success.holds(found)
        told = {name: value for name, value in found.items() if "@" in name and value == value}
        assert set(told.values()) == {1.0}
        assert (f"accuracy@length=1-{LENGTH}" in told) == (split == "valid")


def test_numbers_are_uniform_among_those_that_are_not_zero():
    lengths = np.repeat([1, 2, 3], 8000)
    drawn = numbers(jax.random.key(0), "number", jax.numpy.asarray(lengths), 3)
    found = (np.asarray(drawn) * [1, 2, 4]).sum(axis=1)
    for length in (1, 2, 3):
        shares = np.bincount(found[lengths == length], minlength=8) / 8000
        expected = np.where(np.arange(8) < 2**length, 1 / (2**length - 1), 0)
        expected[0] = 0
        assert np.allclose(shares, expected, atol=0.02)


def test_roots_and_differences_of_wide_numbers_are_those_of_integers():
    random = np.random.default_rng(0)
    bits = random.integers(0, 2, (20, 40))
    bits[0], bits[1] = 1, 0
    integer = lambda row: sum(int(bit) << place for place, bit in enumerate(row))
    for row, found in zip(bits, np.asarray(jax.jit(roots)(bits)), strict=True):
        assert integer(found) == math.isqrt(integer(row))
    found, short = map(np.asarray, jax.jit(subtracted)(bits[:10], bits[10:]))
    for a, b, c, less in zip(bits[:10], bits[10:], found, short, strict=True):
        assert integer(c) == (integer(a) - integer(b)) % 2**40 and less == (integer(b) > integer(a))


def test_published_chances_are_those_of_the_lengths_of_the_paper():
    for form in PROBLEMS:
        chance = PROBLEMS[form].chance(Span(41, 500))["accuracy"]
        fifth = PROBLEMS[form].classes == 5
        assert chance == pytest.approx(0.2 if fifth else 0.5, abs=0.12)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"form": "even_pair"}, r"form.*'even_pair'.*'even_pairs'"),
        ({"form": "solve_equation", "length": 2}, r"length=2: .*>= 3 .*solve_equation"),
        ({"test_length": 40}, r"test_length=40: .*>= 41"),
    ],
)
def test_impossible_fields_are_refused_by_name_value_and_remedy(fields, message):
    with pytest.raises(ValueError, match=message):
        Chomsky(**fields)
