"""An artifact of `jax.export` computes what the network computes, at any batch and time."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agreement import agree
from blocks import random_carry, random_weights
from contract import FAST
from flax import nnx
from jax import export
from sampled import sampled

from lstm_research import catalogue
from lstm_research.cells import CELLS
from lstm_research.interop import stablehlo
from lstm_research.interop.forward import forward, named
from lstm_research.network import Network, NetworkSpec
from lstm_research.nnx_cell import hold
from lstm_research.nnx_layer import Recurrent
from lstm_research.unroll import unroll_scan

D, H = 2, 4
LENGTHS = np.array([4, 2, 0], np.int32)
X = np.random.default_rng(0).normal(size=(3, 4, D)).astype(np.float32)


def layer(name, reverse=False):
    """Return a layer in which every number is alive, peepholes and biases too."""
    spec = catalogue.spec(CELLS, "cell", name, {})
    made = nnx.eval_shape(lambda: Recurrent(spec, D, H, reverse=reverse, rngs=nnx.Rngs(0)))
    made.weights = hold(random_weights(spec.build(), D, H, dtype=np.float32))
    return made


@pytest.mark.parametrize("name", sampled(catalogue.names("cell")))
def test_every_cell_lowers_for_every_platform_with_free_batch_and_time(name):
    program = forward(layer(name))
    lower = export.export(jax.jit(program.run), platforms=stablehlo.PLATFORMS)
    artifact = lower(*program.arguments.values())
    assert artifact.platforms == ("cpu", "cuda", "tpu")
    assert str(artifact.in_avals[0].shape) == f"(batch, time, {D})"


@pytest.mark.parametrize("reverse", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", ["peephole", "gru_before", "greff/fgr", "elman"])
def test_a_layer_computes_the_same(name, reverse, tmp_path):
    made = layer(name, reverse)
    call = stablehlo.load(stablehlo.export(made, tmp_path / "layer", stateful=True))
    carry = random_carry(made.spec.build(), (3,), H, dtype=np.float32)
    cell, weights = made.spec.build(), nnx.as_pure(made.weights)
    plain = partial(unroll_scan, cell, reverse=reverse)
    x = np.moveaxis(X, 1, 0)
    last, h = jax.jit(plain, compiler_options=FAST)(weights, carry, x, lengths=LENGTHS)
    h = jnp.moveaxis(h, 0, 1)
    got = jax.jit(call, compiler_options=FAST)(X, LENGTHS, *jax.tree.leaves(carry))
    agree(got, dict(h=h, **named(f"layer0.{'backward' if reverse else 'forward'}", last)))


def test_a_network_computes_the_same_at_two_sizes(tmp_path):
    spec = NetworkSpec(hidden=H, bidirectional=True, layer_norm=True, dropout=0.5, embed=3)
    made = Network("ugrnn", spec, outputs=2, vocabulary=7, readout="last", rngs=nnx.Rngs(0))
    call = stablehlo.load(stablehlo.export(made, tmp_path / "network"))
    graph, state = nnx.split(made)

    def plain(state, tokens, lengths):
        return nnx.merge(graph, state)(tokens, lengths=lengths, deterministic=True)

    for lengths in (np.array([4, 1, 2], np.int32), np.array([2], np.int32)):
        tokens = np.random.default_rng(0).integers(0, 7, (len(lengths), max(lengths)), np.int32)
        want = jax.jit(plain, compiler_options=FAST)(state, tokens, lengths)
        got = jax.jit(call, compiler_options=FAST)(tokens, lengths)
        agree(got["outputs"], want)
