"""A file of ONNX computes in ONNX Runtime what the network computes in JAX, at any batch and time."""

import subprocess
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agreement import agree
from blocks import random_carry, random_weights
from contract import FAST
from flax import nnx
from jax import export, lax

from lstm_research import catalogue
from lstm_research.cells import CELLS
from lstm_research.interop import onnx as interop
from lstm_research.interop.forward import Forward, forward, named
from lstm_research.network import Network, NetworkSpec
from lstm_research.nnx_cell import hold
from lstm_research.nnx_layer import Recurrent
from lstm_research.wrappers import Wrapped, WrapSpec

pytest.importorskip("onnx", reason="needs onnx: pip install 'lstm-research[onnx]'")
runtime = pytest.importorskip(
    "onnxruntime", reason="needs onnxruntime: pip install 'lstm-research[onnx]'"
)

B, T, D, H = 4, 5, 2, 4
LENGTHS = np.array([5, 3, 2, 0], np.int32)
ROUTES = {
    "lstm": "LSTM", "peephole": "LSTM", "cifg": "LSTM", "greff/v": "LSTM", "greff/np": "LSTM",
    "greff/cifg": "LSTM", "greff/nig": "Scan", "greff/fgr": "Scan", "gers2000": "Scan", "gru": "GRU",
    "gru_before": "GRU", "ugrnn": "Scan", "janet": "Scan", "elman": "RNN",
}  # fmt: skip
ODD = [
    ("gated", {"peephole": "f"}, "LSTM"),
    ("gated", {"peephole": "o", "coupled": True}, "LSTM"),
    ("gated", {"forget_bias": None, "chrono": 9.0, "recurrent": "normal"}, "LSTM"),
    ("gated", {"coupled": True, "shift": 1.0}, "Scan"),
    ("gru", {"reset_bias": False}, "GRU"),
    ("gru", {"half_slope": True}, "Scan"),
    ("gru", {"output_gate": True}, "Scan"),
    ("elman", {"activation": "relu"}, "RNN"),
    ("elman", {"activation": "identity"}, "Scan"),
]


def inputs(batch=B, time=T, features=D, seed=0):
    return np.random.default_rng(seed).normal(size=(batch, time, features)).astype(np.float32)


def layer(name, reverse=False, wrap=None, **changes):
    """Return a layer in which every number is alive, peepholes and biases too."""
    spec = catalogue.spec(CELLS, "cell", name, changes)
    spec = spec if wrap is None else Wrapped(spec, WrapSpec(**catalogue.settings("wrap", wrap)))
    start = partial(Recurrent, spec, D, H, reverse=reverse, engine="scan")
    made = nnx.eval_shape(lambda: start(rngs=nnx.Rngs(0)))
    made.weights = hold(random_weights(spec.build(), D, H, dtype=np.float32))
    return made


def play(path, *arrays):
    """Run a file on arrays in the order of its inputs."""
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    session = runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    outputs = [each.name for each in session.get_outputs()]
    feed = {
        each.name: np.asarray(array)
        for each, array in zip(session.get_inputs(), arrays, strict=True)
    }
    return dict(zip(outputs, session.run(None, feed), strict=True))


def operators(path):
    import onnx

    return {node.op_type for node in onnx.load(path).graph.node}


def check(made, path):
    """Hold the file of a layer to the layer: other lengths, batch and time than any at its export."""
    interop.export(made, path, stateful=True)
    cell = made.spec.build()
    carry = random_carry(cell, (B,), H, dtype=np.float32)
    call = partial(type(made).__call__, return_carry=True, deterministic=True)
    graph, state = nnx.split(made)
    apply = jax.jit(
        lambda state, x, lengths, carry: call(
            nnx.merge(graph, state), x, lengths=lengths, carry=carry
        ),
        compiler_options=FAST,
    )
    x = inputs()
    x[3] = x[1, 3:] = np.nan  # padding may hold anything
    last, h = apply(state, x, LENGTHS, carry)
    got = play(path, x, LENGTHS, *jax.tree.leaves(carry))
    way = "backward" if made.reverse else "forward"
    agree(got, dict(h=h, **named(f"layer0.{way}", last)), 1e-5)
    part = jax.tree.map(lambda leaf: leaf[1:3], (x[:, :3], LENGTHS, carry))
    smaller = play(path, *part[:2], *jax.tree.leaves(part[2]))
    agree(
        smaller,
        {name: value[1:3, :3] if name == "h" else value[1:3] for name, value in got.items()},
        1e-5,
    )


