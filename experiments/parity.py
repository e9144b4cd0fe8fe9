"""Worst difference between a layer of ours and the same layer in other people's implementations.

    python experiments/parity.py             everything; writes experiments/results/parity.md
    python experiments/parity.py torch onnx  some of it; prints, writes nothing

Weights and inputs are random, `SHAPES` shapes each (batch, time, features and hidden drawn anew); the
figure is max |ours - theirs| / max(1, max |theirs|) over all outputs of all shapes. Weights go over by
`lstm_research.interop`. ONNX files are exported once a cell, with the weights that it starts with, and
run by ONNX Runtime at a batch and a length that the export never saw, padding included. A library that
is not installed is said to be absent.
"""

import argparse
import importlib.util
import os
import tempfile
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen, nnx

from lstm_research import catalogue, environment
from lstm_research.cells import CELLS
from lstm_research.engines import unroll
from lstm_research.interop import flax as ours_flax
from lstm_research.interop import keras as ours_keras
from lstm_research.interop import onnx as ours_onnx
from lstm_research.interop import torch as ours_torch
from lstm_research.nnx_layer import Recurrent

SHAPES = 5
RESULT = Path(__file__).parent / "results" / "parity.md"
Row = tuple[str, str, float]  # what is compared, in which precision, the worst difference


def sizes(seed: int) -> tuple[int, int, int, int]:
    """Return (batch, time, features, hidden) of a seed."""
    batch, time, features, hidden = (
        np.random.default_rng(seed).integers(1, (9, 60, 18, 34)).tolist()
    )
    return batch, time, features, hidden


def alive(tree: Any, seed: int, hidden: int) -> Any:
    """Return arrays of the same shapes, uniform as PyTorch draws them, so that no bias is zero."""
    rng, edge = np.random.default_rng(seed), 1.0 / np.sqrt(hidden)
    return jax.tree.map(lambda a: jnp.asarray(rng.uniform(-edge, edge, a.shape), a.dtype), tree)


def apart(got: Any, want: Any) -> float:
    """Return the largest difference, relative where outputs exceed 1; both are float64 NumPy."""
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    return float(np.abs(got - want).max() / max(1.0, np.abs(want).max()))


def outputs(spec: Any, weights: Any, x: np.ndarray) -> np.ndarray:
    """Return what our engine makes of inputs `batch time features`."""
    cell, hidden = spec.build(), weights.r[0].shape[0]
    carry = cell.start((len(x),), hidden, x.dtype)
    return np.asarray(unroll(cell, weights, carry, jnp.asarray(x.swapaxes(0, 1)))[1]).swapaxes(0, 1)


def worst(dtype: str, one: Callable[[int, str], float]) -> float:
    """Return the largest difference of all shapes."""
    with jax.enable_x64(dtype == "float64"):
        return max(one(seed, dtype) for seed in range(SHAPES))


def with_torch() -> Iterator[Row]:
    """Compare with nn.LSTM, nn.GRU, nn.RNN and an LSTM with a projection, two layers, both ways."""
    import torch  # pyright: ignore[reportMissingImports]

    kinds = [("LSTM", {}), ("GRU", {}), ("RNN", {}), ("LSTM", {"proj_size": 1})]
    for (kind, more), dtype in ((each, d) for each in kinds for d in ("float32", "float64")):

        def one(seed: int, dtype: str, kind: str = kind, more: dict = more) -> float:
            batch, time, features, hidden = sizes(seed)
            torch.manual_seed(seed)
            settings = dict(num_layers=2, bidirectional=True, batch_first=True, **more)
            module = getattr(torch.nn, kind)(features, hidden + 1, **settings)
            module = module.to(getattr(torch, dtype))
            x = np.random.default_rng(seed).normal(size=(batch, time, features)).astype(dtype)
            network, _ = getattr(ours_torch, f"load_{kind.lower()}")(module.state_dict())
            return apart(network(jnp.asarray(x)), module(torch.tensor(x))[0].detach().numpy())

        title = f"torch.nn.{kind}" + (", proj_size" if more else "")
        yield title, dtype, worst(dtype, one)


def with_flax() -> Iterator[Row]:
    """Compare with every LSTM and GRU cell of linen and of nnx that we load."""
    for kind in ("LSTMCell", "OptimizedLSTMCell", "GRUCell", "SimpleCell"):
        for dtype in ("float32", "float64"):

            def of_linen(seed: int, dtype: str, kind: str = kind) -> float:
                batch, time, features, hidden = sizes(seed)
                x = np.random.default_rng(seed).normal(size=(batch, time, features)).astype(dtype)
                cell = getattr(linen, kind)(hidden, param_dtype=jnp.dtype(dtype))
                rnn = linen.RNN(cell)
                params = alive(rnn.init(jax.random.key(0), x)["params"], seed, hidden)
                want = rnn.apply({"params": params}, x)
                return apart(outputs(*ours_flax.from_linen(params["cell"]), x), want)

            def of_nnx(seed: int, dtype: str, kind: str = kind) -> float:
                batch, time, features, hidden = sizes(seed)
                x = np.random.default_rng(seed).normal(size=(batch, time, features)).astype(dtype)
                told = {"dtype": jnp.dtype(dtype), "param_dtype": jnp.dtype(dtype)}
                cell = getattr(nnx, kind)(features, hidden, **told, rngs=nnx.Rngs(0))
                nnx.update(cell, alive(nnx.state(cell, nnx.Param), seed, hidden))
                return apart(outputs(*ours_flax.from_nnx(cell), x), nnx.RNN(cell)(jnp.asarray(x)))

            yield f"flax.linen.{kind}", dtype, worst(dtype, of_linen)
            yield f"flax.nnx.{kind}", dtype, worst(dtype, of_nnx)


