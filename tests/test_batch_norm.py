"""Recurrent batch norm: a batch a step in training, stored statistics a step in a test."""

from functools import cache

import contract
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agreement import agree, same
from blocks import cut, random_carry, random_weights
from flax import nnx
from references_wrapped import s, stack
from small import WORDS

from lstm_research import catalogue, sweep
from lstm_research.cells import CELLS
from lstm_research.cells.qrnn import Qrnn
from lstm_research.engines import unroll
from lstm_research.masks import Masks
from lstm_research.moments import Statistics
from lstm_research.nnx_layer import Recurrent
from lstm_research.run import fit
from lstm_research.signature import program, signature
from lstm_research.wrappers import Wrapped, WrapSpec
from lstm_research.wrappers.batch_norm import calibrated

pytestmark = pytest.mark.usefixtures("float64")

T, B, D, H = 6, 4, 2, 4
LENGTHS, RESETS = np.array([T, 4, 1, 0]), np.zeros((T, B), bool)
RESETS[2, 0] = RESETS[0, 1] = RESETS[3, 1] = True
VALID = (np.arange(T)[:, None] < LENGTHS)[..., None]
KEY = jax.random.key(3)
NOISE = {"zoneout_c": 0.5, "zoneout_h": 0.3, "variational_h": 0.3, "variational_x": 0.3,
         "weight_drop": 0.3, "candidate_dropout": 0.3}  # fmt: skip


def spec(cell="lstm", steps=8, **noise):
    bare = catalogue.spec(CELLS, "cell", cell, {})
    return Wrapped(bare, WrapSpec("batch", statistics_steps=steps, **noise))


def problem(made):
    cell, rng = made.build(), np.random.default_rng(4)
    return random_weights(cell, D, H), rng.normal(size=(T, B, D)), rng.normal(size=(T, B, H))


def outputs(made, weights, x, lengths=None, key=None, carry=None):
    cell = made.build()
    carry = cell.start(x.shape[1:-1], H) if carry is None else carry
    return unroll(cell, weights, carry, x, lengths=lengths, key=key)


def by_hand(weights, x, c, h, lengths):
    """Cooijmans et al. 2017, eq. 6-8, a batch a step, rows as sequences; what it measured beside."""
    m = cut(spec().cell.build(), weights._replace(r=weights.r[1:], b=np.zeros(4 * H)), H)
    w, r, b = (stack(m | {f"b_{k}": m["b0"][j * H : (j + 1) * H] for j, k in enumerate("ifzo")},
                     name, "ifzo") for name in "WRb")  # fmt: skip
    out, seen = np.zeros((len(x), B, H)), []
    for t in range(len(x)):
        on, found = t < lengths, {}

        def norm(name, v, on=on, found=found):
            mean = v[on].sum(0) / max(on.sum(), 1)
            var = ((v[on] - mean) ** 2).sum(0) / max(on.sum(), 1)
            found[name] = (mean, var)
            return m[f"gain_{name}"] * (v - mean) / np.sqrt(var + 1e-5)

        a = norm("h0", h @ r.T) + norm("x0", x[t] @ w.T) + b
        i, f, z, o = np.split(a, 4, -1)
        new = s(f) * c + s(i) * np.tanh(z)
        shown = s(o) * np.tanh(norm("c", new) + m["shift_c"])
        c, h = np.where(on[:, None], new, c), np.where(on[:, None], shown, h)
        out[t] = np.where(on[:, None], shown, 0)
        seen.append(found)
    return c, h, out, seen


@pytest.mark.parametrize("lengths", [np.full(B, T), LENGTHS], ids=["whole", "ragged"])
def test_training_equals_its_twin_in_numpy(lengths):
    made = spec()
    weights, x, _ = problem(made)
    carry = random_carry(made.build(), (B,), H)
    last, h = outputs(made, weights, x, lengths, KEY, carry)
    *wanted, _ = by_hand(weights, x, carry.c, carry.h, lengths)
    agree((last.c, last.h, h), wanted)
    agree(last.steps[:, 0], carry.steps[:, 0] + lengths)


def test_what_is_observed_is_what_a_step_measured():
    """A step that no sequence reaches, or that has no place, keeps what it had."""
    made = spec(steps=5)
    weights, x, _ = problem(made)
    lengths = np.array([3, 2, 1, 0])
    valid = (np.arange(T)[:, None] < lengths)[..., None]
    row = made.build().observe(weights, np.where(valid, x, 0), Masks(valid, None), KEY)
    *_, seen = by_hand(weights, x, np.zeros((B, H)), np.zeros((B, H)), lengths)
    for name in ("x0", "h0", "c"):
        for at, leaf in enumerate(row[name]):
            agree(leaf[:3], np.stack([found[name][at] for found in seen[:3]]))
            same(leaf[3:], weights.row[name][at][3:])
    same(row["seen"][:3], np.ones((3, 1)))


