"""The states that runs begin with are the same, however many are drawn at once."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from small import small

from lstm_research import beginnings, kept_program
from lstm_research.pack import Pack
from lstm_research.signature import member, program, signature


@pytest.fixture
def three(monkeypatch):
    """Three runs are many, and two are drawn at once."""
    monkeypatch.setattr(beginnings, "MANY", 3)
    monkeypatch.setattr(beginnings, "ONCE", 2)


@pytest.fixture
def made(monkeypatch):
    """What is compiled as one program."""
    found, real = [], kept_program.compiled

    def compiled(known, function, *rest, **more):
        found.append(function)
        return real(known, function, *rest, **more)

    monkeypatch.setattr(beginnings.kept_program, "compiled", compiled)
    return found


def runs(many, rate=1e-3):
    spec = small("gated", 0)
    return [
        replace(spec, seed=k, optimizer=replace(spec.optimizer, rate=rate * (k + 1)))
        for k in range(many)
    ]


def same(got, want):
    assert jax.tree.structure(got) == jax.tree.structure(want)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.dtype == b.dtype


def drawn(specs, order):
    """Begin runs in an order; hold each to its pieces; return the object that drew them."""
    whole = program(signature(specs[0]))
    members = [member(spec) for spec in specs]
    found = beginnings.Beginnings(whole, False, lambda *what: None)
    found.expect(members, 1)
    for k in order:
        same(found.of(members[k]), whole.begin(members[k]))
    return found


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4], [4, 2, 0, 1, 3]])
def test_many_runs_of_a_cell_begin_by_one_program_with_the_same_bits(three, made, order):
    found = drawn(runs(5), order)
    assert len(made) == 1 and not found.drawn and not found.waiting


def test_a_run_that_begins_again_begins_by_its_pieces(three, made):
    found = drawn(runs(3), [0, 1, 2, 1])
    assert len(made) == 1 and not found.waiting


def test_few_runs_begin_by_their_pieces(three, made):
    drawn(runs(2), [1, 0])
    assert not made


def test_states_too_large_to_be_many_begin_one_by_one(three, made, monkeypatch):
    monkeypatch.setattr(beginnings, "ROOM", 10)
    drawn(runs(4), range(4))
    assert not made


def test_each_cell_of_a_pack_has_its_own_program(three, made):
    specs = runs(3)
    other = [replace(spec, cell=replace(spec.cell, forget_bias=3.0)) for spec in specs]
    mixed = [spec for pair in zip(specs, other, strict=True) for spec in pair]
    drawn(mixed, range(6))
    assert len(made) == 2


def test_a_pack_hears_of_its_runs_when_it_is_prepared(three, made):
    specs = runs(4)
    pack = Pack(program(signature(specs[0])), 2)
    pack.prepare(map(member, specs))
    assert [each.seed for each, _ in pack.beginnings.drawn] == [0, 1]
    for spec in specs:
        same(pack.begin(member(spec)), pack.program.begin(member(spec)))
    assert not pack.beginnings.drawn
