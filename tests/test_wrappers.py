"""Cells inside wrappers: norms and noise equal their twins, and a wrapped cell is still a cell."""

from functools import cache, partial

import contract
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import references_wrapped as twins
from agreement import agree, same
from blocks import cut, random_carry, random_weights
from contract import B, D, H, T
from references import run

from lstm_research import catalogue
from lstm_research.cells import CELLS
from lstm_research.cells.fgr import Fgr
from lstm_research.cells.gru_before import GruBefore
from lstm_research.cells.lem import Lem
from lstm_research.cells.qrnn import Qrnn
from lstm_research.engines import unroll
from lstm_research.gated import GateSpec
from lstm_research.masks import Masks
from lstm_research.wrappers import Wrapped, WrapSpec

pytestmark = pytest.mark.usefixtures("float64")

BARE = {name: catalogue.spec(CELLS, "cell", name, {}) for name in ("lstm", "gru", "peephole")}
NOISE = {
    "zoneout": {"zoneout_c": 0.5, "zoneout_h": 0.3},
    "variational_x": {"variational_x": 0.4},
    "variational_h": {"variational_h": 0.4},
    "candidate": {"candidate_dropout": 0.4},
    "weight_drop": {"weight_drop": 0.4},
}
ALL = {key: share for one in NOISE.values() for key, share in one.items()}
WRAPS = {name: WrapSpec(**shares) for name, shares in NOISE.items()} | {
    "layer": WrapSpec("layer"),
    "carried": WrapSpec("layer_carried"),
    "everything": WrapSpec("layer", **ALL),
}
PAIRS = [
    pytest.param(
        wrap,
        cell,
        marks=() if cell == "lstm" and wrap in ("everything", "carried") else pytest.mark.slow,
    )
    for wrap in WRAPS
    for cell in BARE
    if (wrap, cell) != ("carried", "gru")
]
SOME = [pytest.param(cell, marks=() if cell == "lstm" else pytest.mark.slow) for cell in BARE]
LENGTHS, RESETS = np.array([T, 4, 1, 0]), np.zeros((T, B), bool)
RESETS[2, 0] = RESETS[0, 1] = RESETS[3, 1] = True
KEY = jax.random.key(3)


def wrapped(wrap: str, cell: str = "lstm") -> Wrapped:
    return Wrapped(BARE[cell], WRAPS[wrap])


@cache
def gradients(spec, engine="fused", reverse=False):
    """Return the compiled (weights, carry, x, seen, lengths, resets, key) -> (out, gradients)."""

    def loss(weights, carry, x, seen, lengths, resets, key):
        last, h = unroll(
            spec.build(), weights, carry, x,
            lengths=lengths, resets=resets, key=key, engine=engine, reverse=reverse,
        )  # fmt: skip
        return (h * seen).sum() + sum(jnp.sin(leaf).sum() for leaf in jax.tree.leaves(last)), (
            last,
            h,
        )

    def f(*data):
        (_, out), grads = jax.value_and_grad(loss, (0, 1, 2), has_aux=True)(*data)
        return out, grads

    return jax.jit(f, compiler_options=contract.FAST)


def pieces(spec):
    """Return the wrapped cell, random weights, and the blocks of the cell inside by name."""
    weights = random_weights(spec.build(), D, H)
    r = tuple(matrix for matrix in weights.r if matrix is not None)
    m = cut(spec.cell.build(), weights._replace(r=r, b=blank(weights)), H)
    return spec.build(), weights, m | (weights.m or {})


def blank(weights):
    return np.zeros(weights.w.shape[1]) if weights.b is None else weights.b


@pytest.mark.parametrize(("wrap", "cell", "twin"), [
    ("layer", "lstm", twins.layer_norm_lstm),
    ("layer", "peephole", twins.layer_norm_lstm),
    ("layer", "gru", twins.layer_norm_gru),
    ("carried", "lstm", twins.layer_norm_carried_lstm),
    ("zoneout", "lstm", partial(twins.zoneout_lstm, d_c=0.5, d_h=0.3)),
])  # fmt: skip
def test_a_wrapped_cell_equals_its_twin_in_numpy(wrap, cell, twin):
    built, weights, m = pieces(wrapped(wrap, cell))
    carry, x = random_carry(built, (B,), H), np.random.default_rng(4).normal(size=(T, B, D))
    last, h = unroll(built, weights, carry, x)
    agree((jax.tree.leaves(last), h), run(twin, m, x, jax.tree.leaves(carry)))


def halves(front):
    return {"d_c": front[:H], "d_h": front[H:]}


@pytest.mark.parametrize(("wrap", "twin", "named"), [
    ("zoneout", twins.zoneout_lstm, halves),
    ("variational_h", twins.lstm, lambda front: {"heard": front}),
    ("candidate", twins.lstm, lambda front: {"dropped": front}),
])  # fmt: skip
def test_with_a_key_a_cell_follows_the_masks_that_were_drawn(wrap, twin, named):
    built, weights, m = pieces(wrapped(wrap))
    carry, x = random_carry(built, (B,), H), np.random.default_rng(4).normal(size=(T, B, D))
    masks = np.asarray(built.drive(weights, x, Masks(None, None), KEY).front)
    last, h = unroll(built, weights, carry, x, key=KEY)
    for row in range(B):
        state = tuple(leaf[row] for leaf in carry)
        for t in range(T):
            state = twin(m, x[t, row], *state, **named(masks[t, row]))
            agree(h[t, row], state[1])
        agree([leaf[row] for leaf in last], state)


