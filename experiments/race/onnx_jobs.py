"""Calls of onnxruntime: our LSTM as the ONNX operator that `interop.onnx` writes."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import onnxruntime  # pyright: ignore[reportMissingImports]
from flax import nnx

import lstm_research as lr
from lstm_research.interop import onnx
from lstm_research.nnx_cell import hold
from race.rivals import weights

Call = Callable[[int], float]


def make(job: dict[str, Any]) -> Call:
    """Return the call that a job describes: "step", or "sequence" and "forward", which are one."""
    batch, steps, features, hidden = job["shape"]
    layer = lr.Recurrent("lstm", features, hidden, rngs=nnx.Rngs(0))
    layer.weights = hold(weights("lstm", features, hidden))
    single = job["work"] == "step"
    x = np.array(jax.random.normal(jax.random.key(0), (steps, batch, features))).swapaxes(0, 1)
    run = session(layer, single)
    return streamed(run, x, hidden) if single else repeated(run, x)


def session(layer: lr.Recurrent, stateful: bool) -> Any:
    """Return a session on the layer's file, with the threads of this process' setting."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", "0"))
    with tempfile.TemporaryDirectory() as folder:
        path = onnx.export(layer, Path(folder) / "lstm.onnx", stateful=stateful)
        return onnxruntime.InferenceSession(
            path.read_bytes(), options, providers=["CPUExecutionProvider"]
        )


def streamed(run: Any, x: np.ndarray, hidden: int) -> Call:
    """Return single steps, the carry kept between."""
    lengths = np.ones(len(x), np.int32)
    inputs = [np.ascontiguousarray(x[:, t : t + 1]) for t in range(x.shape[1])]
    names = [each.name for each in run.get_inputs() if each.name not in ("x", "lengths")]
    wanted = ["h", *(name.removesuffix(".before") for name in names)]
    start = [np.zeros((len(x), hidden), np.float32) for _ in names]

    def call(count: int) -> float:
        carry, h = start, np.zeros(())
        for i in range(count):
            given = {"x": inputs[i % len(inputs)], "lengths": lengths}
            h, *carry = run.run(wanted, given | dict(zip(names, carry, strict=True)))
        return float(np.mean(np.square(h)))

    return call


def repeated(run: Any, x: np.ndarray) -> Call:
    """Return whole sequences."""
    given = {"x": np.ascontiguousarray(x), "lengths": np.full(len(x), x.shape[1], np.int32)}

    def call(count: int) -> float:
        h = np.zeros(())
        for _ in range(count):
            (h,) = run.run(["h"], given)
        return float(np.mean(np.square(h)))

    return call
