"""What a cell says of its gates is what its step does: each equation again, from the gates alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agreement import agree
from blocks import random_carry, random_weights
from sampled import KEEN

from lstm_research import catalogue
from lstm_research.cell import drive, step, vectors
from lstm_research.cells import CELLS
from lstm_research.gated import GateSpec
from lstm_research.superset import Superset
from lstm_research.wrappers import Wrapped, WrapSpec

pytestmark = pytest.mark.usefixtures("float64")

B, D, H = 3, 2, 4
NONE = {"elman", "irnn", "indrnn"}  # a state without a gate
OPEN = {"g", "a"}  # no share of anything: a candidate, the slope of a BRC
SPECS = {name: catalogue.spec(CELLS, "cell", name, {}) for name in catalogue.names("cell")}
MORE = {
    "gru_before, gates=bias": catalogue.spec(CELLS, "cell", "gru_before", {"gates": "bias"}),
    "slstm, forget=exp": catalogue.spec(CELLS, "cell", "slstm", {"forget": "exp"}),
    "minlstm, positive": catalogue.spec(CELLS, "cell", "minlstm", {"positive": True}),
    "mogrifier, cap": catalogue.spec(CELLS, "cell", "mogrifier", {"cap": True}),
    "ran, linear": catalogue.spec(CELLS, "cell", "ran", {"squash_output": False}),
    "superset": Superset(GateSpec(peephole="i", output_gate=False)),
    "layer norm": Wrapped(GateSpec(peephole="o"), WrapSpec("layer")),
    "zoneout": Wrapped(GateSpec(), WrapSpec("layer", candidate_dropout=0.3, variational_h=0.2)),
    "batch norm": Wrapped(GateSpec(), WrapSpec("batch")),
}


def memory(carry):
    """The state that gates act on: c where there is one, else z of a LEM, else h."""
    return next(getattr(carry, name) for name in ("c", "z", "h") if hasattr(carry, name))


def mixed(now, old):
    return now.get("f", 1.0) * old + now.get("i", 1.0) * now["g"]


RULES = {  # memory' from the gates and the old memory, where it is not f memory + i g
    "cfn": lambda now, old: now["f"] * np.tanh(old) + now["i"] * now["g"],
    "star": lambda now, old: np.tanh(mixed(now, old)),
    "rglru": lambda now, old: now["f"] * old + np.sqrt(1 - now["f"] ** 2) * now["i"] * now["g"],
}
ELSEWHERE = {"mlstm", "lru", "rhn", "tlstm"}  # states of another shape, below


def stepped(spec, hidden=H, seed=0):
    """Return (carry before, carry after, gates) of one step from a carry that is not the start."""
    cell = spec.build()
    weights = random_weights(cell, D, hidden, seed)
    carry = random_carry(cell, (B,), hidden, seed + 1)
    if hasattr(carry, "started"):
        carry = carry._replace(started=np.ones((B, 1)))
    x = np.random.default_rng(seed + 2).normal(size=(1, B, D))
    zx = jax.tree.map(lambda leaf: leaf[0], drive(cell, weights, x))
    after, z = step(cell, weights, zx, carry)
    now = None if cell.gates is None else cell.gates(vectors(weights), z, carry)
    return cell, weights, carry, after, now


NAMES = [
    pytest.param(name, marks=() if name in KEEN or name in MORE else pytest.mark.slow)
    for name in SPECS | MORE
]


@pytest.mark.parametrize("name", NAMES)
def test_the_gates_of_a_cell_explain_its_step(name):
    spec = (SPECS | MORE)[name]
    _, _, before, after, now = stepped(spec)
    if name in NONE:
        assert now is None
        return
    assert now and all(jnp.broadcast_shapes(each.shape, (B, 1))[0] == B for each in now.values())
    for letter, each in now.items():
        assert np.isfinite(each).all()
        assert letter in OPEN or ((each > -1e-9) & (each < 1 + 1e-9)).all(), letter
    kind = getattr(spec, "kind", "gated")
    if kind not in ELSEWHERE:
        agree(memory(after), RULES.get(kind, mixed)(now, memory(before)), 1e-9)


def test_the_gates_of_a_matrix_memory_explain_its_step():
    cell, weights, before, after, now = stepped(SPECS["mlstm"])
    kept, new = now["f"] * before.c, after.c - now["f"] * before.c
    q, k, v, o = np.split(cell_inputs(weights), 4, -1)
    k = k / np.sqrt(H)
    outer = now["i"] * (v[:, :, None] * k[:, None, :]).reshape(B, -1)
    agree(kept + outer, after.c, 1e-9)
    agree(now["o"], 1 / (1 + np.exp(-o)), 1e-9)
    assert np.isfinite(new).all() and cell.gates is not None and q.shape == (B, H)


def cell_inputs(weights):
    x = np.random.default_rng(2).normal(size=(1, B, D))[0]
    return (x @ weights.w + weights.b)[:, : 4 * H]


def test_the_decay_of_an_lru_is_what_a_state_shrinks_by():
    cell, weights, before, _, now = stepped(SPECS["lru"])
    zero = jax.tree.map(lambda leaf: np.zeros((1, *leaf.shape[1:])), before)
    one = zero._replace(re=before.re[:1], im=before.im[:1])
    zx = jax.tree.map(lambda leaf: leaf[0], drive(cell, weights, np.zeros((1, 1, D))))
    after, _ = step(cell, weights, zx, one)
    agree(np.hypot(after.re, after.im), now["f"][:1] * np.hypot(one.re, one.im), 1e-9)


def test_the_forget_gate_of_a_highway_is_the_product_over_its_levels():
    _, _, before, after, now = stepped(SPECS["rhn"])
    levels = [now[name] for name in sorted(now) if name != "f"]
    agree(now["f"], np.prod([1 - each for each in levels], axis=0), 1e-12)
    assert len(levels) == 3 and (np.abs(after.h - now["f"] * before.h) <= 1 - now["f"]).all()


def test_the_gates_of_a_time_aware_lstm_act_on_the_discounted_memory():
    _, weights, before, after, now = stepped(SPECS["tlstm"])
    short = np.tanh(before.c @ weights.r[1] + weights.p["b_d"])
    agree(after.c, mixed(now, before.c - short + short / np.log(np.e + 1)), 1e-9)


def test_a_dead_gate_is_no_gate():
    assert set(stepped(SPECS["lstm"])[4]) == {"i", "f", "o", "g"}
    assert set(stepped(SPECS["greff/nig"])[4]) == {"f", "o", "g"}
    assert set(stepped(SPECS["gru"])[4]) == {"i", "f", "r", "g"}


def test_the_gates_of_a_superset_are_those_of_its_row():
    spec = GateSpec(peephole="io", forget_gate=False)
    wide = Superset(spec).build()
    weights = wide.init(jax.random.key(0), D, H)
    carry = random_carry(wide, (B,), H)
    x = np.random.default_rng(0).normal(size=(B, D))
    after, z = step(wide, weights, drive(wide, weights, x), carry)
    now = wide.gates(vectors(weights), z, carry)
    agree(after.c, mixed(now, carry.c), 1e-12)
    assert (now["f"] == 1).all() and (now["r"] == 1).all()