@cache
def gradients(made, engine, reverse=False):
    """Return the compiled (weights, carry, x, seen, lengths, resets) -> (out, gradients)."""

    def loss(weights, carry, x, seen, lengths, resets):
        last, h = unroll(
            made.build(), weights, carry, x,
            lengths=lengths, resets=resets, key=KEY, engine=engine, reverse=reverse,
        )  # fmt: skip
        ends = sum(jnp.sin(leaf).sum() for leaf in jax.tree.leaves(last))
        return (h * seen).sum() + ends, (last, h)

    def f(*data):
        (_, out), grads = jax.value_and_grad(loss, (0, 1, 2), has_aux=True)(*data)
        return out, grads

    return jax.jit(f, compiler_options=contract.FAST)


@pytest.mark.slow
@pytest.mark.parametrize(("cell", "noise", "reverse"), [
    ("peephole", NOISE, False), ("gru_before", {}, False), ("lstm", {}, True),
    *(pytest.param(cell, {}, False, marks=pytest.mark.slow) for cell in ("lstm", "gru", "greff/fgr")),
])  # fmt: skip
def test_fused_equals_scan_in_training(cell, noise, reverse):
    """Values and gradients under lengths and resets; NaN in the padding reaches neither."""
    made = spec(cell, **noise)
    weights, x, seen = problem(made)
    rest = (seen, LENGTHS, RESETS)
    carry = random_carry(made.build(), (B,), H)
    fused = gradients(made, "fused", reverse)(weights, carry, x, *rest)
    agree(fused, gradients(made, "scan", reverse)(weights, carry, x, *rest))
    dirty = np.where(VALID, x, np.nan)
    same(gradients(made, "fused", reverse)(weights, carry, dirty, *rest), fused)
    assert not any(np.asarray(leaf).any() for leaf in jax.tree.leaves(fused[1][0].row))
    assert all(np.asarray(leaf).any() for leaf in jax.tree.leaves(fused[1][0].p))


def test_padding_is_not_measured():
    weights, x, _ = problem(spec())
    cell, dirty = spec().build(), np.where(VALID, x, np.nan)
    same(calibrated(cell, weights, dirty, LENGTHS), calibrated(cell, weights, x, LENGTHS))
    made = Recurrent(spec(), D, H, rngs=nnx.Rngs(0))
    made(dirty, lengths=LENGTHS, time_major=True, rngs=nnx.Rngs(dropout=0))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(nnx.as_pure(made.weights)))


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "ragged"])
@pytest.mark.parametrize(
    "cell",
    ["lstm", *(pytest.param(cell, marks=pytest.mark.slow) for cell in ("gru", "gru_before"))],
)
def test_calibrated_weights_make_a_test_equal_training(cell, lengths):
    made = spec(cell)
    weights, x, _ = problem(made)
    weights = weights._replace(row=made.build().init(KEY, D, H).row)
    ready = calibrated(made.build(), weights, x, lengths)
    trained = outputs(made, weights, x, lengths, KEY)
    # The last two of the ragged steps have one sequence, whose variance is 0: what a fused product rounds
    # otherwise in v - mean grows by 1 / sqrt(1e-5) a step.
    agree(outputs(made, ready, x, lengths), trained, 1e-12 if lengths is None else 1e-10)
    assert np.abs(outputs(made, weights, x, lengths)[1] - trained[1]).max() > 1e-2


def test_the_noise_of_other_wrappers_is_in_the_statistics():
    weights, x, _ = problem(spec())
    noisy = spec(**NOISE).build()
    weights = weights._replace(r=(None,) * (len(noisy.stages) - 2) + weights.r)
    (one, two, other) = (
        calibrated(noisy, weights, x, key=jax.random.key(k)).row for k in (1, 1, 2)
    )
    same(one, two)
    for name in ("x0", "h0", "c"):
        assert np.abs(one[name].mean[1:T] - other[name].mean[1:T]).max() > 1e-3, name


def test_a_step_past_the_last_observed_uses_that_one():
    made = spec(steps=10)
    weights, x, _ = problem(made)
    weights = weights._replace(row=made.build().init(KEY, D, H).row)
    short = calibrated(made.build(), weights, x[:3])
    carry, h = outputs(made, short, x)

    def held(leaf):
        return jnp.concatenate([leaf[:3], jnp.broadcast_to(leaf[2:3], (T - 3, *leaf.shape[1:]))])

    long = short._replace(row=jax.tree.map(held, short.row))
    agree(outputs(made, long, x), (carry, h))
    few = short._replace(row=jax.tree.map(lambda leaf: leaf[:3], short.row))
    agree(outputs(made, few, x), (carry, h))


