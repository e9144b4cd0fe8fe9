"""Weights as one safetensors file that rebuilds what it holds: a network, or a cell with its weights.

Tensors have readable names, `layers.0.forward.w`, `layers.0.backward.r0`, `out.kernel`, and keep the
package's own packed layout. The header holds, as JSON under the one key `lstm_research`, the spec of
the cell and the shape of the network, notes of the user's, and a SHA-256 of all of it with every
number: a file that was cut, or changed in one bit, is refused. Nothing in a file is ever executed.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from safetensors import SafetensorError, deserialize
from safetensors.numpy import save as pack

from lstm_research import disk
from lstm_research.axes import Array
from lstm_research.cell import Weights, sizes
from lstm_research.config import ConfigError, section, written
from lstm_research.network import Network
from lstm_research.wrappers import Wrapped, wrapped

KEY, FORMAT = "lstm_research", 1
TYPES = {
    "F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": jnp.bfloat16, "C64": np.complex64,
    "I64": np.int64, "I32": np.int32, "I16": np.int16, "I8": np.int8, "BOOL": np.bool_,
    "U64": np.uint64, "U32": np.uint32, "U16": np.uint16, "U8": np.uint8,
}  # fmt: skip
Held = Network | tuple[Any, Weights]


class DamagedFile(ValueError):
    """This file is not what this package wrote; the message names it."""


def save(path: str | Path, held: Held, notes: Mapping[str, str] | None = None) -> Path:
    """Write a network, or a pair (spec of a cell, weights), in one step; return the path."""
    disk.write(Path(path), encode(held, notes))
    return Path(path)


def load(path: str | Path) -> Any:
    """Return what was saved: a Network in evaluation mode, or a pair (spec, weights).

    Raises FileNotFoundError, or DamagedFile with the path.
    """
    told, tensors = read(path)
    try:
        return rebuilt(told, tensors)
    except (ConfigError, KeyError, TypeError) as error:
        raise DamagedFile(
            f"{path}: it does not fit this version of the package: {error}"
        ) from error


def notes(path: str | Path) -> dict[str, str]:
    """Return the notes of a file; raise as `load`."""
    return read(path)[0]["notes"]


def encode(held: Held, notes: Mapping[str, str] | None = None) -> bytes:
    """Return the bytes of the file: the same for the same weights."""
    tensors = {name: np.ascontiguousarray(leaf) for name, leaf in leaves(held).items()}
    told = header(held) | {"format": FORMAT, "notes": dict(notes or {})}
    text = json.dumps(told | {"sha256": digest(told, tensors)}, sort_keys=True)
    return pack(tensors, {KEY: text})  # one key: with two, their order in the file is chance


def header(held: Held) -> dict[str, Any]:
    """Return the settings that rebuild what is held."""
    spec = held.cell if isinstance(held, Network) else held[0]
    inner, wrap = (spec.cell, spec.wrap) if isinstance(spec, Wrapped) else (spec, None)
    told = {"cell": written(inner), "wrap": None if wrap is None else written(wrap)}
    if not isinstance(held, Network):
        features, hidden = sizes(spec.build(), held[1])
        return told | {"sizes": {"features": features, "hidden": hidden}}
    shape = {
        "features": held.layers[0][0].in_features if held.vocabulary is None else None,
        "vocabulary": held.vocabulary,
        "outputs": None if held.out is None else held.out.out_features,
        "readout": held.readout,
    }
    return told | {"network": written(held.settings), "shape": shape}


def leaves(held: Held) -> dict[str, np.ndarray]:
    """Return every array by name: parameters and rows, no random streams."""
    if isinstance(held, Network):
        flat = [(path, leaf[...]) for path, leaf in variables(held)]
    else:
        flat = named(held[1])
    found = {title(path): np.asarray(leaf) for path, leaf in flat}
    assert len(found) == len(flat), "two arrays of one name"
    return found


def variables(network: Network) -> list[tuple[tuple[Any, ...], Any]]:
    """Return the variables of a network by path."""
    return list(nnx.to_flat_state(nnx.state(network, nnx.filterlib.Not(nnx.RngState))))


def named(weights: Weights) -> list[tuple[tuple[Any, ...], Any]]:
    """Return the arrays of weights by path."""
    flat, _ = jax.tree_util.tree_flatten_with_path(weights)
    return [(tuple(key(each) for each in path), leaf) for path, leaf in flat]


def key(entry: Any) -> Any:
    """Return a step of a path as a name or a number."""
    return next(getattr(entry, n) for n in ("name", "key", "idx") if hasattr(entry, n))


def title(path: tuple[Any, ...]) -> str:
    """Return the name of an array: ("layers", 0, 1, "weights", "r", 0) is layers.0.backward.r0."""
    words = [str(each) for each in path]
    if words[0] == "layers":
        words[2] = ("forward", "backward")[int(words[2])]
    text = ".".join(word for word in words if word not in ("weights", "p"))
    return re.sub(r"(^|\.)r\.(\d+)$", r"\1r\2", text)


def digest(told: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> str:
    """Return the SHA-256 of a header and of every name, type, shape and number."""
    found = hashlib.sha256(json.dumps(told, sort_keys=True).encode())
    for name, array in sorted(tensors.items()):
        found.update(f"{name} {array.dtype} {array.shape} ".encode() + array.tobytes())
    return found.hexdigest()


def read(path: str | Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return header and tensors of a file that is whole; raise as `load`."""
    data = Path(path).read_bytes()
    try:
        found = dict(deserialize(data))
        size = int.from_bytes(data[:8], "little")
        told = json.loads(json.loads(data[8 : 8 + size])["__metadata__"][KEY])
        tensors = {
            name: np.frombuffer(each["data"], TYPES[each["dtype"]]).reshape(each["shape"])
            for name, each in found.items()
        }
        wanted = told.pop("sha256")
    except SafetensorError as error:
        raise DamagedFile(f"{path}: cut or damaged ({error})") from error
    except (KeyError, ValueError, AttributeError) as error:
        raise DamagedFile(
            f"{path}: a safetensors file, but not one of lstm_research: {error!r}"
        ) from error
    if digest(told, tensors) != wanted:
        raise DamagedFile(f"{path}: damaged; its numbers or its header are not those written")
    if told["format"] != FORMAT:
        raise DamagedFile(f"{path}: of format {told['format']}; this version reads {FORMAT}")
    return told, tensors


