"""Calls of PyTorch's nn.LSTM: eager, as it is used; on a GPU it is cuDNN's, also from a CUDA graph."""

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import torch  # pyright: ignore[reportMissingImports]

from lstm_research.interop import torch as bridge
from lstm_research.interop.blocks import LSTM
from race.rivals import weights

RATE = 0.01
SCALE = 2.0**16  # of the loss in float16, whose smallest number would swallow the gradients
Call = Callable[[int], float]


def make(job: dict[str, Any]) -> Call:
    """Return the call that a job describes."""
    if threads := os.environ.get("OMP_NUM_THREADS"):
        torch.set_num_threads(int(threads))
    device = job.get("device", "cpu")
    if device == "cuda" and not torch.cuda.is_available():
        raise ImportError("this PyTorch sees no GPU")
    works = {"train": train, "forward": passes, "step": stream, "sequence": sequence}
    rnn = layer(job).to(device)
    rnn.flatten_parameters()  # cuDNN copies weights that do not lie together at every call
    return works[job["work"]](job, rnn)


def layer(job: dict[str, Any]) -> Any:
    """Return an nn.LSTM with the weights of all rivals, time first."""
    features, hidden = job["shape"][2:]
    held = weights("lstm", features, hidden)
    made: Any = bridge.to_torch(bridge.filled(LSTM, hidden, [[held]]))
    made.batch_first = False
    dtype = getattr(torch, job.get("dtype", "float32"))
    return made.train().to(dtype)


def inputs(job: dict[str, Any]) -> Any:
    """Return the inputs of all rivals, `time batch features`."""
    import jax

    batch, steps, features, _ = job["shape"]
    with jax.default_device(jax.devices("cpu")[0]):
        x = np.array(jax.random.normal(jax.random.key(0), (steps, batch, features)))
    dtype = getattr(torch, job.get("dtype", "float32"))
    return torch.from_numpy(x).to(job.get("device", "cpu"), dtype)


def train(job: dict[str, Any], rnn: Any) -> Call:
    """Return training steps from the same weights each time: forward, backward, gradient descent."""
    x, start = inputs(job), [p.detach().clone() for p in rnn.parameters()]
    scale = SCALE if job.get("dtype") == "float16" else 1.0
    rule = torch.optim.SGD(rnn.parameters(), RATE / scale)

    def one() -> Any:
        rule.zero_grad(set_to_none=True)
        loss = rnn(x)[0].square().mean(dtype=torch.float32)
        (scale * loss).backward()
        rule.step()
        return loss.detach()

    one = graphed(one) if job.get("graph") else one

    def call(count: int) -> float:
        with torch.no_grad():
            for p, s in zip(rnn.parameters(), start, strict=True):
                p.copy_(s)
        for _ in range(count):
            loss = one()
        return float(loss)

    return call


def graphed(one: Callable[[], Any]) -> Callable[[], Any]:
    """Return a training step captured as a CUDA graph, after the warm-up that capture wants."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            one()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        loss = one()

    def replay() -> Any:
        graph.replay()
        return loss

    return replay


def passes(job: dict[str, Any], rnn: Any) -> Call:
    """Return forward passes without a record for a backward."""
    x = inputs(job)

    def call(count: int) -> float:
        with torch.inference_mode():
            for _ in range(count):
                loss = rnn(x)[0].square().mean(dtype=torch.float32)
            return float(loss)

    return call


def stream(job: dict[str, Any], rnn: Any) -> Call:
    """Return single steps: an array of NumPy in, one out, the carry kept between."""
    arrays = [now.numpy()[None] for now in inputs(job)]
    cell = torch.nn.LSTMCell(*job["shape"][2:])
    cell.load_state_dict({name.removesuffix("_l0"): p for name, p in rnn.state_dict().items()})

    def with_cell(x: np.ndarray, carry: Any) -> tuple[np.ndarray, Any]:
        carry = cell(torch.from_numpy(x)[0], carry)
        return carry[0].numpy(), carry

    def with_layer(x: np.ndarray, carry: Any) -> tuple[np.ndarray, Any]:
        out, carry = rnn(torch.from_numpy(x), carry)
        return out.numpy(), carry

    step = with_cell if job.get("single") else with_layer

    def call(count: int) -> float:
        carry, h = None, np.zeros(())
        with torch.inference_mode():
            for i in range(count):
                h, carry = step(arrays[i % len(arrays)], carry)
        return float(np.mean(np.square(h)))

    return call


def sequence(job: dict[str, Any], rnn: Any) -> Call:
    """Return whole sequences: an array of NumPy in, one out."""
    array = inputs(job).numpy()

    def call(count: int) -> float:
        h = np.zeros(())
        with torch.inference_mode():
            for _ in range(count):
                h = rnn(torch.from_numpy(array))[0].numpy()
        return float(np.mean(np.square(h)))

    return call