@pytest.mark.slow
@pytest.mark.parametrize("cell", ["lstm", "gru_before"])
@pytest.mark.parametrize("claim", [
    contract.streams_in_pieces,
    contract.padding_reaches_nothing,
    contract.restarts_at_a_reset,
    contract.reverse_is_the_flipped_prefix,
    contract.takes_any_batch_axes,
    contract.maps_over_weights,
    contract.compiles_once,
], ids=lambda claim: claim.__name__)  # fmt: skip
def test_without_a_key_a_cell_keeps_the_contract(cell, claim):
    claim(contract.Subject(f"{cell} in batch norm", spec(cell, steps=4)))


@pytest.mark.parametrize(("cell", "formula"), [
    ("lstm", 4 * H * D + 4 * H * H + 14 * H),
    ("gru", 3 * H * D + 3 * H * H + 4 * H + 6 * H),
])  # fmt: skip
def test_it_has_as_many_parameters_as_the_paper_says(cell, formula):
    bare = spec(cell).cell.build().init(KEY, D, H)
    weights = spec(cell).build().init(KEY, D, H)
    assert sum(leaf.size for leaf in jax.tree.leaves(weights._replace(row=None))) == formula
    same(weights.w, bare.w)
    gains = [leaf for name, leaf in weights.p.items() if name.startswith("gain")]
    assert gains and all((np.asarray(leaf) == 0.1).all() for leaf in gains)
    same(
        weights.row["h0"], Statistics(*(np.full((8, len(weights.p["gain_h0"])), v) for v in (0, 1)))
    )


@pytest.mark.slow
def test_a_reversed_layer_measures_from_the_end_of_each_sequence():
    _, x, _ = problem(spec())
    lengths = np.array([T, 4, 4, 0])
    mirror = x.copy()
    for at, n in enumerate(lengths):
        mirror[:n, at] = x[:n, at][::-1]
    resets, turned = np.zeros((2, T, B), bool)
    resets[2, 0] = turned[T - 2, 0] = True
    kept = []
    for reverse, data, marks in ((True, x, resets), (False, mirror, turned)):
        made = Recurrent(spec(), D, H, reverse=reverse, rngs=nnx.Rngs(0))
        made(data, lengths=lengths, resets=marks, time_major=True, rngs=nnx.Rngs(dropout=0))
        kept.append(nnx.as_pure(made.weights).row)
    agree(*kept)


def test_a_run_trains_and_its_test_uses_what_was_measured():
    with jax.enable_x64(False):
        (one,) = sweep.specs([*WORDS, "wrap=recurrent_batch_norm", "wrap.statistics_steps=7"])
        result, made = fit(one), program(signature(one))
        assert result.status == "finished" and np.isfinite(result.metrics["test"]["mse"])
        fresh = made.begin(jnp.int32(0)).rest
        same(
            made.evaluate(result.params, result.rest, "test")["mse"], result.metrics["test"]["mse"]
        )
        assert made.evaluate(result.params, fresh, "test") != result.metrics["test"]


def test_stored_runs_of_other_wrappers_keep_their_hash():
    (one,) = sweep.specs([*WORDS, "wrap=layer_norm"])
    assert "statistics_steps" not in one.resolved()["wrap"]
    (two,) = sweep.specs([*WORDS, "wrap=recurrent_batch_norm", "wrap.statistics_steps=7"])
    assert two.resolved()["wrap"]["statistics_steps"] == 7


def test_what_cannot_be_is_refused():
    weights, x, _ = problem(spec())
    with pytest.raises(ValueError, match=r"norm='batch'.*\(6, 2\) has no batch axis"):
        outputs(spec(), weights, x[:, 0], key=KEY)
    assert np.isfinite(outputs(spec(), weights, x[:, 0])[1]).all()
    with pytest.raises(ValueError, match="statistics_steps=0 must be at least 1"):
        WrapSpec("batch", statistics_steps=0)
    for cell, said in ((Qrnn(), "x W"), (catalogue.spec(CELLS, "cell", "mingru", {}), "recurrent")):
        with pytest.raises(ValueError, match=f"norm='batch'.*{said}"):
            Wrapped(cell, WrapSpec("batch")).build()
    with pytest.raises(ValueError, match="lengths has shape"):
        calibrated(spec().build(), weights, x, np.array([1, 2]))
