"""Brackets: a list as stack, and a count a kind, against the sets of what may come next."""

from collections import Counter
from functools import cache, partial

import jax
import numpy as np
import pytest
from sampled import first

from lstm_research.evaluate import metrics
from lstm_research.tasks.dyck import Dyck
from lstm_research.tasks.task import Batch

MANY = 250
SPECS = {
    "nested": Dyck(length=5, test_length=14, held_out=MANY),
    "nested one": Dyck(brackets=1, length=12, held_out=MANY),
    "nested flat": Dyck(brackets=3, depth=2, length=12, held_out=MANY),
    "shuffled": Dyck(form="shuffled", brackets=3, length=12, held_out=MANY),
    "shuffled flat": Dyck(form="shuffled", depth=3, length=12, held_out=MANY),
}


@cache
def held_out(name: str) -> Batch:
    (batch,) = SPECS[name].build().held_out(None, "test")
    return jax.tree.map(np.asarray, batch)


def allowed(spec: Dyck, symbols: list[int]) -> list[set[int]]:
    """Return the set after each symbol; raise where a symbol was not allowed."""
    n, open_ones, found = spec.brackets, [], [set(range(spec.brackets))]
    for symbol in symbols:
        assert symbol in found[-1]
        kind = symbol % n
        if symbol < n:
            open_ones.append(kind)
        elif spec.form == "nested":
            assert open_ones.pop() == kind
        else:
            open_ones.remove(kind)
        room = spec.depth is None or len(open_ones) < spec.depth
        may = set(range(n)) if room else set()
        may |= {n + kind for kind in (open_ones[-1:] if spec.form == "nested" else open_ones)}
        found.append(may if open_ones else may | {2 * n})
    return found[1:]


@pytest.mark.parametrize("name", first(SPECS, 2))
def test_sets_are_those_of_a_stack_or_of_counts(name):
    spec, batch = SPECS[name], held_out(name)
    for symbols, targets in zip(batch.inputs.tolist(), batch.targets, strict=True):
        assert [set(np.flatnonzero(row).tolist()) for row in targets] == allowed(spec, symbols)
    assert (batch.mask == 1).all() and (batch.extent == np.arange(1, batch.mask.shape[1] + 1)).all()


@pytest.mark.parametrize("name", SPECS)
def test_the_likeliest_set_of_each_symbol_gets_the_stated_chance(name):
    spec, batch = SPECS[name], held_out(name)
    seen: dict[int, Counter] = {}
    for symbols in batch.inputs.tolist():
        for symbol, may in zip(symbols, allowed(spec, symbols), strict=True):
            seen.setdefault(symbol, Counter())[frozenset(may)] += 1
    right = sum(sets.most_common(1)[0][1] for sets in seen.values())
    assert spec.build().chance["set"] == pytest.approx(right / batch.mask.sum(), abs=0.03)


def test_one_wrong_symbol_of_a_set_makes_its_step_and_its_string_wrong():
    task, batch = SPECS["nested"].build(), held_out("nested")
    outputs = np.where(batch.targets > 0.5, 20.0, -20.0).astype(np.float32)
    measure = jax.jit(partial(metrics, task))
    score = lambda each: {
        name: float(total / weight) for name, (total, weight) in measure(each, batch).items()
    }
    found = score(outputs)
    assert found["set"] == found["sequence_set"] == 1.0 and found["nll"] < 1e-6
    assert all(value == 1.0 for name, value in found.items() if "@" in name)
    assert task.success.holds(found)
    outputs[7, 3, 0] *= -1
    found = score(outputs)
    assert found["set"] == pytest.approx(1 - 1 / batch.mask.size)
    assert found["sequence_set"] == pytest.approx(1 - 1 / MANY)
    assert found["set@length=1-5"] < 1.0 == found["set@length=6"]


def test_strings_open_and_close_with_even_odds_where_both_may_be():
    batch = held_out("nested")
    opened = batch.inputs < 2
    depth = np.cumsum(np.where(opened, 1, -1), axis=1)
    assert opened[:, 1:][depth[:, :-1] > 0].mean() == pytest.approx(0.5, abs=0.03)
    assert opened[:, 1:][depth[:, :-1] == 0].all()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"form": "shufled"}, r"form.*'shufled'.*'shuffled'"),
        ({"brackets": 0}, r"brackets=0: .*>= 1"),
        ({"depth": 1}, r"depth=1: .*>= 2"),
        ({"length": 2}, r"length=2: .*>= 3"),
        ({"test_length": 40}, r"test_length=40: .*>= 41"),
    ],
)
def test_impossible_fields_are_refused_by_name_value_and_remedy(fields, message):
    with pytest.raises(ValueError, match=message):
        Dyck(**fields)
