"""The LSTM with projection: equal to PyTorch's, with peepholes, and as wide as it says in a network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agreement import agree
from blocks import random_carry, random_weights
from flax import nnx
from references import run
from references_long import cut_lstmp, lstmp
from sampled import first

from lstm_research.cell import outputs
from lstm_research.cells.lstmp import Lstmp
from lstm_research.engines import unroll
from lstm_research.network import Network, NetworkSpec
from lstm_research.nnx_layer import Recurrent

T, B, D, H, P = 7, 3, 4, 6, 2

pytestmark = pytest.mark.usefixtures("float64")


def problem(spec):
    cell, rng = spec.build(), np.random.default_rng(2)
    x, seen = rng.normal(size=(T, B, D)), rng.normal(size=(T, B, spec.projection))
    return cell, random_weights(cell, D, H), random_carry(cell, (B,), H), x, seen


def loss(cell, seen, weights, carry, x, engine="fused"):
    last, h = unroll(cell, weights, carry, x, engine=engine)
    return (h * seen).sum() + (last.c**2).sum() + jnp.sin(last.h).sum(), (last, h)


def test_equals_pytorch_with_every_gradient():
    """Blocks of PyTorch are in the order i f g o too, in rows; its second bias is zero here."""
    torch = pytest.importorskip("torch", reason="PyTorch is the other side of the comparison")
    cell, weights, carry, x, seen = problem(Lstmp(projection=P))
    pull = jax.value_and_grad(lambda *a: loss(cell, seen, *a), (0, 1, 2), has_aux=True)
    (_, (last, h)), (d_w, d_carry, d_x) = pull(weights, carry, x)

    theirs = torch.nn.LSTM(D, H, proj_size=P, dtype=torch.float64)
    mine = [weights.w.T, weights.r[0].T, weights.b, np.zeros(4 * H), weights.r[1].T]
    with torch.no_grad():
        for parameter, value in zip(theirs.parameters(), mine, strict=True):
            parameter.copy_(torch.tensor(np.array(value)))
    h0, c0, inputs = (
        torch.tensor(np.array(value), requires_grad=True)
        for value in (carry.h[None], carry.c[None], x)
    )
    out, (h_last, c_last) = theirs(inputs, (h0, c0))
    ((out * torch.tensor(seen)).sum() + (c_last**2).sum() + torch.sin(h_last).sum()).backward()
    back = [parameter.grad.numpy() for parameter in theirs.parameters()]

    agree((last.c, last.h, h), [t.detach().numpy() for t in (c_last[0], h_last[0], out)])
    agree((d_w.w, d_w.r[0], d_w.b, d_w.r[1]), (back[0].T, back[1].T, back[2], back[4].T))
    agree((d_carry.c, d_carry.h, d_x), [t.numpy() for t in (c0.grad[0], h0.grad[0], inputs.grad)])


@pytest.mark.parametrize("peephole", ["ifo", "o"])
def test_peepholes_are_those_of_the_twin(peephole):
    cell, weights, carry, x, _ = problem(Lstmp(projection=P, peephole=peephole))
    assert sorted(weights.p) == sorted(f"p_{gate}" for gate in peephole)
    last, h = unroll(cell, weights, carry, x)
    agree((jax.tree.leaves(last), h), run(lstmp, cut_lstmp(weights, H), x, carry))


def test_peepholes_have_the_gradient_of_the_scan():
    """The vectors are read by the second product too, and by the update."""
    cell, *args, seen = problem(Lstmp(projection=P, peephole="ifo"))
    pull = jax.grad(lambda *a: loss(cell, seen, *a)[0], (0, 1, 2))
    slow = jax.grad(lambda *a: loss(cell, seen, *a, engine="scan")[0], (0, 1, 2))
    grads = pull(*args)
    agree(grads, slow(*args))
    assert all(np.asarray(leaf).all() for leaf in grads[0].p.values())


@pytest.mark.parametrize("projection", first([9, 1]))
def test_a_layer_is_as_wide_as_the_projection(projection):
    spec, x = Lstmp(projection=projection), np.ones((B, T, D))
    assert outputs(spec.build(), H) == projection
    assert Recurrent(spec, D, H, rngs=nnx.Rngs(0))(x).shape == (B, T, projection)
    shape = NetworkSpec(hidden=H, layers=2, bidirectional=True, layer_norm=True)
    network = Network(spec, shape, outputs=5, features=D, rngs=nnx.Rngs(0))
    assert network.layers[1][0].weights.w.shape == (2 * projection, 4 * H)
    assert network(x).shape == (B, T, 5)


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match=r"^projection=0 must be at least 1"):
        Lstmp(projection=0)
    with pytest.raises(ValueError, match=r"^peephole='x' may hold the letters i, f and o"):
        Lstmp(peephole="x")
    assert Lstmp(peephole="oi") == Lstmp(peephole="io")