def with_keras() -> Iterator[Row]:
    """Compare with the layers of Keras, in float32: Keras on JAX rounds to it."""
    os.environ.setdefault("KERAS_BACKEND", "jax")
    import keras

    kinds: list[tuple[str, dict[str, Any], Any]] = [
        ("LSTM", {}, ours_keras.load_lstm), ("GRU", {}, ours_keras.load_gru),
        ("GRU", {"reset_after": False}, ours_keras.load_gru), ("SimpleRNN", {}, ours_keras.load_rnn),
    ]  # fmt: skip
    for kind, more, load in kinds:

        def one(
            seed: int, dtype: str, kind: str = kind, more: dict = more, load: Any = load
        ) -> float:
            batch, time, features, hidden = sizes(seed)
            rng, edge = np.random.default_rng(seed), 1.0 / np.sqrt(hidden)
            layer = getattr(keras.layers, kind)(hidden, return_sequences=True, **more)
            layer.build((None, None, features))
            layer.set_weights([rng.uniform(-edge, edge, a.shape) for a in layer.get_weights()])
            x = rng.normal(size=(batch, time, features)).astype(dtype)
            spec, weights = load(layer.get_weights(), **more)
            return apart(outputs(spec, weights, x), layer(x))

        title = f"keras.layers.{kind}" + (", reset_after=False" if more else "")
        yield title, "float32", worst("float32", one)


def with_onnx() -> Iterator[Row]:
    """Compare every named cell with its exported file in ONNX Runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    for name in catalogue.names("cell"):
        spec = catalogue.spec(CELLS, "cell", name, {})
        layer = Recurrent(spec, 5, 16, rngs=nnx.Rngs(0))
        lengths = np.array([40, 33, 7, 1, 0, 40, 12], np.int32)
        x = np.random.default_rng(0).normal(size=(7, 40, 5)).astype(np.float32)
        with tempfile.TemporaryDirectory() as folder:
            path = ours_onnx.export(layer, Path(folder) / "layer.onnx")
            session = onnxruntime.InferenceSession(
                path, options, providers=["CPUExecutionProvider"]
            )
            got = session.run(None, {"x": x, "lengths": lengths})[0]
        want = layer(jnp.asarray(x), lengths=jnp.asarray(lengths), deterministic=True)
        yield f"onnxruntime, {name} as {ours_onnx.supported(spec)}", "float32", apart(want, got)


LIBRARIES: dict[str, tuple[tuple[str, ...], Callable[[], Iterator[Row]]]] = {
    "torch": (("torch",), with_torch),
    "flax": (("flax",), with_flax),
    "keras": (("keras",), with_keras),
    "onnx": (("onnx", "onnxruntime"), with_onnx),
}


def compare(name: str) -> Iterator[str]:
    """Yield the rows of a library in Markdown, or that it is absent."""
    packages, rows = LIBRARIES[name]
    if any(importlib.util.find_spec(each) is None for each in packages):
        yield f"| {name} | not installed | |"
        return
    for title, dtype, figure in rows():
        yield f"| {title} | {dtype} | {figure:.1e} |"


def heading() -> list[str]:
    """Return the lines above the table: what ran, where."""
    told = environment.environment()
    packages = ["jax", *(each for names, _ in LIBRARIES.values() for each in names)]
    present = [each for each in packages if importlib.util.find_spec(each) is not None]
    versions = ", ".join(f"{each} {metadata.version(each)}" for each in present)
    return [
        "# Parity with other implementations",
        "",
        f"`python experiments/parity.py` at {told['commit']}{' with changes' if told['dirty'] else ''}; "
        f"{versions}. Largest relative difference over {SHAPES} random shapes; of ONNX files at a batch "
        "and lengths that the export never saw.",
        "",
        "| layer | precision | worst difference |",
        "|---|---|---:|",
    ]


def main() -> None:
    """Compare, print, and write the table where everything was compared."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("libraries", nargs="*", metavar="library", help=", ".join(LIBRARIES))
    chosen = parser.parse_args().libraries
    for name in chosen:
        if name not in LIBRARIES:
            parser.error(f"{name!r} is not one of {', '.join(LIBRARIES)}")
    lines = heading()
    for name in chosen or LIBRARIES:
        for line in compare(name):
            print(line, flush=True)
            lines.append(line)
    if not chosen:
        RESULT.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
