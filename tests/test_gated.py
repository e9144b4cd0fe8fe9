"""The gated family: rows refuse contradictions, and a row as data is the row as code."""

import contract
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agreement import agree
from blocks import cut
from contract import D, H, gradients, problem
from test_cells import SPECS

from lstm_research.engines import unroll
from lstm_research.gated import GateSpec
from lstm_research.superset import swept

ROWS = {name: spec for name, spec in SPECS.items() if isinstance(spec, GateSpec)}
UNIQUE = list(dict.fromkeys(ROWS.values()))
LENGTHS, RESETS = np.array([contract.T, 4, 2, 0], np.int32), contract.NEVER.copy()
RESETS[[0, 3], 0] = RESETS[1, 1] = True


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"coupled": True, "input_gate": False}, ["coupled", "input_gate", "forget_gate"]),
        ({"coupled": True, "forget_gate": False}, ["coupled", "input_gate", "forget_gate"]),
        ({"shift": 1.0}, ["shift", "coupled"]),
        ({"reset_bias": True}, ["reset_bias", "reset_gate"]),
        ({"peephole": "x"}, ["peephole", "'x'"]),
        ({"peephole": "f", "coupled": True}, ["peephole", "f"]),
        ({"peephole": "i", "input_gate": False}, ["peephole", "i"]),
        ({"peephole": "o", "output_gate": False}, ["peephole", "o"]),
        (
            {"half_slope": True, "squash_input": False, "squash_output": False},
            ["half_slope", "squash_input", "squash_output"],
        ),
        ({"forget_gate": False, "forget_bias": 2.0}, ["forget_bias", "forget_gate"]),
        ({"forget_gate": False, "chrono": 10.0}, ["chrono", "forget_gate"]),
        ({"chrono": 10.0, "forget_bias": 1.0}, ["chrono", "forget_bias"]),
        ({"chrono": 10.0, "uniform_gates": True}, ["chrono", "uniform_gates"]),
        ({"chrono": 10.0, "forget_bias": 0.0}, ["chrono", "forget_bias"]),
        ({"forget_gate": False, "forget_bias": 0.0}, ["forget_bias", "forget_gate"]),
        ({"chrono": 2.0}, ["chrono", "2"]),
    ],
    ids=str,
)
def test_a_contradiction_is_refused_with_the_fields_in_it(fields, named):
    with pytest.raises(ValueError) as refusal:
        GateSpec(**fields)
    assert all(word in str(refusal.value) for word in named)


def test_letters_of_a_peephole_come_in_any_order():
    assert GateSpec(peephole="of") == GateSpec(peephole="fo") != GateSpec(peephole="f")


@pytest.mark.parametrize(("one", "other"), [("lstm", "greff/np"), ("peephole", "greff/v")])
def test_two_names_of_one_function_share_a_spec(one, other):
    assert SPECS[one] == SPECS[other] and hash(SPECS[one]) == hash(SPECS[other])


def test_a_dead_part_owns_no_weights():
    w = GateSpec(input_gate=False, output_gate=False).build().init(jax.random.key(0), D, H)
    assert w.w.shape == (D, 2 * H) and w.r[0].shape == (H, 2 * H) and not w.p and w.row is None


CELL = swept(GateSpec())  # one superset: the row is in the weights, so one program serves all


def superset(weights, bare, carry, x, seen):
    """Return (carry, h) and gradients like `contract.gradients`; a bare row carries h alone."""
    row = weights.row

    def loss(weights, carry, x):
        last, h = unroll(CELL, weights._replace(row=row), carry, x, lengths=LENGTHS, resets=RESETS)
        c_end, h_end = (jnp.sin(leaf.sum() + (leaf**2).sum()) for leaf in last)
        return (h * seen).sum() + h_end + jnp.where(bare, 0, c_end), (last, h)

    (_, out), grads = jax.value_and_grad(loss, (0, 1, 2), has_aux=True)(
        weights._replace(row=None), carry, x
    )
    return out, grads


ALONE = jax.jit(superset, compiler_options=contract.FAST)
TABLE = jax.jit(jax.vmap(superset, (0, 0, None, None, None)), compiler_options=contract.FAST)


def start(spec, dtype):
    """Return weights of the row and of the superset from one key, and inputs that both see."""
    rng = np.random.default_rng(0)
    x, seen = (
        rng.normal(size=(contract.T, 4, D)).astype(dtype),
        rng.normal(size=(contract.T, 4, H)).astype(dtype),
    )
    carries = [cell.start((4,), H, dtype) for cell in (spec.build(), CELL)]
    return [c.init(jax.random.key(0), D, H) for c in (spec.build(), swept(spec))], carries, x, seen


def match(spec, got, want, limit):
    """Demand the row's outputs and gradients of the superset, and 0 where the row has nothing."""
    (last, h), (d_w, _, d_x) = got
    (end, out), (g_w, _, g_x) = want
    agree((last.h, h, d_x), (end.h, out, g_x), limit)
    mine, alive = cut(CELL, d_w, H), cut(spec.build(), g_w, H)
    for name, block in mine.items():
        if name in alive:
            agree(block, alive[name], limit)
        else:
            assert not block.any(), name


# float32: gradients sum a hundred products of either sign; the two programs add in another order
LIMITS = [(np.float64, 1e-12), (np.float32, 6e-6)]  # of sums in another order


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "limit"), LIMITS, ids=["float64", "float32"])
def test_a_row_as_data_is_the_row_as_code_alone_and_in_a_table(dtype, limit):
    with jax.enable_x64(dtype == np.float64):
        pairs = [start(spec, dtype) for spec in UNIQUE]
        _, (_, carry), x, seen = pairs[0]
        stacked = jax.tree.map(
            lambda *leaves: jnp.stack(leaves), *(weights[1] for weights, *_ in pairs)
        )
        bare = np.array([len(carries[0]) == 1 for _, carries, *_ in pairs])
        table = TABLE(stacked, bare, carry, x, seen)
        for at, (spec, (weights, carries, _, _)) in enumerate(zip(UNIQUE, pairs, strict=True)):
            want = gradients(spec)(weights[0], carries[0], x, seen, LENGTHS, RESETS)
            match(spec, ALONE(weights[1], bare[at], carry, x, seen), want, limit)
            match(spec, jax.tree.map(lambda leaf, at=at: leaf[at], table), want, limit)


def test_the_bias_inside_the_reset_is_not_the_bias_of_the_candidate(float64):
    weights, carry, x, seen = problem(SPECS["gru"])
    _, (d_w, _, _) = gradients(SPECS["gru"])(
        weights, carry, x, seen, contract.WHOLE, contract.NEVER
    )
    m = cut(SPECS["gru"].build(), d_w, H)
    assert np.abs(m["b_hz"] - m["b_z"]).max() > 1e-3
