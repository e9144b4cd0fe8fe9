"""Units of one and two gates: what joins them to each other and to Flax, and how they start."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agreement import agree, same
from blocks import cut, random_weights
from contract import FAST, B, D, H, T
from flax import linen

from lstm_research.cell import Weights
from lstm_research.cells.brc import Brc, Nbrc
from lstm_research.cells.elman import Elman
from lstm_research.cells.gru_before import GruBefore
from lstm_research.cells.indrnn import IndRnn
from lstm_research.cells.mgu import Mgu
from lstm_research.cells.ran import Ran
from lstm_research.cells.star import Star
from lstm_research.engines import unroll

KEY = jax.random.key(0)
X = np.random.default_rng(4).normal(size=(T, B, D))


def outputs(spec, weights, x=X, engine="scan"):
    """Run a spec from its start; return h."""
    cell = spec.build()
    carry = cell.start(x.shape[1:-1], weights.w.shape[1] // len(blocks(cell)), jnp.float64)
    go = jax.jit(lambda *data: unroll(cell, *data, engine=engine)[1], compiler_options=FAST)
    return go(weights, carry, x)


def blocks(cell):
    """Return the letters that the input drives."""
    return "".join(stage.both + stage.driven for stage in cell.stages)


def fresh(spec, hidden=4):
    """Return the named blocks of a fresh cell."""
    cell = spec.build()
    return cut(cell, cell.init(KEY, 2, hidden), hidden)


@pytest.mark.parametrize("seed", range(3))
def test_the_mgu_of_flax_is_the_form_that_resets_after(float64, seed):
    rng = np.random.default_rng(seed)
    time, batch, features, hidden = (int(n) for n in rng.integers(1, 7, 4))
    x = rng.normal(size=(time, batch, features))
    flax = linen.RNN(linen.MGUCell(hidden, param_dtype=jnp.float64), time_major=True)
    variables = flax.init(KEY, x)
    variables = jax.tree.map(lambda a: jnp.asarray(rng.uniform(-0.8, 0.8, a.shape)), variables)
    (part,) = variables["params"].values()
    side = lambda names, leaf: jnp.concatenate([part[name][leaf] for name in names], -1)
    weights = Weights(
        side(("if", "in"), "kernel"),
        side(("if", "in"), "bias"),
        (side(("hf", "hn"), "kernel"),),
        {"b_hg": part["hn"]["bias"]},
    )
    agree(outputs(Mgu(reset="after"), weights, x), flax.apply(variables, x))


def test_the_mgu_of_the_paper_is_a_gru_of_one_gate_and_that_of_flax_is_not(float64):
    mine = random_weights(Mgu().build(), D, H)
    (f, g), (b_f, b_g) = np.split(mine.w, 2, -1), np.split(mine.b, 2)
    twice = Weights(
        np.concatenate([f, f, g], -1),
        np.concatenate([b_f, b_f, b_g]),
        (np.concatenate([mine.r[0]] * 2, -1), mine.r[1]),
        {},
    )
    h = outputs(Mgu(), mine)
    agree(h, outputs(GruBefore(), twice))
    turned = Weights(
        np.concatenate([-f, g], -1),
        np.concatenate([-b_f, b_g]),
        (np.concatenate([-mine.r[0], mine.r[1]], -1),),
        {"b_hg": np.zeros(H)},
    )
    assert np.abs(outputs(Mgu(reset="after"), turned) - h).max() > 0.01


@pytest.mark.parametrize("form", ["recurrent", "unbiased", "bias"])
def test_a_reduction_is_the_gru_whose_dropped_parts_are_zero(float64, form):
    spec = GruBefore(gates=form)
    mine = random_weights(spec.build(), D, H)
    none = np.zeros(H)
    full = Weights(
        np.concatenate([np.zeros((D, 2 * H)), mine.w], -1),
        np.concatenate([mine.p.get("b_i", none), mine.p.get("b_r", none), mine.b]),
        mine.r if len(mine.r) == 2 else (np.zeros((H, 2 * H)), *mine.r),
        {},
    )
    agree(outputs(spec, mine), outputs(GruBefore(), full))


def test_a_reduction_starts_with_the_numbers_of_the_gru():
    whole = fresh(GruBefore(bias="uniform"))
    for form, dropped in (("recurrent", "W"), ("unbiased", "Wb"), ("bias", "WR")):
        m = fresh(GruBefore(gates=form, bias="uniform"))
        assert set(whole) - set(m) == {f"{part}_{gate}" for part in dropped for gate in "ir"}
        for name in m:
            same(m[name], whole[name])


def test_an_nbrc_whose_matrices_are_diagonal_is_a_brc(float64):
    mine = random_weights(Brc().build(), D, H)
    joined = mine._replace(
        r=(np.concatenate([np.diag(mine.p["u_a"]), np.diag(mine.p["u_f"])], -1),),
        p={name: mine.p[name] for name in ("b_a", "b_f")},
    )
    agree(outputs(Brc(), mine), outputs(Nbrc(), joined))


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_an_elman_network_whose_matrix_is_diagonal_is_an_indrnn(float64, activation):
    mine = random_weights(IndRnn().build(), D, H)
    joined = mine._replace(r=(np.diag(mine.p["u_h"]),), p={})
    h = outputs(IndRnn(activation=activation), mine)
    agree(h, outputs(Elman(activation=activation), joined))


@pytest.mark.parametrize("engine", ["scan", "fused"])
def test_a_ran_without_squash_reads_out_its_memory(float64, engine):
    weights = random_weights(Ran().build(), D, H)
    one, other = Ran(), Ran(squash_output=False)
    first = slice(0, 1)  # h is 0 before: the gates of both see the same
    plain, squashed = (outputs(spec, weights, X[first], engine) for spec in (other, one))
    agree(np.tanh(plain), squashed)
    assert np.abs(outputs(other, weights, engine=engine)).max() > 1.0  # no tanh ends above 1


def test_forget_biases_start_in_the_gate_that_holds():
    for spec, name, value in (
        (Mgu(), "b_f", -1.0),
        (Mgu(reset="after"), "b_f", 1.0),
        (Ran(), "b_f", 1.0),
        (Star(), "b_i", -1.0),
        (Brc(), "b_f", 1.0),
        (Nbrc(forget_bias=2.0), "b_f", 2.0),
        (GruBefore(gates="bias"), "b_i", -1.0),
        (GruBefore(gates="recurrent", forget_bias=2.0), "b_i", -2.0),
    ):
        assert (fresh(spec)[name] == value).all(), spec


def test_an_indrnn_starts_between_forgetting_and_holding():
    u = fresh(IndRnn(), hidden=4000)["u_h"]
    assert u.min() >= 0 and u.max() <= 1
    assert abs(np.sort(u) - np.linspace(0, 1, 4000)).max() < 0.03  # Kolmogorov, p about 0.001


def test_a_brc_starts_with_ones_on_its_diagonals():
    assert (fresh(Brc())["u_a"] == 1).all() and (fresh(Brc())["u_f"] == 1).all()


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        (GruBefore, {"gates": "none"}, "gates='none' is not one of full, recurrent"),
        (GruBefore, {"gates": "unbiased", "forget_bias": 0.0}, "forget_bias=0.0 sets the bias"),
        (Mgu, {"reset": "never"}, "reset='never' is not one of before, after"),
        (IndRnn, {"activation": "sine"}, "activation='sine' is not one of relu, tanh"),
    ],
    ids=str,
)
def test_a_field_that_means_nothing_is_refused(kind, fields, message):
    with pytest.raises(ValueError, match=message):
        kind(**fields)
