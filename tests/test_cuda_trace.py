"""What is left of a step for a GPU: nothing that changes no number."""

import jax
import pytest
from sampled import sampled
from test_cells import SPECS
from test_cuda import MATRICES, described

from lstm_research import cuda
from lstm_research.activated import numbers
from lstm_research.cuda_trace import unmoved


@pytest.mark.parametrize("hidden", [20, 128])
def test_nothing_is_added_to_zero_or_multiplied_by_one(hidden):
    for call in described(hidden):
        made = call.spec.stages.program
        fixed = numbers(made)
        for equation in made.equations:
            assert unmoved(equation.primitive.name, list(equation.invars), fixed) is None


def test_a_number_of_another_shape_is_no_neighbour():
    one, all_units = (jax.make_jaxpr(lambda x: x)(0.0).jaxpr.invars[0] for _ in range(2))
    assert unmoved("add", [one, all_units], {one: 0.0}) is all_units
    assert unmoved("mul", [one, all_units], {one: 0.0}) is None
    wide = jax.make_jaxpr(lambda x: x)(jax.numpy.zeros(3)).jaxpr.invars[0]
    assert unmoved("add", [one, wide], {one: 0.0}) is None


@pytest.mark.parametrize("name", sampled(MATRICES))
def test_a_cell_that_had_a_kernel_has_one(name):
    cell = SPECS[name].build()._replace(precision="bfloat16")
    assert cuda.unserved(cell, 32) is None
