"""A trained network as a StableHLO artifact of `jax.export`: one file that runs where JAX does,
without this package and its classes.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
from jax import export as artifact

from lstm_research.axes import Array
from lstm_research.interop.forward import forward
from lstm_research.network import Network
from lstm_research.nnx_layer import Recurrent

PLATFORMS = ("cpu", "cuda", "tpu")


def export(network: Network | Recurrent, path: str | Path, *, stateful: bool = False) -> Path:
    """Write a network, or one recurrent layer, as a StableHLO artifact; return its path.

    The function in it takes (x, lengths) and returns arrays by name, as `interop.onnx.export` has
    them: `outputs` or `h`, and the carries. Batch and time are free. It runs on CPU, CUDA and TPU. With
    `stateful` the carries before the first step are arguments too, in the order of the layers.
    """
    program = forward(network, stateful=stateful)
    made = artifact.export(jax.jit(program.run), platforms=PLATFORMS)(*program.arguments.values())
    path = Path(path)
    path.write_bytes(made.serialize())
    return path


def load(path: str | Path) -> Callable[..., dict[str, Array]]:
    """Return the function of an artifact: `load(path)(x, lengths)["outputs"]`."""
    call: Callable[..., Any] = artifact.deserialize(bytearray(Path(path).read_bytes())).call
    return call