@pytest.mark.parametrize("name", catalogue.names("cell"))
def test_a_layer_of_each_cell_computes_the_same(name, tmp_path):
    made, path = layer(name), tmp_path / "layer.onnx"
    route = interop.supported(made.spec)
    if route.startswith("not exported: "):
        with pytest.raises(interop.NotExported, match=route.removeprefix("not exported: ")):
            interop.export(made, path)
        return
    check(made, path)
    assert operators(path) & {"LSTM", "GRU", "RNN", "Scan"} == {route}


@pytest.mark.parametrize(
    "name", ["lstm", "peephole", "cifg", "gru", "gru_before", "elman", "janet"]
)
def test_a_layer_that_runs_backwards_computes_the_same(name, tmp_path):
    check(layer(name, reverse=True), tmp_path / "layer.onnx")


@pytest.mark.parametrize("wrap", catalogue.names("wrap"))
def test_a_wrapped_cell_computes_what_it_does_in_a_test(wrap, tmp_path):
    made = layer("lstm", wrap=wrap)
    assert interop.supported(made.spec) == "Scan"
    check(made, tmp_path / "layer.onnx")


@pytest.mark.parametrize(("name", "changes", "route"), ODD, ids=str)
def test_a_cell_that_differs_by_one_field_takes_the_route_that_still_fits(
    name, changes, route, tmp_path
):
    made = layer(name, **changes)
    assert interop.supported(made.spec) == route
    check(made, tmp_path / "layer.onnx")


@pytest.mark.parametrize("name", ROUTES)
def test_the_named_cells_take_the_operators_that_they_are(name):
    assert interop.supported(catalogue.spec(CELLS, "cell", name, {})) == ROUTES[name]


NETWORKS = [
    {},
    {"layers": 2, "bidirectional": True, "layer_norm": True, "dropout": 0.5},
    {"readout": "last", "layers": 2, "layer_norm": True},
    {"readout": "last", "bidirectional": True},
    {"vocabulary": 7},
    {"vocabulary": 7, "embed": 3},
]


def alive(rng, leaf):
    """Return numbers for a leaf of a network: none of its biases and scales is 0 or 1."""
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jax.random.key(0)
    return rng.uniform(-0.8, 0.8, leaf.shape).astype(leaf.dtype)


@pytest.mark.parametrize("cell", ["lstm", "ugrnn"])
@pytest.mark.parametrize("settings", NETWORKS, ids=str)
def test_a_network_computes_the_same(settings, cell, tmp_path):
    outside = {"readout": "step", "vocabulary": None} | {
        key: settings[key] for key in ("readout", "vocabulary") if key in settings
    }
    spec = NetworkSpec(**{"hidden": 4} | {k: v for k, v in settings.items() if k not in outside})
    tokens = outside["vocabulary"] is not None
    start = partial(Network, cell, spec, outputs=3, features=None if tokens else D, **outside)
    graph, empty = nnx.split(nnx.eval_shape(lambda: start(rngs=nnx.Rngs(0))))
    state = jax.tree.map(partial(alive, np.random.default_rng(0)), empty)
    made = nnx.merge(graph, state)
    path = interop.export(made, tmp_path / "network.onnx")
    x = np.random.default_rng(0).integers(0, 7, (3, 4), np.int32) if tokens else inputs(3, 4)
    lengths = np.array([4, 1, 2], np.int32)
    call = lambda state: nnx.merge(graph, state)(x, lengths=lengths, deterministic=True)
    want = jax.jit(call, compiler_options=FAST)(state)
    got = play(path, x, lengths)
    agree(got["outputs"], want, 1e-5)
    ways = spec.layers * (1 + spec.bidirectional)
    assert len(got) == 1 + ways * (2 if cell == "lstm" else 1)
    assert operators(path) & {"LSTM", "Scan"} == {"LSTM" if cell == "lstm" else "Scan"}


def test_export_leaves_the_network_as_it_is(tmp_path):
    spec = NetworkSpec(hidden=4, dropout=0.5)
    made = Network("lstm", spec, outputs=1, features=D, rngs=nnx.Rngs(0))
    interop.export(made, tmp_path / "network.onnx")
    assert made.dropout.deterministic is False and type(made.layers[0][0]) is Recurrent


