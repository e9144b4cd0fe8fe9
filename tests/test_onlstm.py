"""The ON-LSTM: its cumax under large inputs, the cells that it becomes, and its gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agreement import agree
from blocks import random_weights

from lstm_research.cells.onlstm import OnLstm, after, before
from lstm_research.engines import unroll
from lstm_research.gated import GateSpec

KEY = jax.random.key(0)
T, B, D, H, C = 6, 3, 2, 6, 2


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cumax_rises_and_its_complement_falls_without_overflow(float64, dtype):
    a = 3e4 * np.random.default_rng(0).normal(size=(50, 7)).astype(dtype)
    rises, falls = before(jnp.asarray(a)), after(jnp.asarray(a))
    assert (np.diff(rises, axis=-1) >= 0).all() and (np.diff(falls, axis=-1) <= 0).all()
    assert (falls >= 0).all() and not np.asarray(falls[:, -1]).any()
    agree(rises + falls, np.ones((50, 7), dtype))
    for f in (before, after):
        d = jax.grad(lambda a, f=f: (f(a) * jnp.arange(7.0)).sum())(jnp.asarray(a))
        assert np.isfinite(d).all()


def test_the_complement_keeps_shares_that_one_minus_cumax_would_lose():
    a = jnp.array([60.0, 30.0, 0.0], jnp.float32)
    agree(after(a), np.exp([-30.0, -60.0, -np.inf]).astype(np.float32), 1e-5)
    assert after(a)[1] > 0 and not (1 - before(a))[1] > 0


def loose(weights):
    """Return weights without recurrence, so that a unit hears no other."""
    return weights._replace(r=tuple(np.zeros_like(r) for r in weights.r))


def test_where_both_masters_are_open_it_is_an_lstm_but_for_the_last_chunk(float64):
    """F = 1 everywhere and I = 1 but at the end: there the memory stays as it was."""
    cell, rng = OnLstm(chunk=C).build(), np.random.default_rng(1)
    weights = loose(random_weights(cell, D, H))
    wide, narrow = 4 * H, H // C
    w, b = weights.w.copy(), weights.b.copy()
    w[:, wide:] = b[wide:] = 0.0
    b[wide], b[-1] = 60.0, 60.0  # F rises at the first chunk, I falls at the last
    assert len(b) == wide + 2 * narrow
    lstm = GateSpec().build()
    theirs = loose(random_weights(lstm, D, H))._replace(w=w[:, :wide], b=b[:wide])
    x, start = rng.normal(size=(T, B, D)), rng.normal(size=(B, H))
    carry = cell.start((B,), H)._replace(c=start)
    last, h = unroll(cell, weights._replace(w=w, b=b), carry, x)
    want, g = unroll(lstm, theirs, lstm.start((B,), H)._replace(c=start), x)
    agree((last.c[:, :-C], h[..., :-C]), (want.c[:, :-C], g[..., :-C]))
    agree(last.c[:, -C:], start[:, -C:])


def test_one_chunk_as_wide_as_the_cell_never_writes(float64):
    cell = OnLstm(chunk=H).build()
    weights, x = random_weights(cell, D, H), np.random.default_rng(2).normal(size=(T, B, D))
    assert weights.w.shape == (D, 4 * H + 2)
    assert not np.asarray(unroll(cell, weights, cell.start((B,), H), x)[1]).any()


def test_the_forget_gate_starts_with_its_bias_and_the_masters_at_zero():
    b = np.asarray(OnLstm(forget_bias=2.0).build().init(KEY, D, H).b)
    assert (b[H : 2 * H] == 2).all() and not b[:H].any() and not b[2 * H :].any()


def test_chunks_that_do_not_fill_the_units_are_refused():
    with pytest.raises(ValueError, match="chunk=4 must divide hidden, which is 6"):
        OnLstm(chunk=4).build().init(KEY, D, H)
    with pytest.raises(ValueError, match="chunk=0 must be at least 1"):
        OnLstm(chunk=0)


@pytest.mark.parametrize("seed", range(2))
def test_gradients_are_those_of_pytorch(float64, seed):
    """The equations again in PyTorch, with its autograd, at a random shape."""
    torch = pytest.importorskip("torch", reason="needs PyTorch: pip install 'lstm-research[torch]'")
    rng = np.random.default_rng(seed + 10)
    steps, batch, features, chunk, chunks = (int(n) for n in rng.integers(2, 6, 5))
    cell, hidden = OnLstm(chunk=chunk).build(), chunk * chunks
    x = rng.normal(size=(steps, batch, features))
    weights = random_weights(cell, features, hidden, seed)
    w, b, r, inputs = leaves = [
        torch.tensor(np.asarray(a), requires_grad=True)
        for a in (weights.w, weights.b, weights.r[0], x)
    ]
    c = h = torch.zeros(batch, hidden, dtype=torch.float64)
    outs = []
    for now in inputs:
        *blocks, z_keep, z_take = (now @ w + b + h @ r).split([hidden] * 4 + [chunks] * 2, -1)
        i, f, g, o = (
            torch.sigmoid(blocks[0]),
            torch.sigmoid(blocks[1]),
            blocks[2].tanh(),
            blocks[3].sigmoid(),
        )
        keep, take = (
            z.softmax(-1).cumsum(-1).repeat_interleave(chunk, -1) for z in (z_keep, z_take)
        )
        take = 1 - take
        c = keep * (f * take + 1 - take) * c + take * (i * keep + 1 - keep) * g
        h = o * c.tanh()
        outs.append(h)
    (torch.stack(outs) ** 2).sum().backward()

    def loss(weights, x):
        return (unroll(cell, weights, cell.start((batch,), hidden), x)[1] ** 2).sum()

    d_w, d_x = jax.grad(loss, (0, 1))(weights, x)
    agree((d_w.w, d_w.b, d_w.r[0], d_x), tuple(leaf.grad.numpy() for leaf in leaves), 1e-11)
