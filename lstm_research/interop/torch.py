"""PyTorch's `nn.LSTM`, `nn.GRU` and `nn.RNN` as our networks, and our networks as theirs.

::

    nn.LSTM   weight_ih_l0 = [W_i W_f W_g W_o]^T, weight_hh_l0 = [R_i R_f R_g R_o]^T
    nn.GRU    [W_r W_z W_n]^T, n is our g, z = 1 - i
    nn.RNN    W_h^T, with tanh or relu
    proj_size weight_hr_l0 = R_h^T of the cell lstmp
    bias_ih + bias_hh = b; a GRU's bias_hn is our b_hg

Loading needs no PyTorch: a state dict may hold tensors or arrays. float64 stays float64 where JAX has
it enabled.
"""

# Where PyTorch is absent, pyright takes this very file for it:
# pyright: reportAttributeAccessIssue=false

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
from flax import nnx

from lstm_research.cell import Weights
from lstm_research.cells.lstmp import Lstmp
from lstm_research.interop.blocks import (
    GRU,
    LSTM,
    RNN,
    Block,
    Foreign,
    blocks,
    double,
    fused,
    joined,
    packed,
    rule,
)
from lstm_research.network import Network, NetworkSpec
from lstm_research.nnx_cell import hold

ORDERS = {"lstm": "ifgo", "lstmp": "ifgo", "gru": "rig", "rnn": "h"}  # a GRU's z stands where i is
INSTALL = "pip install 'lstm-research[torch]'"
Loaded = tuple[Network, list[list[Weights]]]


def load_lstm(state_dict: Mapping[str, Any], prefix: str = "") -> Loaded:
    """Return (network, weights) of an `nn.LSTM`: network(x) is its output, x of `batch time features`.

    weights: one `Weights` a direction a layer, for `unroll`; the network holds the same. prefix: what
    stands before the names, "encoder.rnn." for instance. Raises Foreign where names or shapes are not
    those of an LSTM. Dropout is no part of a state dict. With `proj_size` the cell is lstmp.
    """
    down = state_dict.get(f"{prefix}weight_hr_l0")
    if down is None:
        return load(state_dict, prefix, "lstm", LSTM)
    return load(state_dict, prefix, "lstmp", Lstmp(projection=int(down.shape[0])))


def load_gru(state_dict: Mapping[str, Any], prefix: str = "") -> Loaded:
    """Return (network, weights) of an `nn.GRU`; the rest is as in `load_lstm`."""
    return load(state_dict, prefix, "gru", GRU)


def load_rnn(
    state_dict: Mapping[str, Any], prefix: str = "", nonlinearity: Literal["tanh", "relu"] = "tanh"
) -> Loaded:
    """Return (network, weights) of an `nn.RNN`, whose state dict does not tell its nonlinearity."""
    return load(state_dict, prefix, "rnn", RNN[nonlinearity])


def load(state_dict: Mapping[str, Any], prefix: str, name: str, spec: Any) -> Loaded:
    """Return (network, weights) of a state dict under one of the rules."""
    arrays = {
        key[len(prefix) :]: array(value)
        for key, value in state_dict.items()
        if key.startswith(prefix)
    }
    found = [re.fullmatch(r"weight_ih_l(\d+)(_reverse)?", key) for key in arrays]
    ends = {(int(match[1]), match[2] or "") for match in found if match}
    if not ends:
        raise Foreign(
            f"no {prefix}weight_ih_l0 in this state dict; it has {', '.join(state_dict) or 'nothing'}"
        )
    depth, ways = 1 + max(at for at, _ in ends), ("", "_reverse")[: len({way for _, way in ends})]
    order, suffixes = ORDERS[name], [[f"_l{at}{way}" for way in ways] for at in range(depth)]
    weights = [[one(arrays, order, end, spec, prefix) for end in layer] for layer in suffixes]
    hidden = arrays["weight_ih_l0"].shape[0] // len(order)
    return filled(spec, hidden, weights), weights


def one(arrays: dict[str, np.ndarray], order: str, end: str, spec: Any, prefix: str) -> Weights:
    """Return the weights of one direction of one layer."""

    def need(name: str) -> np.ndarray:
        if name + end not in arrays:
            raise Foreign(f"this state dict lacks {prefix}{name}{end}")
        return arrays[name + end]

    w, r = need("weight_ih").T, need("weight_hh").T
    down = need("weight_hr").T if isinstance(spec, Lstmp) else None
    units = r.shape[0] if down is None else down.shape[0]
    wanted = len(order) * units
    if w.shape[1] != wanted or r.shape[1] != wanted:
        raise Foreign(
            f"{prefix}weight_ih{end} {w.T.shape} and {prefix}weight_hh{end} {r.T.shape} are not "
            f"{len(order)} blocks of {units} units, which this cell has"
        )
    biased = f"bias_ih{end}" in arrays or f"bias_hh{end}" in arrays
    b = (need("bias_ih"), need("bias_hh")) if biased else ()
    made = joined(order, w, r, b, inner="r" in order)
    return packed(spec.build(), made if down is None else made | {"h": Block(None, down, None)})


