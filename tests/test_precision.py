"""Rounded operands: what a product of them is, and that nothing else is rounded."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from agreement import agree
from contract import FAST, problem
from test_cells import SPECS

from lstm_research import config
from lstm_research.engines import unroll
from lstm_research.gated import GateSpec
from lstm_research.network import NetworkSpec
from lstm_research.optimizer import OptimizerSpec
from lstm_research.precision import dot
from lstm_research.program import Budget, Program
from lstm_research.tasks.adding import Adding

NARROW = pytest.mark.parametrize("precision", ["bfloat16", "float16"])
A, B = (np.random.default_rng(0).normal(size=shape).astype("f4") for shape in ((3, 5, 7), (7, 4)))


def by_hand(values, precision: str):
    """Return values as the narrow type holds them, in float64."""
    return np.asarray(values).astype(jnp.dtype(precision)).astype("f8")


@NARROW
def test_a_product_is_that_of_operands_rounded_by_hand(precision):
    agree(dot(A, B, precision), (by_hand(A, precision) @ by_hand(B, precision)).astype("f4"))
    assert np.abs(dot(A, B, precision) - A @ B).max() > 1e-4


@NARROW
def test_cotangents_are_products_of_operands_rounded_by_hand(precision):
    turn = np.random.default_rng(1).normal(size=(3, 5, 4)).astype("f4")
    d_a, d_b = jax.vjp(lambda a, b: dot(a, b, precision), A, B)[1](turn)
    a, b, turn = (by_hand(each, "bfloat16") for each in (A, B, turn))
    agree(d_a, (turn @ b.T).astype("f4"))
    agree(d_b, np.einsum("ijk,ijn->kn", a, turn).astype("f4"))


@NARROW
@pytest.mark.parametrize("compiled", [False, True])
def test_a_product_of_few_numbers_rounds_as_one_of_many(precision, compiled):
    a, b = A[..., :3], B[:3]
    f = lambda a, b: dot(a, b, precision, few=True)
    found = (jax.jit(f) if compiled else f)(a, b)
    agree(found, (by_hand(a, precision) @ by_hand(b, precision)).astype("f4"))
    assert np.abs(found - a @ b).max() > 1e-4


def test_float16_keeps_cotangents_that_float16_cannot_hold():
    d_a = jax.vjp(lambda a: dot(a, B, "float16"), A)[1](np.full((3, 5, 4), 1e-9, "f4"))[0]
    assert np.abs(d_a).min() > 1e-12


def lstm_by_hand(weights, carry, x, precision: str):
    """Return (c, h) of every step of an LSTM in float64 with the operands of its products rounded."""
    low = lambda values: by_hand(values, precision)
    c, h = (np.asarray(leaf, "f8") for leaf in carry)
    sigmoid = lambda z: 1 / (1 + np.exp(-z))
    out = []
    for now in x:
        z = low(now) @ low(weights.w) + np.asarray(weights.b, "f8") + low(h) @ low(weights.r[0])
        i, f, g, o = np.split(z, 4, -1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        out.append((c, h))
    return out


@NARROW
@pytest.mark.parametrize("engine", ["scan", "fused"])
def test_an_lstm_rounds_the_operands_of_its_products_and_nothing_else(engine, precision):
    """One step: after it, a rounding that falls the other way would be no error."""
    cell = SPECS["lstm"].build()
    assert cell.stages[0].both == "ifgo"
    weights, carry, x, _ = problem(SPECS["lstm"], T=1, dtype=np.float32)
    run = jax.jit(
        lambda *data: unroll(cell, *data, engine=engine, precision=precision),
        compiler_options=FAST,
    )
    (c, h), _ = run(weights, carry, x)
    agree((c, h), lstm_by_hand(weights, carry, x, precision)[-1])
    exact = lstm_by_hand(weights, carry, x, "float64")[-1]
    assert np.abs(h - exact[1]).max() > 1e-5


def loss(cell, engine, precision, weights, carry, x, seen):
    last, h = unroll(cell, weights, carry, x, engine=engine, precision=precision)
    return (h * seen).sum() + sum((leaf**2).sum() for leaf in jax.tree.leaves(last))


@NARROW
@pytest.mark.parametrize(
    "name",
    ["lstm", *(pytest.param(name, marks=pytest.mark.slow) for name in ("gru_before", "slstm"))],
)
def test_both_engines_round_alike(name, precision):
    """A float32 sum in another order may round the other way at the next product: 1/256 of a part."""
    spec = SPECS[name]
    data = problem(spec, T=3, dtype=np.float32)
    pull = [
        jax.jit(
            jax.value_and_grad(
                lambda *d, e=engine: loss(spec.build(), e, precision, *d), (0, 1, 2)
            ),
            compiler_options=FAST,
        )(*data)
        for engine in ("fused", "scan")
    ]
    agree(*pull, 2e-3)
    exact = jax.grad(lambda *d: loss(spec.build(), "scan", "float32", *d))(*data)
    gap = [
        np.abs(a - b).max()
        for a, b in zip(*map(jax.tree.leaves, (pull[0][1][0], exact)), strict=True)
    ]
    assert 1e-5 < max(gap) < 0.1 * max(np.abs(leaf).max() for leaf in jax.tree.leaves(exact))


def test_an_unknown_precision_is_refused_by_name():
    with pytest.raises(
        ValueError, match=r"precision='half' is not one of float32, bfloat16, float16"
    ):
        weights, carry, x, _ = problem(SPECS["lstm"])
        unroll(SPECS["lstm"].build(), weights, carry, x, precision="half")


def test_the_hash_of_a_run_from_before_there_was_a_choice_stays():
    plain = {"cell": {"kind": "gated"}, "task": {"kind": "adding"}}
    assert "precision" not in config.build(plain).resolved()["network"]
    named = config.build(plain | {"network": {"precision": "bfloat16"}})
    assert named.resolved()["network"]["precision"] == "bfloat16"
    with pytest.raises(config.ConfigError, match="bfloat16"):
        config.build(plain | {"network": {"precision": "bfloat1"}})


def curves(precision: str, seeds: int = 5, steps: int = 300) -> np.ndarray:
    """Return the training losses of a tiny run, a row a seed."""
    task = dataclasses.replace(Adding(length=10, held_out=20).build(), success=None)
    network = NetworkSpec(hidden=16, precision=precision)
    budget = Budget(steps=steps, batch=16, evaluate_every=steps)
    made, found = Program(GateSpec(), network, task, OptimizerSpec(rate=0.01), budget), []
    advance = jax.jit(made.steps)
    for seed in range(seeds):
        state, losses = made.begin(seed), []
        for _ in range(0, steps, made.call):
            state, now, _ = advance(state, task.data, jnp.int32(seed), jnp.int32(made.call))
            losses.append(np.asarray(now))
        found.append(np.concatenate(losses))
    return np.stack(found)


@pytest.mark.slow
@NARROW
def test_loss_curves_of_five_seeds_lie_inside_the_float32_interval(precision):
    """Means over windows of 50 steps: that of the narrow runs lies in the 95 % interval of float32."""
    windows = lambda losses: losses.reshape(len(losses), -1, 50).mean(-1)
    exact, narrow = windows(curves("float32")), windows(curves(precision))
    middle = exact.mean(0)
    reach = scipy.stats.t.ppf(0.975, len(exact) - 1) * exact.std(0, ddof=1) / len(exact) ** 0.5
    assert (np.abs(narrow.mean(0) - middle) <= reach).all()
    assert exact[:, -1].mean() < 0.6 * exact[:, 0].mean()  # they did learn
    assert np.abs(narrow - exact).max() > 0
