"""What runs share: how weights start is no part of a program, of any kind of cell."""

import dataclasses

import jax
import pytest
from sampled import first
from small import small

from lstm_research.cells import CELLS
from lstm_research.engines import unroll
from lstm_research.signature import STARTS, bare, member, signature, unites

OTHER = {"kernel": "uniform", "recurrent": "glorot", "bias": "uniform", "forget_bias": 0.5}


def trace(cell, x, weights) -> str:
    made = cell.build()
    run = lambda x, weights: unroll(made, weights, made.start((2,), 4), x)
    return str(jax.make_jaxpr(run)(x, weights)).replace(" ", "")


@pytest.mark.parametrize("kind", first(sorted(CELLS), 6))
def test_a_start_changes_numbers_and_no_program(kind):
    fields = {field.name for field in dataclasses.fields(CELLS[kind])}
    changes = {key: value for key, value in OTHER.items() if key in fields & set(STARTS)}
    try:
        other = CELLS[kind](**changes)
    except ValueError:
        other = CELLS[kind]()
    features = 5 if kind == "tlstm" else 4
    x = jax.ShapeDtypeStruct((3, 2, features), "float32")
    key = jax.random.key(0)
    shapes = [
        jax.eval_shape(lambda c=cell: c.build().init(key, features, 4))
        for cell in (other, bare(other))
    ]
    assert shapes[0] == shapes[1]
    clean = lambda text: "".join(line for line in text.splitlines() if "0x" not in line)
    assert clean(trace(other, x, shapes[0])) == clean(trace(bare(other), x, shapes[1]))


def test_runs_that_start_differently_share_a_program_and_keep_their_start():
    one, two = small(forget_bias=1.0), small(chrono=5.0)
    assert signature(one) == signature(two)
    assert member(one).cell != member(two).cell


def test_a_row_with_weight_noise_or_a_wrapper_is_no_part_of_a_superset():
    plain = small()
    noisy = dataclasses.replace(plain.optimizer, weight_noise=0.1)
    assert unites(plain) == unites(small(coupled=True)) is not None
    assert unites(dataclasses.replace(plain, optimizer=noisy)) is None
    assert unites(small("elman")) is None
