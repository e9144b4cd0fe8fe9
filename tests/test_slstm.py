"""The sLSTM: its stabiliser changes nothing, its first step is exact, and nothing overflows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agreement import agree, same
from blocks import random_carry, random_weights
from contract import FAST, B, D, H, T

from lstm_research.cells.slstm import Slstm
from lstm_research.engines import unroll

KEY = jax.random.key(0)
FORMS = ("sigmoid", "exp")
DTYPES = (np.float32, np.float64)


def x_of(seed, steps=T, features=D, dtype=np.float64):
    return np.random.default_rng(seed).normal(size=(steps, B, features)).astype(dtype)


def bare(exponential, blocks, carry):
    """Return (c', h', n') of the recursion as it reads without a stabiliser."""
    i, f, g, o = blocks
    f = jnp.exp(f) if exponential else 1 / (1 + jnp.exp(-f))
    c, _, n = carry
    c, n = f * c + jnp.exp(i) * jnp.tanh(g), f * n + jnp.exp(i)
    return c, c / n / (1 + jnp.exp(-o)), n


def dense(r):
    """Return the matrix that a block a head stands for, its blocks i f g o side by side."""
    heads, _, blocks, _ = r.shape
    made = [
        jax.scipy.linalg.block_diag(*(r[k, :, at] for k in range(heads))) for at in range(blocks)
    ]
    return jnp.concatenate(made, -1)


@pytest.mark.slow
@pytest.mark.parametrize("heads", [2, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 4))])
@pytest.mark.parametrize("forget", FORMS)
def test_without_its_stabiliser_it_gives_the_same_outputs_and_gradients(float64, forget, heads):
    cell, x = Slstm(forget=forget, heads=heads).build(), x_of(1)
    weights = random_weights(cell, D, H)

    def plain(weights, x):
        def body(carry, now):
            z = now @ weights.w + weights.b + carry[1] @ dense(weights.r[0])
            after = bare(forget == "exp", jnp.split(z, 4, -1), carry)
            return after, after[1]

        return jax.lax.scan(body, (jnp.zeros((B, H)),) * 3, x)[1]

    def ours(weights, x):
        return unroll(cell, weights, cell.start((B,), H), x)[1]

    seen = x_of(2, features=H)
    for f in (lambda g: g, lambda g: jax.grad(lambda *a: (g(*a) * seen).sum(), (0, 1))):
        agree(f(ours)(weights, x), f(plain)(weights, x), 1e-11)


@pytest.mark.parametrize("forget", FORMS)
def test_memory_and_normaliser_may_be_scaled_together(float64, forget):
    """c and n times exp(a) with m - a is the same state."""
    cell, x = Slstm(forget=forget).build(), x_of(3)
    weights, carry = random_weights(cell, D, H), random_carry(cell, (B,), H)
    a = 1.7
    other = carry._replace(c=carry.c * np.exp(a), n=carry.n * np.exp(a), m=carry.m - a)
    agree(unroll(cell, weights, other, x)[1], unroll(cell, weights, carry, x)[1], 1e-11)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("forget", FORMS)
def test_the_normaliser_is_one_after_the_first_step_and_not_less_later(float64, forget, dtype):
    cell, x = Slstm(forget=forget).build(), 30 * x_of(4, dtype=dtype)
    weights = random_weights(cell, D, H, dtype=dtype)
    states = [cell.start((B,), H, dtype)]
    for t in range(T):
        fresh = np.zeros((1, B), bool)
        fresh[0, 1] = t == 3  # a reset is a start
        states.append(unroll(cell, weights, states[-1], x[t : t + 1], resets=fresh)[0])
    same((states[1].n, states[4].n[1]), (np.ones((B, H), dtype), np.ones(H, dtype)))
    assert all((state.n >= 1).all() for state in states[1:])
    assert {leaf.dtype for leaf in states[-1]} == {np.dtype(dtype)}


