"""The public names: what a notebook types first."""

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

import lstm_research as lr


@pytest.mark.parametrize("name", lr.__all__)
def test_every_public_name_is_there(name):
    assert callable(getattr(lr, name)) and name in dir(lr)


def test_names_of_functions_win_over_modules_of_the_same_name():
    import lstm_research.cell
    import lstm_research.unroll

    assert callable(lr.cell) and callable(lr.unroll)
    assert lstm_research.cell is lr.cell


def test_an_unknown_name_lists_those_that_exist():
    with pytest.raises(AttributeError, match=r"'cel'.*NnxCell"):
        _ = lr.cel


def test_a_cell_by_name_unrolls():
    cell = lr.cell("cifg", peephole="io")
    weights = cell.init(jax.random.key(0), 3, 5)
    carry, h = lr.unroll(cell, weights, cell.start((2,), 5), jnp.ones((7, 2, 3)), engine="auto")
    assert h.shape == (7, 2, 5) and carry.c.shape == (2, 5)


def test_an_unknown_cell_names_the_nearest():
    with pytest.raises(ValueError, match=r"'cfig'.*'cifg'"):
        lr.cell("cfig")


def test_a_task_by_name_samples_the_same_batch_twice():
    task = lr.task("adding", length=20)
    one, two = (task.sample(jax.random.key(1), size=4) for _ in range(2))
    assert one.inputs.shape == (4, 20, 2) and bool((one.inputs == two.inputs).all())


def test_a_cell_runs_inside_flax():
    layer = nnx.RNN(lr.NnxCell("cifg", in_features=3, hidden_features=4, rngs=nnx.Rngs(0)))
    assert layer(jnp.ones((2, 5, 3))).shape == (2, 5, 4)


def test_a_spec_trains_alone():
    spec = lr.build({
        "cell": {"kind": "elman"}, "task": {"kind": "adding", "length": 5, "held_out": 10},
        "network": {"hidden": 4}, "budget": {"steps": 4, "batch": 2, "evaluate_every": 2},
    })  # fmt: skip
    result = lr.fit(spec)
    assert result.status == "finished" and result.metrics["test"]["mse"] > 0
