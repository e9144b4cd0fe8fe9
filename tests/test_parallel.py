"""All steps at once equal one step after the other: the linear engine, and Newton's."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agreement import agree
from blocks import random_carry, random_weights
from contract import FAST
from sampled import first
from test_cells import SUBJECTS

from lstm_research import newton, parallel
from lstm_research.cell import Carry, Cell, Pre, Weights, driven, outputs, start_carry, vectors
from lstm_research.engines import unroll
from lstm_research.gated import GateSpec
from lstm_research.masks import Masks

T, B, D, H = 9, 3, 4, 4
LSTM = GateSpec(peephole="if").build()
LENGTHS = np.array([T, 4, 0])
RESETS = np.zeros((T, B), bool)
RESETS[[0, 3], 0] = RESETS[2, 1] = True


def diagonal() -> Cell:
    """Return an LSTM whose units see nothing but their own memory: Jacobians of 2 x 2."""
    return LSTM._replace(stages=(LSTM.stages[0]._replace(read=None),))


def diagonal_weights(seed: int) -> Weights:
    return random_weights(LSTM, D, H, seed)._replace(r=(None,))


def program(cell: Cell, engine: str, reverse: bool, seed: int = 5):
    """Return the compiled values and gradients under a loss that sees everything."""

    def loss(weights, carry, x):
        last, h = unroll(
            cell, weights, carry, x, lengths=LENGTHS, resets=RESETS, reverse=reverse, engine=engine
        )
        seen = np.random.default_rng(seed).normal(size=h.shape)
        ends = [jnp.sin(leaf.sum() + (leaf**2).sum()) for leaf in jax.tree.leaves(last)]
        return (h * seen).sum() + sum(ends), (last, h)

    pull = jax.value_and_grad(loss, (0, 1, 2), has_aux=True)
    return jax.jit(lambda *args: (pull(*args)[0][1], pull(*args)[1]), compiler_options=FAST)


def drawn(cell: Cell):
    """Return weights, a carry as a run leaves it, and inputs."""
    weights = random_weights(cell, D, H)
    x = np.random.default_rng(2).normal(size=(T, B, D))
    carry, _ = unroll(cell, weights, cell.start((B,), H, jnp.float64), x[:3], engine="scan")
    return weights, carry, x


LINEAR = [each for each in SUBJECTS.values() if each.spec.build().linear is not None]
DIAGONAL = [
    each
    for each in SUBJECTS.values()
    if each.spec.build().linear is None and newton.serves(each.spec.build())
]


FEW = [
    pytest.param(
        each,
        id=each.name,
        marks=() if each.name in ("lru", "minlstm") else pytest.mark.slow,
    )
    for each in LINEAR
]


@pytest.mark.parametrize("reverse", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("subject", FEW)
def test_all_steps_at_once_are_one_after_the_other(float64, subject, reverse):
    cell = subject.spec.build()
    problem = drawn(cell)
    got, want = (program(cell, engine, reverse)(*problem) for engine in ("parallel", "scan"))
    agree(got, want, 1e-11)


@pytest.mark.slow
@pytest.mark.parametrize("subject", LINEAR, ids=lambda subject: subject.name)
def test_ten_thousand_steps_agree_in_float32(subject):
    cell, steps = subject.spec.build(), 10_000
    weights = cell.init(jax.random.key(0), D, H)
    x = np.random.default_rng(0).normal(size=(steps, 2, D)).astype(np.float32)
    runs = [
        jax.jit(partial(unroll, cell, engine=engine))(weights, cell.start((2,), H), x)
        for engine in ("parallel", "scan")
    ]
    agree(runs[0][1], runs[1][1], 1e-5)


@pytest.mark.parametrize("rule", ["affine", "max"])
def test_a_recurrence_in_pieces_is_the_loop_and_so_is_its_gradient(float64, monkeypatch, rule):
    monkeypatch.setattr(parallel, "PIECE", 8)
    steps = parallel.PIECE * 2 + 3
    rng = np.random.default_rng(0)
    a, b, start = rng.uniform(-1, 1, (steps, 3)), rng.normal(size=(steps, 3)), rng.normal(size=3)
    seen = rng.normal(size=(steps, 3))

    def loop(a, b, start):
        def body(s, now):
            s = now[0] * s + now[1] if rule == "affine" else jnp.maximum(now[0] + s, now[1])
            return s, s

        return jax.lax.scan(body, start, (a, b))[1]

    def both(run):
        return jax.value_and_grad(lambda *args: (run(*args) * seen).sum(), (0, 1, 2))(a, b, start)

    agree(both(partial(parallel.recurrence, rule)), both(loop))


@pytest.mark.parametrize("reverse", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_newton_equals_the_loop_for_memories_that_see_themselves(float64, reverse):
    cell, weights = diagonal(), diagonal_weights(0)
    carry = random_carry(cell, (B,), H)
    x = np.random.default_rng(2).normal(size=(T, B, D))
    got, want = (program(cell, engine, reverse)(weights, carry, x) for engine in ("newton", "scan"))
    agree(got, want, 1e-10)


@pytest.mark.parametrize("subject", first(DIAGONAL, 2), ids=lambda subject: subject.name)
def test_newton_equals_the_loop(float64, subject):
    cell = subject.spec.build()
    problem = drawn(cell)
    got, want = (program(cell, engine, False)(*problem) for engine in ("newton", "scan"))
    agree(got, want, 1e-10)


def test_newton_converges_by_itself_and_not_only_by_the_way_back(float64):
    cell, weights = diagonal(), diagonal_weights(1)
    zx = cell.drive(weights, np.random.default_rng(1).normal(size=(50, B, D)), None, None)
    z = tuple(Pre(both, alone, None) for both, alone in driven(cell, zx))
    carry = Carry(np.zeros((B, H)), np.zeros((B, H)))
    inside = vectors(weights)
    masks = Masks(None, None)
    found, holds = newton.iterate(cell, inside, None, carry, z, masks)
    assert holds
    agree(found, newton.sequential(cell, inside, None, carry, z, masks), 1e-11)


def test_newton_falls_back_to_the_loop_where_it_does_not_converge(float64, monkeypatch):
    monkeypatch.setattr(newton, "LIMIT", 1)
    cell, weights = diagonal(), diagonal_weights(2)
    x = np.random.default_rng(1).normal(size=(20, B, D))
    runs = [
        unroll(cell, weights, start_carry((B,), H, jnp.float64), x, engine=engine)
        for engine in ("newton", "scan")
    ]
    agree(*runs)


@pytest.mark.parametrize("engine", ["parallel", "newton"])
def test_an_engine_refuses_a_cell_that_it_cannot_serve(engine):
    cell = GateSpec().build()
    weights = cell.init(jax.random.key(0), D, H)
    with pytest.raises(ValueError, match=f"engine='{engine}' needs"):
        unroll(cell, weights, cell.start((B,), H), np.ones((T, B, D)), engine=engine)


def test_the_width_of_h_is_known_without_weights():
    assert outputs(GateSpec().build(), 7) == 7
