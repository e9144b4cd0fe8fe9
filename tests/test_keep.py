"""What is kept of a sequence changes no number: states alone give what gates give, in less room."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agreement import agree, same
from contract import FAST, problem
from sampled import first, sampled
from test_cells import SPECS

from lstm_research import config, engines, keep
from lstm_research.engines import unroll
from lstm_research.gated import GateSpec
from lstm_research.keep import KEEPS, Kept, Size, decide, order, told
from lstm_research.wrappers import Wrapped, WrapSpec

T, B, H = 11, 3, 8
LENGTHS, RESETS = np.array([T, 7, 0]), np.zeros((T, B), bool)
RESETS[[0, 5], 0] = RESETS[1, 1] = True
LOOPS = [name for name, spec in SPECS.items() if spec.build().linear is None]
KERNELS = [name for name in LOOPS if engines.way("native").states and name not in {
    "fastgrnn", "lstmp", "mogrifier", "onlstm", "phased", "slstm", "slstm_exp",
}]  # fmt: skip
MIB = 2**20


def pull(spec, engine, kept, data, masked=True, reverse=False, key=None, options=None):
    """Return values and gradients of a loss that sees everything, freshly compiled."""
    weights, carry, x, seen = data
    masks = dict(lengths=LENGTHS, resets=RESETS) if masked else {}

    def loss(weights, carry, x):
        how = dict(reverse=reverse, engine=engine, keep=kept, key=key, **masks)
        last, h = unroll(spec.build(), weights, carry, x, **how)
        ends = sum(jnp.sin(leaf).sum() for leaf in jax.tree.leaves(last))
        return (h * seen).sum() + ends, (last, h)

    pulled = jax.jit(
        jax.value_and_grad(loss, (0, 1, 2), has_aux=True), compiler_options=options or FAST
    )
    (_, out), grads = pulled(weights, carry, x)
    return out, grads


def both(*arguments, **more):
    """Return what states alone give, and what gates give."""
    return [pull(*arguments[:2], kept, *arguments[2:], **more) for kept in ("states", "gates")]


@pytest.fixture
def short(monkeypatch):
    """Pieces of four steps, the last one shorter."""
    monkeypatch.setattr(keep, "SHORTEST", 4)
    monkeypatch.setattr(keep, "AT_ONCE", 0)
    jax.clear_caches()  # both are read while tracing
    yield
    jax.clear_caches()


@pytest.mark.parametrize("name", sampled(LOOPS))
def test_states_alone_give_the_gradients_of_gates(float64, name):
    """Backwards with lengths and resets, forwards without."""
    data = problem(SPECS[name], T, B, H=H)
    for masked in (True, False):
        agree(*both(SPECS[name], "fused", data, masked=masked, reverse=masked))


@pytest.mark.parametrize("name", sampled(KERNELS))
def test_a_kernel_goes_back_from_states_alone(name):
    data = problem(SPECS[name], T, B, H=H, dtype=np.float32)
    for masked in (True, False):
        agree(*both(SPECS[name], "native", data, masked=masked, reverse=masked))


@pytest.mark.parametrize("reverse", first([True, False]))
def test_many_products_are_one(float64, short, reverse):
    data = problem(SPECS["peephole"], T, B, H=H)
    assert decide("states", KEEPS["fused"], T, Size(1, 1)) == Kept("states", 4)
    agree(*both(SPECS["peephole"], "fused", data, reverse=reverse))


def test_many_products_of_a_kernel_are_one(short):
    data = problem(SPECS["peephole"], T, B, H=H, dtype=np.float32)
    agree(*both(SPECS["peephole"], "native", data))


def test_noise_is_the_same_noise_again(float64):
    """Zoneout and dropout of the inputs: computed again, zx meets the masks that it met before."""
    spec = Wrapped(SPECS["lstm"], WrapSpec(zoneout_h=0.3, variational_x=0.4, candidate_dropout=0.4))
    data = problem(spec, T, B, H=H)
    agree(*both(spec, "fused", data, key=jax.random.key(3)))


def test_rounded_operands_are_rounded_again():
    spec = SPECS["lstm"]
    weights, carry, x, _ = problem(spec, T, B, H=H, dtype=np.float32)

    def f(kept):
        loss = lambda w, x: unroll(
            spec.build(), w, carry, x, engine="fused", precision="bfloat16", keep=kept
        )[1].sum()
        return jax.jit(jax.grad(loss, (0, 1)))(weights, x)

    agree(f("states"), f("gates"), 1e-2)  # a float32 sum in another order may round the other way


@pytest.mark.parametrize("engine", first(["native", "fused"]))
def test_any_batch_axes_and_none(engine):
    weights, _, x, _ = problem(SPECS["gru"], T, 4, H=H, dtype=np.float32)
    cell = SPECS["gru"].build()
    for shape in ((2, 2), (), (0,)):
        start = cell.start(shape, H)
        some = x[:, : int(np.prod(shape))].reshape(T, *shape, 2)
        f = lambda kept, start=start, some=some: jax.grad(
            lambda w: unroll(cell, w, start, some, engine=engine, keep=kept)[1].sum()
        )(weights)
        agree(f("states"), f("gates"))


def test_a_pack_of_runs_keeps_the_states_of_each():
    data = [problem(SPECS["lstm"], T, B, H=H, seed=seed, dtype=np.float32) for seed in (0, 1)]
    cell = SPECS["lstm"].build()

    def one(weights, carry, x, seen):
        f = lambda w: (unroll(cell, w, carry, x, engine="native", keep="states")[1] * seen).sum()
        return jax.grad(f)(weights)

    pack = jax.tree.map(lambda *leaves: np.stack(leaves), *data)
    found = jax.jit(lambda pack: jax.lax.map(lambda each: one(*each), pack))(pack)
    for place, each in enumerate(data):
        alone = jax.jit(one)(*each)
        same(jax.tree.map(lambda leaf, place=place: leaf[place], found), alone)


def temporary(engine: str, kept: str, layers: int, steps: int = 4000) -> float:
    """Return the MiB that a training step needs beside its arguments and results."""
    cell, rows, hidden = GateSpec().build(), 64, 64
    weights = [cell.init(jax.random.key(0), hidden, hidden)] * layers

    def loss(weights, x):
        for each in weights:
            x = unroll(cell, each, cell.start((rows,), hidden), x, engine=engine, keep=kept)[1]
        return (x**2).mean()

    shape = jax.ShapeDtypeStruct((steps, rows, hidden), jnp.float32)
    compiled = jax.jit(jax.grad(loss)).lower(weights, shape).compile()
    return compiled.memory_analysis().temp_size_in_bytes / MIB


@pytest.mark.parametrize("case", first([("native", 1), ("fused", 1), ("native", 2)]))
def test_states_take_less_room_than_gates(case):
    engine, layers = case
    gates, states = (temporary(engine, kept, layers) for kept in ("gates", "states"))
    assert states < 0.8 * gates


def test_what_is_kept_is_chosen_by_length_and_backend():
    """An LSTM of 128 units, 64 sequences: z 128 KiB and carries 64 KiB a step."""
    size = Size(64 * 512 * 4, 64 * 256 * 4)
    found = {
        backend: [
            decide("auto", order("fused", backend), steps, size)
            for steps in (1_365, 1_366, 8_192, 8_193, 400_000)
        ]
        for backend in ("cpu", "gpu")
    }
    pieces = [Kept("pieces", steps) for steps in (256, 256, 256, 632)]
    assert found["cpu"] == [Kept("gates", 1_365), *pieces]
    states = [Kept("states", 228), Kept("states", 256)]
    assert found["gpu"] == [Kept("gates", 1_365), *states, *pieces[2:]]
    assert decide("auto", order("pallas", "gpu"), 100, size) == Kept("states", 100)
    assert decide("states", order("fused", "cpu"), 100, size).policy == "states"


def test_the_words_say_which_and_why():
    size, able = Size(64 * 512 * 4, 64 * 256 * 4), order("fused", "gpu")
    said = lambda asked, steps: told(decide(asked, able, steps, size), asked, able, steps, size)
    assert said("auto", 100) == (
        "gates: pre-activations and carries of all 100 steps; gates 37.5 MiB fit 512.0 MiB"
    )
    assert said("auto", 2048) == (
        "states: the carries of all 2048 steps, and computes the pre-activations again, 256 steps in "
        "one product; gates 768.0 MiB pass 512.0 MiB"
    )
    assert said("states", 100).startswith("states (asked for): the carries of all 100 steps")
    assert said("auto", 10_000).endswith("; gates 3,750.0 MiB and states 625.0 MiB pass 512.0 MiB")


def plain(cell="gated", **network):
    return {"cell": {"kind": cell}, "task": {"kind": "adding"}, "network": network}


def test_a_way_to_keep_that_is_none_is_a_mistake_before_any_run():
    with pytest.raises(config.ConfigError, match=r"network\.keep: 'statez' .*'states'.*pieces"):
        config.build(plain(keep="statez"))
    for wrong in (plain("mingru", keep="states"), plain(engine="scan", keep="states")):
        with pytest.raises(config.ConfigError, match=r"network\.keep='states' is not for engine"):
            config.build(wrong)
    weights, carry, x, _ = problem(SPECS["lstm"])
    with pytest.raises(ValueError, match=r"keep: 'state' is no way .* Did you mean 'states'"):
        unroll(SPECS["lstm"].build(), weights, carry, x, keep="state")


def test_the_hash_of_a_run_that_chooses_nothing_stays():
    assert "keep" not in config.build(plain()).resolved()["network"]
    assert config.build(plain(keep="states")).resolved()["network"]["keep"] == "states"