@pytest.mark.parametrize(("norm", "cell", "formula"), [
    ("layer", "lstm", 4 * H * D + 4 * H * H + 4 * H + 18 * H),
    ("layer_carried", "lstm", 4 * H * D + 4 * H * H + 10 * H),
    ("layer", "gru", 3 * H * D + 3 * H * H + 4 * H + 12 * H),
])  # fmt: skip
def test_norms_add_as_many_parameters_as_the_paper_says(norm, cell, formula):
    bare = BARE[cell].build().init(KEY, D, H)
    weights = Wrapped(BARE[cell], WrapSpec(norm)).build().init(KEY, D, H)
    assert sum(leaf.size for leaf in jax.tree.leaves(weights)) == formula
    same(weights.w, bare.w)


@pytest.mark.parametrize(("wrap", "cell"), PAIRS)
def test_fused_equals_scan_with_the_same_key(wrap, cell):
    """Values and gradients, under lengths and resets; NaN in the padding reaches neither."""
    spec = wrapped(wrap, cell)
    weights, carry, x, seen = contract.problem(spec)
    data = (weights, carry, x, seen, LENGTHS, RESETS, KEY)
    fused = gradients(spec)(*data)
    agree(fused, gradients(spec, "scan")(*data))
    dirty = np.where((np.arange(T)[:, None] < LENGTHS)[..., None], x, np.nan)
    same(gradients(spec)(weights, carry, dirty, seen, LENGTHS, RESETS, KEY), fused)
    other = gradients(spec)(*data[:-1], jax.random.key(4))
    moved = max(np.abs(a - b).max() for a, b in zip(fused[0][1], other[0][1], strict=True))
    assert (moved > 1e-3) == spec.build().noisy


@pytest.mark.slow
@pytest.mark.parametrize("cell", SOME)
def test_fused_equals_scan_backwards(cell):
    spec = wrapped("everything", cell)
    data = (*contract.problem(spec), LENGTHS, RESETS, KEY)
    agree(gradients(spec, reverse=True)(*data), gradients(spec, "scan", reverse=True)(*data))


@pytest.mark.slow
@pytest.mark.parametrize("claim", [
    contract.streams_in_pieces,
    contract.gradients_stay_finite,
    contract.padding_reaches_nothing,
    contract.restarts_at_a_reset,
    contract.reverse_is_the_flipped_prefix,
    contract.takes_any_batch_axes,
    contract.maps_over_weights,
    contract.compiles_once,
], ids=lambda claim: claim.__name__)  # fmt: skip
@pytest.mark.parametrize(("wrap", "cell"), [
    ("everything", "peephole"), ("carried", "lstm"),
    *(pytest.param("everything", cell, marks=pytest.mark.slow) for cell in BARE if cell != "peephole"),
])  # fmt: skip
def test_without_a_key_a_wrapped_cell_keeps_the_contract(wrap, cell, claim):
    claim(contract.Subject(f"{cell} in {wrap}", wrapped(wrap, cell)))


@pytest.mark.parametrize("wrap", ["variational_x", "variational_h", "candidate", "weight_drop"])
@pytest.mark.parametrize("cell", SOME)
def test_dropout_is_nothing_without_a_key(wrap, cell):
    spec = wrapped(wrap, cell)
    weights, carry, x, _ = contract.problem(spec)
    bare = weights._replace(r=tuple(r for r in weights.r if r is not None))
    agree(contract.outputs(spec)(weights, carry, x), contract.outputs(BARE[cell])(bare, carry, x))


def test_zoneout_is_its_expectation_over_keys():
    spec = wrapped("zoneout")
    weights, carry, x, _ = contract.problem(spec, T=1)
    draws = jax.jit(jax.vmap(lambda key: unroll(spec.build(), weights, carry, x, key=key)[0]))(
        jax.random.split(KEY, 4000)
    )
    expected, _ = unroll(spec.build(), weights, carry, x)
    for many, mean in zip(draws, expected, strict=True):
        np.testing.assert_allclose(many.mean(0), mean, atol=5 * float(many.std()) / 4000**0.5)
        assert len(np.unique(np.asarray(many[:, 0, 0]))) == 2  # the old value or the new one


@pytest.mark.parametrize(("wrap", "share"), [("variational_h", 0.4), ("candidate", 0.4)])
def test_masks_keep_the_mean(wrap, share):
    spec = wrapped(wrap)
    weights, _, x, _ = contract.problem(spec, T=40, B=50)
    masks = np.asarray(spec.build().drive(weights, x, Masks(None, None), KEY).front)
    assert set(np.unique(masks)) == {0.0, 1 / (1 - share)}
    assert abs((masks[0] == 0).mean() - share) < 5 * (0.24 / masks[0].size) ** 0.5
    assert (masks == masks[:1]).all() == (wrap == "variational_h")  # fixed over time
    assert len({row.tobytes() for row in masks[0]}) > 10  # another one for each sequence


