"""Training: batches from (task, seed, step), honest ends, one compilation for all seeds."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lstm_research.gated import GateSpec
from lstm_research.network import NetworkSpec
from lstm_research.optimizer import OptimizerSpec
from lstm_research.program import Budget, Program, pieces
from lstm_research.tasks.adding import Adding
from lstm_research.tasks.parity import Parity
from lstm_research.tasks.task import Success
from lstm_research.train import fit, one

BUDGET = Budget(steps=25, batch=4, evaluate_every=10)


def program(task=None, budget=BUDGET, rule=None, network=None) -> Program:
    return Program(
        GateSpec(),
        network or NetworkSpec(hidden=5),
        task or Adding(length=6, held_out=20).build(),
        rule or OptimizerSpec(rate=0.01),
        budget,
    )


@pytest.fixture(scope="module")
def shared() -> Program:
    return program()


def curve(made: Program, seed: int) -> list[dict]:
    events: list[dict] = []
    fit(made, seed, record=events.append)
    return events


def test_the_same_seed_is_the_same_run_to_the_bit(shared):
    assert curve(shared, 3) == curve(shared, 3) == curve(program(), 3)


def test_seeds_differ(shared):
    assert curve(shared, 0) != curve(shared, 1)


def test_seeds_share_one_compilation(shared):
    advance = one(shared).advance
    fit(shared, 0), fit(shared, 1)
    assert one(shared).advance is advance


def test_a_split_that_goes_through_in_parts_has_the_metrics_of_the_whole():
    task = Parity(length=7, variable=True, held_out=24).build()
    made = program(task)
    (batch,), state = task.held_out(task.data, "test"), made.begin(0)
    measure = lambda parts: made.measured(state.params, state.rest, batch, None, parts)[0]
    whole, parted = measure(1), measure(6)
    assert whole.keys() == parted.keys() and len(whole) > 3
    for name, (total, weight) in whole.items():
        assert parted[name][1] == weight and float(parted[name][0]) == pytest.approx(
            float(total), rel=1e-6
        ), name


@pytest.mark.parametrize(
    ("rows", "most", "parts"),
    [(1000, 32, 40), (1000, 1000, 1), (20, 64, 1), (997, 32, 1), (64, 8, 8)],
)
def test_parts_are_equal_and_none_is_tiny(rows, most, parts):
    assert pieces(rows, most) == parts and rows % parts == 0


def test_evaluations_come_at_their_steps_and_at_the_end(shared):
    events = curve(shared, 0)
    assert [e["step"] for e in events if e["split"] == "valid"] == [10, 20, 25]
    assert [e["step"] for e in events if e["split"] == "train"] == [10, 20, 25]


def test_calls_of_any_length_train_the_same():
    """25 steps in calls of 10 and in calls of 3 give the same losses."""
    short = program(budget=dataclasses.replace(BUDGET, evaluate_every=3))
    ends = [
        [e for e in curve(made, 0) if e["split"] == "valid" and e["step"] == 25]
        for made in (program(), short)
    ]
    assert ends[0] == ends[1]


def test_training_lowers_the_loss():
    task = dataclasses.replace(Adding(length=6, held_out=20).build(), success=None)
    events = curve(program(task, budget=Budget(steps=300, batch=32, evaluate_every=50)), 0)
    losses = [e["loss"] for e in events if e["split"] == "train"]
    assert losses[-1] < 0.2 * losses[0]


def test_a_solved_task_stops_and_says_when():
    task = dataclasses.replace(
        Adding(length=6, held_out=20).build(), success=Success("mse", at_most=10.0)
    )
    result = fit(program(task), 0)
    assert (result.status, result.steps, result.solved_at) == ("solved", 10, 10)


def test_a_run_may_train_on_after_it_has_solved_its_task():
    task = dataclasses.replace(
        Adding(length=6, held_out=20).build(), success=Success("mse", at_most=10.0)
    )
    result = fit(program(task, dataclasses.replace(BUDGET, stop_when_solved=False)), 0)
    assert (result.status, result.steps, result.solved_at) == ("solved", 25, 10)


def test_patience_stops_a_run_that_no_longer_improves():
    budget = Budget(steps=500, batch=4, evaluate_every=5, patience=2)
    result = fit(program(budget=budget, rule=OptimizerSpec(rate=1e-12)), 0)
    assert result.status == "finished" and result.steps < 500
    assert result.steps == result.best_step + 10


def test_the_result_is_that_of_the_best_validation():
    events: list[dict] = []
    result = fit(
        program(rule=OptimizerSpec(name="sgd", rate=0.5, clip_norm=None)), 0, record=events.append
    )
    found = {e["step"]: e["mse"] for e in events if e["split"] == "valid"}
    assert result.metrics["valid"]["mse"] == min(found.values()) == found[result.best_step]


def test_a_run_that_turns_non_finite_is_a_result_with_its_step():
    events: list[dict] = []
    made = Program(
        GateSpec(squash_output=False, squash_input=False, forget_gate=False),
        NetworkSpec(hidden=5),
        Adding(length=30, held_out=20).build(),
        OptimizerSpec("sgd", rate=1e6, clip_norm=None),
        BUDGET,
    )
    result = fit(made, 0, record=events.append)
    assert result.status == "diverged" and result.metrics == {}
    assert result.diverged_at == result.steps == events[-1]["step"] < 25


def test_a_batch_with_nan_at_step_k_diverges_at_k():
    clean = Adding(length=6, held_out=20).build()

    def poisoned(data, key, step, size):
        batch = clean.draw(data, jax.random.fold_in(key, step), size)
        return batch._replace(inputs=jnp.where(step == 7, jnp.nan, batch.inputs))

    result = fit(program(dataclasses.replace(clean, draw_at=poisoned)), 0)
    assert (result.status, result.diverged_at) == ("diverged", 7)


def test_a_batch_is_a_function_of_seed_and_step(shared):
    key = jax.random.key(5)
    one, two = (shared.batch(None, key, jnp.int32(step)) for step in (3, 4))
    np.testing.assert_array_equal(one.inputs, shared.batch(None, key, jnp.int32(3)).inputs)
    assert not np.array_equal(one.inputs, two.inputs)


def test_dropout_is_on_in_training_and_off_in_evaluation():
    made = program(network=NetworkSpec(hidden=5, dropout=0.5))
    state = made.begin(jnp.int32(0))
    batch = made.batch(None, jax.random.key(0), jnp.int32(0))
    key = jax.random.key(1)
    off = [made.outputs(state.params, state.rest, batch, None) for _ in range(2)]
    on = [made.outputs(state.params, state.rest, batch, k) for k in (key, key, jax.random.key(2))]
    np.testing.assert_array_equal(*off)
    np.testing.assert_array_equal(on[0], on[1])
    assert not np.array_equal(on[0], on[2]) and not np.array_equal(on[0], off[0])


def test_counts_and_costs_are_in_the_result(shared):
    result = fit(shared, 0)
    assert result.recurrent_parameters == 4 * (2 * 5 + 5 * 5 + 5)
    assert result.parameters == result.recurrent_parameters + 5 + 1
    assert result.step_ms > 0 and math.isfinite(result.train_s)


@pytest.mark.parametrize("name", ["steps", "batch", "evaluate_every", "patience"])
def test_a_budget_refuses_zero(name):
    with pytest.raises(ValueError, match=f"{name}=0"):
        Budget(**{name: 0})