def array(value: Any) -> np.ndarray:
    """Return a tensor or an array as NumPy has it; bfloat16 too."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        if str(value.dtype) == "torch.bfloat16":
            return value.float().numpy().astype(jnp.bfloat16)
        value = value.numpy()
    return np.asarray(value)


def filled(spec: Any, hidden: int, weights: list[list[Weights]]) -> Network:
    """Return a network without read-out that holds these weights."""
    first = weights[0][0].w
    assert first is not None
    settings = NetworkSpec(hidden, len(weights), bidirectional=len(weights[0]) == 2)
    made = Network(spec, settings, outputs=None, features=first.shape[0], rngs=nnx.Rngs(0))
    for layer, held in zip(made.layers, weights, strict=True):
        for way, each in zip(layer, held, strict=True):
            way.weights = hold(each)
    return made


def to_torch(network: Network) -> Any:
    """Return a network as a module of PyTorch in evaluation mode, `batch time features` first.

    Without read-out it is an `nn.LSTM`, `nn.GRU` or `nn.RNN`; else a `torch_model.Model` with `embed`,
    `rnn` and `out`. The second bias is 0, but for a GRU's b_hn. PyTorch drops no output of the last
    layer, in training. Raises Foreign for other cells and for norms between layers, ImportError where
    PyTorch is absent.
    """
    try:
        import torch  # pyright: ignore[reportMissingImports]

        from lstm_research.interop.torch_model import Model
    except ImportError as error:
        raise ImportError(f"to_torch needs PyTorch: {INSTALL}") from error
    if len(network.norms):
        raise Foreign("layer_norm=True stands between layers, and PyTorch's have nothing between")
    state, settings = state_dict(network), network.settings
    first = network.layers[0][0]
    make: dict[str, Callable[..., Any]] = {
        "lstm": torch.nn.LSTM, "lstmp": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN,
    }  # fmt: skip
    name = rule(network.cell, tuple(ORDERS), "PyTorch")
    extra = {"nonlinearity": network.cell.activation} if name == "rnn" else {}
    extra = {"proj_size": network.cell.projection} if name == "lstmp" else extra
    kinds = {each.dtype for each in state.values()}
    rnn = make[name](
        first.in_features,
        settings.hidden,
        settings.layers,
        batch_first=True,
        bidirectional=settings.bidirectional,
        dropout=settings.dropout if settings.layers > 1 else 0.0,
        **extra,
    )
    wide = np.dtype(np.float64) in kinds
    dtype, kind = (torch.float64, np.float64) if wide else (torch.float32, np.float32)
    tensors = {key: torch.tensor(value.astype(kind)) for key, value in state.items()}
    rnn.to(dtype).load_state_dict(tensors)
    whole = rnn if bare(network) else Model(rnn, network)
    return whole.to(dtype).eval()


def export(network: Network, path: str | Path) -> Path:
    """Write the state dict of `to_torch(network)`; return the path. `torch.load(path)` reads it."""
    module = to_torch(network)
    import torch  # pyright: ignore[reportMissingImports]

    torch.save(module.state_dict(), path)
    return Path(path)


def bare(network: Network) -> bool:
    """Return whether a network is recurrent layers and nothing else."""
    return network.out is None and network.vocabulary is None and network.readout == "step"


def state_dict(network: Network) -> dict[str, np.ndarray]:
    """Return the recurrent layers of a network as arrays under PyTorch's names."""
    name, state = rule(network.cell, tuple(ORDERS), "PyTorch"), {}
    if name == "rnn" and network.cell.activation == "identity":
        raise Foreign("PyTorch's RNN has tanh and relu, and no identity")
    order, cell = ORDERS[name], network.cell.build()
    for depth, layer in enumerate(network.layers):
        for way, end in zip(layer, ("", "_reverse"), strict=False):
            made = blocks(cell, nnx.as_pure(way.weights))
            state[f"weight_ih_l{depth}{end}"] = fused(order, made, "w").T
            state[f"weight_hh_l{depth}{end}"] = fused(order, made, "r").T
            if name == "lstmp":
                state[f"weight_hr_l{depth}{end}"] = made["h"].r.T
            state[f"bias_ih_l{depth}{end}"], state[f"bias_hh_l{depth}{end}"] = double(order, made)
    return state
