"""Linear recurrences: the step made of levels, and what each cell of them claims beyond its twin."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agreement import agree
from blocks import random_weights
from contract import FAST, Subject, equals_its_twin_in_numpy
from references import CUTS

from lstm_research import linear
from lstm_research.cell import Carry, Cell, Pre, Weights, drive, driven, sizes, step
from lstm_research.cells.lru import Lru
from lstm_research.cells.mingru import MinGru, MinLstm
from lstm_research.cells.mlstm import Mlstm
from lstm_research.cells.qrnn import Qrnn
from lstm_research.cells.rglru import RgLru
from lstm_research.cells.sru import Sru
from lstm_research.engines import unroll

T, B, D, H = 12, 2, 3, 4
KEY = jax.random.key(0)
X = np.random.default_rng(3).normal(size=(T, B, D))


def run(spec, weights, x=X):
    """Run a spec step by step from its start; return (carry, h)."""
    cell = spec.build()
    go = jax.jit(lambda *data: unroll(cell, *data, engine="scan"), compiler_options=FAST)
    return go(weights, cell.start(x.shape[1:-1], sizes(cell, weights)[1], jnp.float64), x)


def s(a):
    return 1.0 / (1.0 + np.exp(-a))


def test_a_step_is_its_levels_one_after_the_other(float64):
    """A memory whose gain is what a running maximum grew by, worked out by hand."""

    def top(weights, z, pairs):
        assert pairs == ()
        return weights.p["fall"], z[0].driven

    def sum_of_rises(weights, z, pairs):
        ((before, after),) = pairs
        return jnp.asarray(0.5), after - before

    levels = (
        linear.Level(lambda carry: carry.c, top, "max"),
        linear.Level(lambda carry: carry.h, sum_of_rises),
    )
    gather = lambda weights, z, pairs: Carry(pairs[0][1], pairs[1][1] + z[0].driven)
    update = linear.update(linear.Linear(levels, gather))
    weights = Weights(None, None, (None,), {"fall": jnp.asarray([-1.0, -1.0])})
    z = (Pre(None, jnp.asarray([3.0, 7.0]), None),)
    after = update(weights, z, Carry(jnp.asarray([5.0, 5.0]), jnp.asarray([8.0, 8.0])))
    # max(5 - 1, 3) = 4 fell by 1; max(5 - 1, 7) = 7 rose by 2; half of 8 stays
    agree(after, Carry(np.array([4.0, 7.0]), np.array([4.0 - 1.0 + 3.0, 4.0 + 2.0 + 7.0])))


def test_the_product_on_the_way_out_is_the_same_before_and_after_the_run(float64):
    """`finish` over all steps at once equals the last stage of one step after the other."""
    cell = Lru().build()
    weights = random_weights(cell, D, H)
    zx = drive(cell, weights, X)
    vectors = weights._replace(w=None, b=None, r=None, m=None)
    carry, seen, pairs = cell.start((B,), H, jnp.float64), [], []
    for now in zx:
        z = tuple(Pre(both, alone, None) for both, alone in driven(cell, now))
        pairs.append(linear.advance(cell.linear.levels, vectors, z, carry))
        carry, z = step(cell, weights, now, carry)
        seen.append(z[-1].both)
    z = tuple(Pre(both, alone, None) for both, alone in driven(cell, zx))
    whole = jax.tree.map(lambda *leaves: jnp.stack(leaves), *pairs)
    ready = linear.finish(cell.linear, cell.stages[-1], weights.r[-1], vectors, z, whole)
    agree(ready[-1].both, jnp.stack(seen))
    agree(ready[0], z[0])


def test_a_cell_without_such_a_product_is_left_alone():
    cell = Sru().build()
    z = (Pre(None, jnp.ones(3), None),)
    assert (
        linear.finish(cell.linear, cell.stages[-1], None, Weights(None, None, (), {}), z, ()) is z
    )


def soft(a):
    """Return softplus."""
    return np.logaddexp(0.0, a)


@pytest.mark.parametrize("kind", [MinGru, MinLstm])
def test_positive_states_are_those_of_the_log_space_form(float64, kind):
    spec = kind(positive=True)
    weights = random_weights(spec.build(), D, H)
    raw = np.split(X @ weights.w, weights.w.shape[1] // H, -1)
    if kind is MinGru:
        log_a, log_i = -soft(raw[0]), -soft(-raw[0])
    else:
        distance = soft(-raw[1]) - soft(-raw[0])  # log i - log f
        log_a, log_i = -soft(distance), -soft(-distance)
    n = raw[-1]
    log_g = np.where(n >= 0, np.log(np.maximum(n, 0) + 0.5), -soft(-n))
    total = np.cumsum(log_a, 0)
    log_h = total + np.logaddexp.accumulate(log_i + log_g - total, 0)
    h = run(spec, weights)[1]
    agree(h, np.exp(log_h))
    assert np.asarray(h).min() > 0


def test_gates_that_are_both_shut_share_the_memory(float64):
    spec = MinLstm()
    weights = random_weights(spec.build(), 1, 1)._replace(w=np.array([[-1e4, -1e4, 1.0]]))
    h = run(spec, weights, np.ones((2, 1, 1)))[1]
    agree(h.reshape(-1), np.array([0.5, 0.75]))


@pytest.mark.parametrize("heads", [1, 2])
def test_the_stabilised_matrix_memory_is_the_plain_recursion(float64, heads):
    spec = Mlstm(heads=heads)
    weights = random_weights(spec.build(), D, H)
    m, each = CUTS["mlstm"](weights, H), H // heads
    q, k, v, o, i, f = (X @ m[f"Q_{n}"].T + m[f"b_{n}"] for n in "qkvoif")
    h, carry = np.zeros((T, B, H)), run(spec, weights)
    for row in range(B):
        for head in range(heads):
            part = slice(head * each, (head + 1) * each)
            c, n = np.zeros((each, each)), np.zeros(each)
            for t in range(T):
                key = k[t, row, part] / np.sqrt(each)
                gain, keep = np.exp(i[t, row, head]), s(f[t, row, head])
                c = keep * c + gain * np.outer(v[t, row, part], key)
                n = keep * n + gain * key
                query = q[t, row, part]
                h[t, row, part] = c @ query / max(abs(n @ query), 1.0)
    agree(carry[1], s(o) * h)


@pytest.mark.parametrize("gate", [-1000.0, 1000.0])
def test_extreme_input_gates_leave_finite_gradients_in_float32(gate):
    spec = Mlstm(heads=2)
    cell = spec.build()
    weights = cell.init(KEY, D, H)
    weights = weights._replace(b=weights.b.at[-4:-2].set(gate))

    def loss(weights, x):
        return (unroll(cell, weights, cell.start((B,), H), x, engine="scan")[1] ** 2).sum()

    value, grads = jax.jit(jax.value_and_grad(loss, (0, 1)))(weights, X.astype(np.float32))
    for leaf in jax.tree.leaves((value, grads)):
        assert leaf.dtype == jnp.float32
        assert np.isfinite(leaf).all()
    assert (value > 0) == (gate > 0)  # a gate that is shut lets nothing in


@pytest.mark.parametrize("taps", [1, 2, 3])
def test_the_carried_convolution_is_the_convolution(float64, taps):
    """Against every input of the window written out."""
    spec = Qrnn(taps=taps)
    weights = random_weights(spec.build(), D, H)
    m = CUTS["qrnn"](weights, H)
    padded = np.concatenate([np.zeros((taps - 1, B, D)), X])
    lags = [padded[taps - 1 - j : taps - 1 - j + T] for j in range(taps)]
    z, f, o = (sum(x @ m[f"K_{n}"][j].T for j, x in enumerate(lags)) + m[f"b_{n}"] for n in "zfo")
    c, h = np.zeros((B, H)), []
    for t in range(T):
        c = s(f[t]) * c + (1.0 - s(f[t])) * np.tanh(z[t])
        h.append(s(o[t]) * c)
    agree(run(spec, weights)[1], np.stack(h))


@pytest.mark.slow
@pytest.mark.parametrize(
    "subject",
    [
        Subject("qrnn", Qrnn(taps=1)),
        Subject("qrnn_ifo", Qrnn(pooling="ifo", taps=4)),
        Subject("rglru", RgLru(heads=2)),
        Subject("mlstm", Mlstm(heads=2)),
    ],
    ids=lambda subject: subject.name,
)
def test_other_settings_equal_the_twin_too(float64, subject):
    equals_its_twin_in_numpy(subject)


def test_peepholes_of_zero_are_none(float64):
    plain = random_weights(Sru().build(), D, H)
    peeping = plain._replace(p=plain.p | {"p_f": np.zeros(H), "p_r": np.zeros(H)})
    agree(run(Sru(peephole=True), peeping), run(Sru(), plain))


@pytest.mark.parametrize("rescale", [True, False])
def test_a_closed_gate_of_an_sru_passes_the_input_on(float64, rescale):
    """The share of x grows with the bias that starts r open, and is 1 without rescaling."""
    spec = Sru(highway_bias=-2.0, rescale=rescale)
    weights = random_weights(spec.build(), D, D)
    weights = weights._replace(p=weights.p | {"b_r": np.full(D, -1e3)})
    agree(run(spec, weights)[1], X * (np.sqrt(1 + 2 * np.exp(-2.0)) if rescale else 1.0))
    assert float(spec.build().init(KEY, D, D).p["b_r"][0]) == -2.0


def test_the_first_step_of_a_sequence_is_not_normed(float64):
    """And a reset makes a step the first."""
    spec = RgLru()
    cell, weights = spec.build(), random_weights(spec.build(), D, H)
    m = CUTS["rglru"](weights, H)
    u = X @ m["In"].T
    full = s(u @ m["Gate_i"].T + m["b_i"]) * u
    resets = np.zeros((T, B), bool)
    resets[5, 1] = True
    h = unroll(cell, weights, cell.start((B,), H, jnp.float64), X, resets=resets, engine="scan")[1]
    agree(h[0], full[0])
    agree(h[5, 1], full[5, 1])
    assert np.abs(h[5, 0] - full[5, 0]).max() > 1e-3


def test_a_decay_of_one_has_a_finite_gradient():
    """Where sqrt(1 - a^2) is 0 its slope is bounded, and nothing enters."""
    cell = RgLru().build()
    weights = cell.init(KEY, D, H)
    weights = weights._replace(p=weights.p | {"decay": jnp.full(H, -200.0)})

    def loss(weights, x):
        return unroll(cell, weights, cell.start((B,), H), x, engine="scan")[1].sum()

    h, grads = jax.value_and_grad(loss, (0, 1))(weights, X.astype(np.float32))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((h, grads)))


def test_decays_start_where_the_papers_want_them():
    spec, hidden = Lru(least=0.5, most=0.9, phase=1.0), 400
    p = spec.build().init(KEY, D, hidden).p
    size = np.exp(-np.exp(p["nu"]))
    assert 0.5 <= size.min() < 0.55 < 0.87 < size.max() <= 0.9
    assert np.exp(p["theta"]).min() > 0.0 and 0.95 < np.exp(p["theta"]).max() <= 1.0
    agree(np.exp(p["gamma"]), np.sqrt(1.0 - size**2), 1e-5)
    rate = np.exp(-np.logaddexp(0.0, RgLru().build().init(KEY, D, hidden).p["decay"]))
    assert 0.9 - 1e-4 <= rate.min() < 0.91 < 0.99 < rate.max() <= 0.999 + 1e-4


def test_biases_that_hold_the_memory():
    assert MinGru().build().init(KEY, D, H).b is None
    b = np.asarray(MinGru(biased=True).build().init(KEY, D, H).b)
    agree(b, np.repeat([-1.0, 0.0], H))
    b = np.asarray(MinLstm(biased=True, forget_bias=2.0).build().init(KEY, D, H).b)
    agree(b, np.repeat([0.0, 2.0, 0.0], H))
    assert np.asarray(Qrnn().build().init(KEY, D, H).p["b_f"]).tolist() == [1.0] * H


@pytest.mark.parametrize("make, message", [
    (lambda: Qrnn(pooling="max"), "pooling='max' is not one of f, fo, ifo"),  # pyright: ignore
    (lambda: Qrnn(taps=0), "taps=0"),
    (lambda: MinGru(forget_bias=1.0), "forget_bias=1.0 .* biased=False"),
    (lambda: MinLstm(forget_bias=1.0), "forget_bias=1.0 .* biased=False"),
    (lambda: Lru(least=0.9, most=0.5), "least=0.9 and most=0.5"),
    (lambda: Lru(phase=0.0), "phase=0.0"),
    (lambda: RgLru(heads=0), "heads=0"),
    (lambda: Mlstm(heads=0), "heads=0"),
    (lambda: RgLru(heads=3).build().init(KEY, D, H), "heads=3 does not divide hidden=4"),
    (lambda: Mlstm(heads=3).build().init(KEY, D, H), "heads=3 does not divide hidden=4"),
])  # fmt: skip
def test_settings_that_make_no_cell_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_every_one_of_them_says_that_it_is_linear():
    cells: list[Cell] = [k().build() for k in (Lru, MinGru, MinLstm, Mlstm, Qrnn, RgLru, Sru)]
    assert all(isinstance(cell.linear, linear.Linear) for cell in cells)
    assert Sru(peephole=True).build().linear is None
