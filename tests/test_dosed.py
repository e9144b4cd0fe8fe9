"""Shares of noise as data: the cell is that with them written in, and a sweep of shares is one program."""

import dataclasses

import contract
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agreement import agree, same
from flax import nnx
from small import small

from lstm_research.cells.elman import Elman
from lstm_research.cells.ligru import LiGru
from lstm_research.cells.slstm import Slstm
from lstm_research.dosed import Dosed, dosable
from lstm_research.engines import unroll
from lstm_research.gated import GateSpec
from lstm_research.plan import plan
from lstm_research.run import finished, fit, fit_many
from lstm_research.signature import member, program, signature
from lstm_research.wrappers import Wrapped, WrapSpec

NOISE = WrapSpec(variational_x=0.3, variational_h=0.2, weight_drop=0.4, zoneout_h=0.1)
FIRST = "lstm, all"
CASES = {
    FIRST: (GateSpec(), dataclasses.replace(NOISE, zoneout_c=0.5, candidate_dropout=0.3)),
    "lstm, all under a norm": (GateSpec(), dataclasses.replace(NOISE, norm="layer", zoneout_c=0.5)),
    "elman": (Elman(), NOISE),
    "slstm, weight drop": (Slstm(), WrapSpec(weight_drop=0.3)),
}


def found(made, row, key, weights, carry, x):
    """Return h and the gradients of weights and inputs, compiled."""

    def loss(weights, x):
        last, h = unroll(made, weights._replace(row=row), carry, x, key=key)
        return (h**2).sum() + sum(jnp.sin(leaf).sum() for leaf in jax.tree.leaves(last)), h

    (_, h), grads = jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True))(weights, x)
    return h, grads


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    "case", [pytest.param(each, marks=() if each == FIRST else pytest.mark.slow) for each in CASES]
)
@pytest.mark.parametrize("training", [False, True], ids=["test", "training"])
def test_it_is_the_wrapped_cell(case, training):
    cell, wrap = CASES[case]
    weights, carry, x, _ = contract.problem(Wrapped(cell, wrap))
    key = jax.random.key(3) if training else None
    dosed = Dosed(cell, wrap).build()
    row = dosed.init(jax.random.key(0), 4, 4).row
    got = found(dosed, row, key, weights, carry, x)
    agree(got, found(Wrapped(cell, wrap).build(), None, key, weights, carry, x))


def test_what_keeps_statistics_has_its_shares_written_in():
    assert dosable(GateSpec(), WrapSpec(zoneout_h=0.1))
    assert not dosable(GateSpec(), None) and not dosable(GateSpec(), WrapSpec("layer"))
    assert not dosable(GateSpec(), WrapSpec("batch", zoneout_h=0.1))
    assert not dosable(LiGru(), WrapSpec(variational_x=0.1))


def zoned(seed: int = 0, **shares):
    return dataclasses.replace(small(seed=seed), wrap=WrapSpec(**shares))


def test_shares_are_no_part_of_a_program_and_which_are_on_is():
    one, two = zoned(zoneout_h=0.1), zoned(zoneout_h=0.6)
    assert signature(one) == signature(two)
    assert signature(one) != signature(zoned(zoneout_h=0.1, zoneout_c=0.1))
    assert signature(zoned(zoneout_h=0.1, norm="batch")) != signature(
        zoned(zoneout_h=0.6, norm="batch")
    )


def test_a_sweep_of_shares_is_one_program_and_each_run_keeps_its_own():
    specs = [zoned(zoneout_c=share, zoneout_h=share / 2) for share in (0.1, 0.9)]
    assert [group.which for group in plan(specs, 2)] == [(0, 1)]
    packed = fit_many(specs)
    alone = [fit(spec) for spec in specs]
    for one, other in zip(packed, alone, strict=True):
        assert one.metrics["test"]["mse"] == pytest.approx(other.metrics["test"]["mse"], rel=1e-6)
        agree(one.params, other.params)
    scores = [one.metrics["test"]["mse"] for one in packed]
    assert len(set(scores)) == 2


def test_the_network_of_a_run_is_that_of_its_spec():
    spec = zoned(zoneout_h=0.4)
    made = program(signature(spec))
    state = made.begin(member(spec))
    result = dataclasses.replace(fit(spec), params=state.params, rest=state.rest)
    result, network = finished(spec, made, result)
    assert network is not None and network.layers[0][0].spec == Wrapped(spec.cell, spec.wrap)
    assert nnx.as_pure(network.layers[0][0].weights).row is None
    batch = made.batch(made.task.data, jax.random.key(1), jnp.int32(0))
    network.eval()
    same(network(batch.inputs), made.outputs(state.params, state.rest, batch, None))


def test_a_share_is_that_of_the_mask():
    """Of a share of 0.9 nine in ten units keep their h, whatever share the program was built for."""
    weights = Dosed(GateSpec(), WrapSpec(zoneout_h=0.9)).build().init(jax.random.key(0), 2, 500)
    other = Dosed(GateSpec(), WrapSpec(zoneout_h=0.5)).build()
    x = jax.random.normal(jax.random.key(1), (1, 8, 2))
    _, h = unroll(other, weights, other.start((8,), 500), x, key=jax.random.key(2))
    assert np.mean(np.asarray(h) == 0) == pytest.approx(0.9, abs=0.02)