def rebuilt(told: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> Any:
    """Return what a header and its tensors describe."""
    spec = wrapped(section("cell", told["cell"]), section("wrap", told["wrap"]))
    if "network" in told:
        settings = section("network", told["network"])
        network = Network(spec, settings, **told["shape"], rngs=nnx.Rngs(0))
        flat = variables(network)
        taken = fitted(tensors, {title(path): leaf[...] for path, leaf in flat})
        state = nnx.from_flat_state(
            [(path, each.replace(taken[title(path)])) for path, each in flat]
        )
        nnx.update(network, state)
        network.eval()
        return network
    features, hidden = told["sizes"]["features"], told["sizes"]["hidden"]
    shapes = jax.eval_shape(lambda: spec.build().init(jax.random.key(0), features, hidden))
    flat = named(shapes)
    taken = fitted(tensors, {title(path): leaf for path, leaf in flat})
    return spec, jax.tree.unflatten(jax.tree.structure(shapes), [taken[title(p)] for p, _ in flat])


def fitted(tensors: Mapping[str, np.ndarray], wanted: Mapping[str, Any]) -> dict[str, Array]:
    """Return the tensors on the device once every name and shape is as wanted."""
    if faults := sorted(set(tensors) ^ set(wanted)):
        raise KeyError(f"tensors missing or too many: {', '.join(faults)}")
    for name, leaf in wanted.items():
        if leaf.shape != tensors[name].shape:
            raise KeyError(f"{name} has shape {tensors[name].shape}, not {leaf.shape}")
    return {name: jnp.asarray(each) for name, each in tensors.items()}