@pytest.mark.parametrize("engine", [pytest.param("scan", marks=pytest.mark.slow), "fused"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("forget", FORMS)
def test_huge_pre_activations_leave_values_and_gradients_finite(float64, forget, dtype, engine):
    """Each block of each unit is at 200 or -200, with resets and an end in the middle."""
    cell, rng = Slstm(forget=forget).build(), np.random.default_rng(5)
    weights = random_weights(cell, 4 * H, H, dtype=dtype)
    weights = weights._replace(w=200 * np.eye(4 * H, dtype=dtype))
    x = rng.choice(np.array([-1, 1], dtype), (20, B, 4 * H))
    resets, lengths = rng.random((20, B)) < 0.2, np.array([20, 20, 9, 0])

    def loss(weights, carry, x):
        last, h = unroll(cell, weights, carry, x, lengths=lengths, resets=resets, engine=engine)
        return (h**2).sum() + sum((leaf[:3] ** 2).sum() for leaf in (last.c, last.n)), h

    call = jax.jit(jax.value_and_grad(loss, (0, 1, 2), has_aux=True), compiler_options=FAST)
    (value, h), grads = call(weights, cell.start((B,), H, dtype), x)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((value, h, grads)))
    assert np.abs(h).max() <= 1 + 1e-5  # a mean of squashed candidates


def fresh_forget_bias(hidden=10, **settings):
    """Return b_f of a fresh cell, a row a head."""
    spec = Slstm(**settings)
    return np.asarray(spec.build().init(KEY, D, hidden).b).reshape(4, spec.heads, -1)[1]


def test_forget_biases_start_along_each_head():
    steps = np.arange(5) / 4
    agree(fresh_forget_bias(), np.tile(5 - 12 * steps**0.3, (2, 1)), 1e-6)
    agree(fresh_forget_bias(forget_start="linspace"), np.tile(3 + 3 * steps, (2, 1)), 1e-6)
    assert (fresh_forget_bias(forget_start="constant") == 1).all()
    assert (fresh_forget_bias(forget_start="constant", forget_bias=2.5) == 2.5).all()
    assert (fresh_forget_bias(hidden=2) == 5).all()  # heads of one unit


def test_the_starts_of_the_authors_can_be_had():
    weights = Slstm(kernel="small", recurrent="uniform", heads=2).build().init(KEY, 100, 200)
    assert abs(np.std(weights.w) / (2 / 500) ** 0.5 - 1) < 0.02
    assert 0.99 < np.abs(weights.r[0]).max() * 200**0.5 <= 1 and weights.r[0].shape == (
        2,
        100,
        4,
        100,
    )
    assert not Slstm().build().init(KEY, 3, 4).r[0].any()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"heads": 0}, "heads=0 must be at least 1"),
        ({"forget": "relu"}, "forget='relu' is not one of sigmoid, exp"),
        ({"forget_start": "chrono"}, "forget_start='chrono' is not one of powerlaw"),
        ({"forget_bias": 1.0}, "forget_bias=1.0 needs forget_start=constant"),
    ],
)
def test_settings_that_cannot_be_are_refused_by_name(settings, message):
    with pytest.raises(ValueError, match=message):
        Slstm(**settings)


def test_heads_that_differ_in_width_are_refused_with_both_numbers():
    with pytest.raises(ValueError, match="heads=3 must divide hidden, which is 8"):
        Slstm(heads=3).build().init(KEY, D, 8)


@pytest.mark.parametrize("seed", range(2))
def test_gradients_are_those_of_pytorch(float64, seed):
    """The equations again in PyTorch, with its autograd, at a random shape."""
    torch = pytest.importorskip("torch", reason="needs PyTorch: pip install 'lstm-research[torch]'")
    rng = np.random.default_rng(seed)
    steps, batch, features, heads, each = (int(n) for n in rng.integers(1, 6, 5))
    cell, hidden = Slstm(heads=heads).build(), heads * each
    x = rng.normal(size=(steps, batch, features))
    weights = random_weights(cell, features, hidden, seed)
    w, b, r, inputs = leaves = [
        torch.tensor(np.asarray(a), requires_grad=True)
        for a in (weights.w, weights.b, weights.r[0], x)
    ]
    c, h, n = (torch.zeros(batch, hidden, dtype=torch.float64) for _ in range(3))
    m, outs = torch.full_like(c, -torch.inf), []
    for now in inputs:
        heard = torch.stack(
            [h[:, each * k : each * k + each] @ r[k].flatten(1) for k in range(heads)], 1
        )
        heard = heard.reshape(batch, heads, 4, each).transpose(1, 2).reshape(batch, 4 * hidden)
        z_i, z_f, z_g, z_o = (now @ w + b + heard).chunk(4, -1)
        kept = torch.nn.functional.logsigmoid(z_f) + m if outs else torch.full_like(z_f, -torch.inf)
        new = torch.maximum(kept, z_i) if outs else z_i
        i, f = torch.exp(z_i - new), torch.exp(kept - new) if outs else torch.zeros_like(z_i)
        c, n, m = f * c + i * torch.tanh(z_g), f * n + i, new
        h = torch.sigmoid(z_o) * c / n
        outs.append(h)
    (torch.stack(outs) ** 2).sum().backward()

    def loss(weights, x):
        return (unroll(cell, weights, cell.start((batch,), hidden), x)[1] ** 2).sum()

    d_w, d_x = jax.grad(loss, (0, 1))(weights, x)
    agree((d_w.w, d_w.b, d_w.r[0], d_x), tuple(leaf.grad.numpy() for leaf in leaves), 1e-10)
