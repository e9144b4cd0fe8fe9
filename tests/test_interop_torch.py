"""PyTorch's layers and our networks compute the same, in both directions."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest
from agreement import agree, same
from flax import nnx

import lstm_research as lr
from lstm_research.interop import torch as ours
from lstm_research.interop.blocks import Foreign
from lstm_research.network import Network, NetworkSpec

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install 'lstm-research[torch]'")
pytestmark = pytest.mark.filterwarnings(
    "ignore:LSTM with projections is not supported with oneDNN:UserWarning"  # PyTorch's own, on CPU
)

KINDS = (
    ("lstm", {}),
    ("lstmp", {}),
    ("gru", {}),
    ("rnn", {"nonlinearity": "tanh"}),
    ("rnn", {"nonlinearity": "relu"}),
)
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}
LENGTHS = np.array([6, 1, 4], np.int32)
STACKS = (
    (1, False, False),
    (1, True, True),
    (3, False, True),
    (2, True, False),
)  # layers, two-way, biases


def theirs(kind, seed, dtype, settings, layers=1, both=False, bias=True, **more):
    """A layer of PyTorch with every number alive, and inputs for it."""
    rng = np.random.default_rng(seed)
    features, hidden = rng.integers(2, 7, 2).tolist()
    torch.manual_seed(seed)
    settings = settings | ({"proj_size": hidden - 1} if kind == "lstmp" else {})
    module = {"lstm": torch.nn.LSTM, "lstmp": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}[kind](
        features, hidden, layers, bidirectional=both, bias=bias, batch_first=True, **settings, **more
    )  # fmt: skip
    return module.to(dtype), torch.tensor(rng.normal(size=(3, 6, features)), dtype=dtype)


def load(kind, state, settings):
    network, weights = getattr(ours, f"load_{kind.removesuffix('p')}")(state, **settings)
    for way in itertools.chain(*network.layers):
        way.engine = "scan"  # compiles sooner
    return network, weights


def ran(module, x, lengths=None):
    """Outputs of a layer of PyTorch as NumPy."""
    with torch.no_grad():
        if lengths is None:
            return module(x)[0].numpy()
        packed = torch.nn.utils.rnn.pack_padded_sequence(
            x, torch.tensor(lengths), batch_first=True, enforce_sorted=False
        )
        return torch.nn.utils.rnn.pad_packed_sequence(module(packed)[0], True)[0].numpy()


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize(("kind", "settings"), KINDS)
def test_a_loaded_layer_computes_what_pytorch_computes(kind, settings, dtype, float64):
    for seed, (layers, both, bias) in enumerate(STACKS if dtype == torch.float64 else STACKS[1:3]):
        module, x = theirs(kind, seed, dtype, settings, layers, both, bias)
        network, _ = load(kind, module.state_dict(), settings)
        lengths = LENGTHS if seed % 2 else None
        got = network(jnp.asarray(x.numpy()), lengths=lengths)
        assert got.dtype == x.numpy().dtype
        agree(got, ran(module, x, lengths), TOLERANCE[dtype])


@pytest.mark.parametrize(("kind", "settings"), KINDS)
def test_a_network_becomes_a_layer_of_pytorch_and_comes_back_unchanged(kind, settings, float64):
    for seed, (layers, both, _) in enumerate(STACKS):
        module, x = theirs(kind, seed, torch.float64, settings, layers, both)
        network, weights = load(kind, module.state_dict(), settings)
        back = ours.to_torch(network)
        assert type(back) is type(module)
        agree(ran(back, x), ran(module, x), TOLERANCE[torch.float64])
        again, _ = load(kind, back.state_dict(), settings)
        same(nnx.state(again, nnx.Param), nnx.state(network, nnx.Param))
        held = [nnx.as_pure(way.weights) for layer in network.layers for way in layer]
        same(held, list(itertools.chain(*weights)))


@pytest.mark.parametrize(("name", "readout", "tokens", "embed"), [
    ("lstm", "last", True, None), ("gru", "step", True, 4), ("elman", "last", False, None),
])  # fmt: skip
def test_a_whole_network_becomes_a_module(name, readout, tokens, embed):
    rng = np.random.default_rng(5)
    settings = NetworkSpec(5, layers=2, bidirectional=True, embed=embed, engine="scan")
    sizes = {"vocabulary": 7} if tokens else {"features": 3}
    network = Network(name, settings, outputs=2, readout=readout, rngs=nnx.Rngs(1), **sizes)
    x = rng.integers(0, 7, (3, 6)) if tokens else rng.normal(size=(3, 6, 3)).astype(np.float32)
    module = ours.to_torch(network)
    with torch.no_grad():
        plain = module(torch.tensor(x)).numpy()
        cut = module(torch.tensor(x), torch.tensor(LENGTHS)).numpy()
    agree(plain, network(jnp.asarray(x), deterministic=True), 1e-5)
    agree(cut, network(jnp.asarray(x), lengths=LENGTHS, deterministic=True), 1e-5)


def test_the_weights_that_come_back_run_alone():
    module, x = theirs("gru", 0, torch.float32, {})
    network, ((weights,),) = ours.load_gru(module.state_dict())
    cell = network.cell.build()
    _, h = lr.unroll(cell, weights, cell.start((3,), module.hidden_size), x.numpy().swapaxes(0, 1))
    agree(h.swapaxes(0, 1), ran(module, x), 1e-5)


def test_a_layer_inside_a_model_is_found_by_its_prefix_and_arrays_will_do():
    model = torch.nn.ModuleDict({"encoder": torch.nn.LSTM(2, 3), "out": torch.nn.Linear(3, 1)})
    arrays = {name: value.numpy() for name, value in model.state_dict().items()}
    network, _ = ours.load_lstm(arrays, prefix="encoder.")
    alone, _ = ours.load_lstm(model["encoder"].state_dict())
    same(nnx.state(network, nnx.Param), nnx.state(alone, nnx.Param))


def test_bfloat16_comes_over_without_a_change():
    module, _ = theirs("lstm", 3, torch.bfloat16, {}, bias=False)
    network, _ = ours.load_lstm(module.state_dict())
    w = network.layers[0][0].weights.w[...]
    assert w.dtype == jnp.bfloat16
    same(w.astype(jnp.float32), module.weight_ih_l0.detach().float().numpy().T)


@pytest.mark.parametrize(("state", "says"), [
    ({}, "no weight_ih_l0"),
    (torch.nn.GRU(2, 3).state_dict(), "not 4 blocks of 3"),
    ({k: v for k, v in torch.nn.LSTM(2, 3).state_dict().items() if k != "bias_hh_l0"}, "lacks bias_hh_l0"),
    ({k: v for k, v in torch.nn.LSTM(2, 3, 3).state_dict().items() if "l1" not in k}, "lacks weight_ih_l1"),
])  # fmt: skip
def test_a_foreign_state_dict_is_refused(state, says):
    with pytest.raises(Foreign, match=says):
        ours.load_lstm(state)


@pytest.mark.parametrize("cell", ["cifg", "peephole", "gru_before", "greff/fgr"])
def test_cells_without_a_counterpart_are_refused(cell):
    network = Network(cell, NetworkSpec(hidden=3), outputs=None, features=2, rngs=nnx.Rngs(0))
    with pytest.raises(Foreign, match="PyTorch has no such cell"):
        ours.to_torch(network)


def test_norms_and_identity_are_refused():
    settings = NetworkSpec(hidden=3, layer_norm=True)
    with pytest.raises(Foreign, match="layer_norm"):
        ours.to_torch(Network("lstm", settings, outputs=None, features=2, rngs=nnx.Rngs(0)))
    network, _ = ours.load_rnn(torch.nn.RNN(2, 3).state_dict(), nonlinearity="identity")
    with pytest.raises(Foreign, match="identity"):
        ours.to_torch(network)


def test_without_pytorch_the_error_says_how_to_install_it(monkeypatch):
    network, _ = ours.load_lstm(torch.nn.LSTM(2, 3).state_dict())
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(ImportError, match=r"pip install 'lstm-research\[torch\]'"):
        ours.to_torch(network)