def test_variational_x_drops_a_feature_at_all_steps_of_a_sequence():
    spec = wrapped("variational_x")
    weights, _, x, _ = contract.problem(spec, T=5, B=60)
    x = np.ones_like(x)
    weights = weights._replace(w=np.eye(D, 4 * H), b=np.zeros(4 * H))
    zx = np.asarray(spec.build().drive(weights, x, Masks(None, None), KEY))[..., :D]
    assert (zx == zx[:1]).all() and set(np.unique(zx)) == {0.0, 1 / 0.6}
    assert abs((zx[0] == 0).mean() - 0.4) < 5 * (0.24 / zx[0].size) ** 0.5


def test_weight_drop_masks_the_recurrent_matrix_alone():
    built = wrapped("weight_drop").build()
    weights = random_weights(built, D, 40)
    made = built.ready(weights, KEY)
    same(made._replace(r=None), weights._replace(r=None))
    ratio = np.asarray(made.r[0] / weights.r[0])
    assert abs((ratio == 0).mean() - 0.4) < 0.03
    agree(ratio[ratio > 0], np.full((ratio > 0).sum(), 1 / 0.6))


def test_a_cell_of_two_products_normalises_before_the_second_reads():
    """The reset gate of `gru_before` is made of what was normalised."""
    spec = Wrapped(GruBefore(), WrapSpec("layer", variational_h=0.3))
    data = (*contract.problem(spec), LENGTHS, RESETS, KEY)
    agree(gradients(spec)(*data), gradients(spec, "scan")(*data))
    weights, carry, x, _ = contract.problem(Wrapped(GruBefore(), WrapSpec("layer")), T=1)
    n, m = 2 * H, weights.p | weights.m
    _, h = unroll(Wrapped(GruBefore(), WrapSpec("layer")).build(), weights, carry, x)

    def norm(v, kind, part):
        at = "x" if kind == "x" else "h0" if part.start == 0 else "h1"
        where = part if kind == "x" else slice(None)
        return twins.norm(v, m[f"gain_{at}"][where], m[f"shift_{at}"][where])

    first, second = slice(0, n), slice(n, 3 * H)
    for row in range(B):
        old = carry.h[row]
        a = norm(weights.w[:, first].T @ x[0, row], "x", first) + weights.b[first]
        u, r = np.split(twins.s(a + norm(weights.r[0].T @ old, "h", first)), 2)
        g = norm(weights.w[:, second].T @ x[0, row], "x", second) + weights.b[second]
        g = np.tanh(g + norm(weights.r[1].T @ (r * old), "h", second))
        agree(h[0, row], (1 - u) * old + u * g)


def test_zoneout_of_an_h_alone_takes_the_share_of_h():
    spec, same_h = wrapped("zoneout", "gru"), Wrapped(BARE["gru"], WrapSpec(zoneout_h=0.3))
    data = contract.problem(spec)[:3]
    same(unroll(spec.build(), *data, key=KEY), unroll(same_h.build(), *data, key=KEY))


@pytest.mark.parametrize(("cell", "wrap", "parts"), [
    (BARE["gru"], WrapSpec(zoneout_c=0.5), ["zoneout_c=0.5", "memory c", "carries h"]),
    (BARE["gru"], WrapSpec("layer_carried"), ["norm='layer_carried'", "gated"]),
    (Fgr(), WrapSpec(candidate_dropout=0.1), ["candidate_dropout=0.1", "gated"]),
    (Fgr(), WrapSpec(zoneout_c=0.1), ["zoneout_c=0.1", "c, h, gates"]),
    (Lem(), WrapSpec(zoneout_h=0.1), ["zoneout_h=0.1", "z, y"]),
    (Lem(), WrapSpec(variational_h=0.1), ["variational_h=0.1"]),
    (Qrnn(), WrapSpec(weight_drop=0.1), ["weight_drop=0.1"]),
    (Qrnn(), WrapSpec("layer"), ["norm='layer'", "x W + b"]),
])  # fmt: skip
def test_a_wrapper_that_cannot_hold_a_cell_says_so(cell, wrap, parts):
    with pytest.raises(ValueError) as caught:
        Wrapped(cell, wrap).build()
    assert all(part in str(caught.value) for part in parts)


@pytest.mark.parametrize("name", list(ALL))
def test_a_share_is_a_share(name):
    for value in (-0.1, 1.0):
        with pytest.raises(ValueError, match=rf"{name}={value} is a share"):
            WrapSpec(**{name: value})


def test_equal_specs_are_one_cell():
    one = Wrapped(GateSpec(), WrapSpec("layer", **ALL)).build()
    assert one is Wrapped(GateSpec(), WrapSpec("layer", **ALL)).build()
    assert one is wrapped("everything").build()
