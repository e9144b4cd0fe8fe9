"""Step by step, through a file and in another order of batch, a sequence stays the sequence."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agreement import agree, same
from contract import FAST
from sampled import sampled
from test_cells import SUBJECTS

import lstm_research as lr
from lstm_research.engines import unroll
from lstm_research.wrappers import Wrapped, WrapSpec

D, H = 3, 4
FEW = [each for each in SUBJECTS.values() if each.name in ("lstm", "gru_before", "qrnn", "mlstm")]


def sequence(spec, steps=4, batch=2):
    cell = spec.build()
    x = np.random.default_rng(0).normal(size=(steps, batch, D))
    return cell, cell.init(jax.random.key(0), D, H), x


def whole(cell, weights, x):
    start = cell.start(x.shape[1:-1], H, jnp.float64)
    program = jax.jit(lambda w, c, x: unroll(cell, w, c, x), compiler_options=FAST)
    return program(weights, start, x)


@pytest.mark.parametrize("subject", sampled(SUBJECTS.values()))
def test_step_by_step_is_the_whole(float64, subject):
    cell, weights, x = sequence(subject.spec)
    carry, outs = cell.start((2,), H, jnp.float64), []
    for now in x:
        carry, h = lr.step(cell, weights, carry, now)
        outs.append(h)
    agree((carry, jnp.stack(outs)), whole(cell, weights, x))


@pytest.mark.parametrize("subject", FEW, ids=lambda subject: subject.name)
def test_a_carry_goes_through_a_file(float64, subject, tmp_path):
    cell, weights, x = sequence(subject.spec)
    carry, _ = whole(cell, weights, x)
    lr.save_carry(tmp_path / "carry.npz", carry)
    same(lr.load_carry(tmp_path / "carry.npz", cell.start((1,), H)), carry)


def test_a_wrapped_cell_steps_as_in_a_test(float64):
    spec = Wrapped(lr.build({"cell": {"kind": "gated"}, "task": {"kind": "adding"}}).cell,
                   WrapSpec(zoneout_c=0.5, zoneout_h=0.1))  # fmt: skip
    cell, weights, x = sequence(spec)
    carry = cell.start((2,), H, jnp.float64)
    for now in x:
        carry, h = lr.step(cell, weights, carry, now)
    last, outs = whole(cell, weights, x)
    agree((carry, h), (last, outs[-1]))


def test_a_carry_of_another_cell_is_refused_by_name(tmp_path):
    path = tmp_path / "carry.npz"
    lr.save_carry(path, lr.cell("lstm").start((2,), H))
    with pytest.raises(ValueError, match=r"carry.npz holds a carry of c, h; this cell carries h"):
        lr.load_carry(path, lr.cell("gru").start((2,), H))
    with pytest.raises(ValueError, match="4 wide; this cell needs 5"):
        lr.load_carry(path, lr.cell("lstm").start((2,), H + 1))
