"""The phased LSTM: its clocks, the gradient through mod, and times that come with the input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agreement import agree, same
from blocks import random_carry, random_weights
from flax import nnx
from references import run, s
from references_long import cut_clocked, phased_at
from timed import gradients_with_times

from lstm_research.cell import Carry
from lstm_research.cells.phased import Clock, Phased, openness
from lstm_research.engines import unroll
from lstm_research.gated import GateSpec
from lstm_research.nnx_layer import Recurrent

T, B, D, H = 8, 3, 3, 4  # D with the time
TIMED = Phased(timestamps=True)
KEY = jax.random.key(0)

pytestmark = pytest.mark.usefixtures("float64")


def problem(spec=TIMED):
    """Return a problem at irregular times, different in each sequence."""
    cell, rng = spec.build(), np.random.default_rng(5)
    times = np.cumsum(rng.exponential(1.3, (T, B, 1)), 0)
    x = np.concatenate([rng.normal(size=(T, B, D - 1)), times], -1)
    return cell, random_weights(cell, D, H), random_carry(cell, (B,), H), x


def clock(period, shift=0.0, ratio=0.5):
    return {
        "log_period": jnp.log(jnp.array([period])),
        "shift": jnp.array([shift]),
        "logit_ratio": jnp.array([np.log(ratio / (1.0 - ratio))]),
    }


def test_the_gate_opens_closes_and_leaks():
    """Period 8, open for half of it: up in two, down in two, then a leak that grows."""
    k = openness(0.1, clock(8.0), jnp.arange(-3.0, 10.0)[:, None])[:, 0]
    down = 0.1 * np.array([5, 6, 7]) / 8
    agree(k, np.array([*down, 0.0, 0.5, 1.0, 0.5, 0.1 * 4 / 8, *down, 0.0, 0.5]))


def test_a_shift_moves_the_gate():
    times = jnp.linspace(0.0, 20.0, 31)[:, None]
    agree(openness(0.1, clock(7.0, 2.5), times + 2.5), openness(0.1, clock(7.0), times), 1e-10)


def test_gradients_pass_through_mod_by_its_first_argument():
    """On the way up k = 2 (t - shift mod tau) / (tau r); the turns before are constants."""
    t, p = jnp.array([50.0]), clock(8.0, 1.0)  # 49 = 6 turns and 1
    d_p, d_t = jax.grad(lambda p, t: openness(0.1, p, t)[0], (0, 1))(p, t)
    agree(d_t, np.array([2.0 / (8.0 * 0.5)]))
    agree(d_p["shift"], np.array([-2.0 / (8.0 * 0.5)]))
    agree(
        d_p["log_period"], np.array([-0.5])
    )  # - k, as phi = 1 / tau: it does not grow with the turns
    agree(d_p["logit_ratio"], np.array([-0.5 * 0.5]))  # - k (1 - r)


def test_irregular_times_are_those_of_the_twin():
    cell, weights, carry, x = problem()

    def twin(m, x, c, h):
        return phased_at(m, x[:-1], c, h, x[-1])

    last, h = unroll(cell, weights, carry, x)
    assert isinstance(last, Carry)
    agree((jax.tree.leaves(last), h), run(twin, cut_clocked(weights, H), x, carry))


def test_times_that_count_the_steps_are_the_clock_of_the_carry():
    cell, weights, carry, x = problem()
    own = Phased().build()
    x[..., -1] = np.arange(T)[:, None]
    last, h = unroll(own, weights, Clock(*carry, np.zeros((B, 1))), x[..., :-1])
    agree((last.c, last.h, h), unroll(cell, weights, carry, x))
    agree(last.t, np.full((B, 1), float(T)))


def test_a_clock_starts_again_at_a_reset_and_stands_still_in_padding():
    cell, (_, weights, _, x) = Phased().build(), problem()
    resets = np.zeros((T, B), bool)
    resets[5, 0] = True
    lengths = np.array([T, 3, 0])
    start = cell.start((B,), H)
    last, _ = unroll(cell, weights, start, x[..., :-1], lengths=lengths, resets=resets)
    same(last.t[:, 0], np.array([T - 5.0, 3.0, 0.0]))


PEEPING = Phased(timestamps=True, peephole="f", leak=0.0)


@pytest.mark.parametrize("spec", [TIMED, pytest.param(PEEPING, marks=pytest.mark.slow)])
def test_gradients_with_times_are_those_of_the_scan(spec):
    """The time and the clocks receive theirs too; padding with NaN gives none."""
    cell, weights, carry, x = problem(spec)
    lengths, resets = np.array([T, 5, 0]), np.zeros((T, B), bool)
    resets[2, 0] = True
    fused = gradients_with_times(cell, weights, carry, x, lengths, resets)
    assert np.asarray(fused[2])[:T, 0, -1].all() and np.asarray(fused[0].p["log_period"]).all()


def test_an_open_gate_is_an_lstm_with_peepholes():
    """Where k = 1 at every time, nothing of the phased LSTM is left."""
    cell, weights, carry, x = problem()
    lstm = GateSpec(peephole="ifo").build()
    peepholes = {name: p for name, p in weights.p.items() if name.startswith("p_")}
    clocks = {"log_period": np.log(8.0), "shift": 0.0, "logit_ratio": 0.0}
    clocks = {name: np.full(H, value) for name, value in clocks.items()}
    x[..., -1] = 8.0 * np.arange(T)[:, None] + 2.0
    got = unroll(cell, weights._replace(p=peepholes | clocks), carry, x)
    agree(got, unroll(lstm, weights._replace(p=peepholes), carry, x[..., :-1]))


def test_a_start_lies_in_its_ranges():
    p = Phased(shortest=2.0, longest=50.0, ratio=0.1).build().init(KEY, D, 500).p
    period = np.exp(p["log_period"])
    assert 2.0 <= period.min() < 2.5 and 40.0 < period.max() <= 50.0
    assert (p["shift"] >= 0).all() and (p["shift"] < period).all()
    assert abs(np.median(period) - 10.0) < 1.5, "log-uniform: the middle is sqrt(2 * 50)"
    agree(s(p["logit_ratio"]), np.full(500, 0.1))


def test_a_layer_takes_times_and_refuses_a_time_alone():
    layer = Recurrent(TIMED, D, H, rngs=nnx.Rngs(0))
    assert layer.weights.w.shape == (D - 1, 4 * H)
    assert layer(np.ones((B, T, D))).shape == (B, T, H)
    with pytest.raises(ValueError, match=r"^features=1 and timestamps=True leave W no input"):
        TIMED.build().init(KEY, 1, H)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ratio": 1.0}, r"^ratio=1.0 is a share"),
        ({"leak": -0.1}, r"^leak=-0.1 must lie in \[0, 1\]"),
        ({"shortest": 3.0, "longest": 2.0}, r"^shortest=3.0 must be more than 0"),
        ({"shortest": 0.0}, r"^shortest=0.0 must be more than 0"),
        ({"peephole": "z"}, r"^peephole='z' may hold"),
    ],
)
def test_what_cannot_be_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Phased(**settings)