X = np.linspace(-3, 3, 3 * 4, dtype=np.float32).reshape(3, 4) + 0.1
FUNCTIONS = {
    "log1p of the small": lambda x: jnp.log1p(1e-6 * jnp.exp(x)),
    "expm1 of the small": lambda x: jnp.expm1(1e-6 * x),
    "softplus": jax.nn.softplus,
    "log_sigmoid": jax.nn.log_sigmoid,
    "silu": jax.nn.silu,
    "softmax": lambda x: jax.nn.softmax(x, -1),
    "cumsum": lambda x: jnp.cumsum(x, 1),
    "cumsum backwards": lambda x: lax.cumsum(x, 1, reverse=True),
    "rem": lambda x: lax.rem(x, jnp.full_like(x, 0.7)),
    "mod": lambda x: x % 0.7,
    "round": jnp.round,
    "powers": lambda x: x**3 + jnp.exp2(x) + lax.rsqrt(x * x) + jnp.abs(x) ** 0.3 + x**-2,
    "clip": lambda x: jnp.clip(x, -1.0, 0.5),
    "finite": lambda x: jnp.where(jnp.isfinite(1.0 / (x - X[1, 1])), x, 9.0),
    "logic": lambda x: jnp.where(((x > 0) & ~(x > 1)) | (x != x) | (x <= -2), x, 0.0),
    "reductions": lambda x: x.max(1) - x.min(1) + x.prod(1) + x.mean(1),
    "any and all": lambda x: x * (x > 2.9).any(1, keepdims=True),
    "indexing": lambda x: x[:, 1] + x[:, -1] + x[:, ::2].sum(1) + x[:, ::-1][:, 0],
    "pad": lambda x: jnp.pad(x, ((0, 0), (1, 2)), constant_values=2.0),
    "shift": lambda x: jnp.concatenate([jnp.zeros_like(x[:1]), x])[: x.shape[0]],
    "stack": lambda x: jnp.stack(jnp.unstack(x, axis=1)[::-1], 0),
    "heads": lambda x: jnp.einsum("bnd,nde->bne", x.reshape(-1, 2, 2), X.reshape(2, 2, 3)),
    "outer": lambda x: jnp.einsum("bi,bj->bij", x, x),
    "inner": lambda x: jnp.einsum("bi,bi->b", x, jnp.tanh(x)),
    "arange": lambda x: x + jnp.arange(x.shape[0])[:, None] * x.shape[0],
    "maximum": lambda x: jnp.maximum(x, 0.0) + jnp.sign(x) + jnp.floor(x) + jnp.ceil(x),
    "complex": lambda x: jnp.exp(lax.complex(x, x + 1) * (2 - 1j)).conj()[:, 1:].imag,
    "complex sums": lambda x: (x * 1j + (1 - x)).sum(1, keepdims=True).real - (-1j * x).imag,
    "loop": lambda x: lax.scan(lambda s, row: (s + row, s * row), jnp.ones(4), x, reverse=True),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_primitive_means_the_same(name, tmp_path):
    import onnx

    def run(x):
        return {f"y{k}": each for k, each in enumerate(jax.tree.leaves(FUNCTIONS[name](x)))}

    batch, _ = export.symbolic_shape("batch, time")
    program = Forward(run, {"x": jax.ShapeDtypeStruct((batch, 4), jnp.float32)})
    path = tmp_path / "function.onnx"
    onnx.save(interop.model(program), path)
    agree(play(path, X), jax.jit(run, compiler_options=FAST)(X), 1e-5)


def test_what_onnx_cannot_hold_is_refused_with_the_reason():
    shape = {"x": jax.ShapeDtypeStruct(export.symbolic_shape("batch, 4"), jnp.float32)}
    with pytest.raises(interop.NotExported, match="cos of complex numbers"):
        interop.model(Forward(lambda x: {"y": jnp.cos(x * 1j).real}, shape))
    with pytest.raises(interop.NotExported, match="sort has no translation"):
        interop.model(Forward(lambda x: {"y": jnp.sort(x)}, shape))
    with pytest.raises(ValueError, match="network=int is not a Network"):
        forward(3)


def test_without_onnx_the_routes_are_known_and_the_error_says_what_to_install():
    code = """
import sys
sys.modules["onnx"] = None
from flax import nnx
import lstm_research as lr
from lstm_research.interop import onnx
layer = lr.Recurrent("lstm", 2, 3, rngs=nnx.Rngs(0))
assert onnx.supported(layer.spec) == "LSTM"
try:
    onnx.export(layer, "never.onnx")
except ImportError as error:
    assert "pip install 'lstm-research[onnx]'" in str(error)
else:
    raise AssertionError("exported without onnx")
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=120)
