"""One training step of an LSTM layer: ours against Flax and PyTorch, in one run on one machine.

    python experiments/speed.py                      the shapes below
    python experiments/speed.py 64,100,2,128         batch, time, features, hidden of your own

A step is forward, backward and plain gradient descent on the mean of h squared over all steps, float32.
JAX rivals take `K` steps in one jitted call, as ours does; PyTorch runs eagerly, as it is used. The
rivals take turns, `ROUNDS` times; the table holds the median of a step, its spread (10th to 90th
percentile) and the ratio to ours. A rival that is not installed is said to be absent.
"""

import argparse
import importlib
import importlib.util
import os
import platform
import statistics
import time
from collections.abc import Callable

import flax
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax

import lstm_research as lr
from lstm_research.unroll import Engine

SHAPES = ((64, 100, 2, 128), (32, 100, 2, 32), (20, 600, 2, 128))
K, ROUNDS, RATE = 10, 9, 0.01
Shape = tuple[int, int, int, int]
Call = Callable[[], float]  # takes K steps and returns the loss


def stepped(layer: nnx.Module, x: jax.Array) -> Call:
    """Return K training steps of an nnx module, compiled as one call."""
    graph, params, rest = nnx.split(layer, nnx.Param, ...)

    @jax.jit
    def steps(params, rest, x):
        def loss(params):
            return jnp.mean(nnx.merge(graph, params, rest, copy=True)(x) ** 2)

        def one(_, params):
            return jax.tree.map(lambda p, g: p - RATE * g, params, jax.grad(loss)(params))

        return loss(lax.fori_loop(0, K, one, params))

    return lambda: float(steps(params, rest, x))


def inputs(shape: Shape) -> jax.Array:
    """Return the inputs of all rivals, batch-major."""
    batch, steps, features, _ = shape
    return jax.random.normal(jax.random.key(0), (batch, steps, features))


def ours(engine: Engine) -> Callable[[Shape], Call]:
    """Return our layer with an engine."""

    def make(shape: Shape) -> Call:
        layer = lr.Recurrent("lstm", shape[2], shape[3], engine=engine, rngs=nnx.Rngs(0))
        return stepped(layer, inputs(shape))

    return make


def flax_nnx(shape: Shape) -> Call:
    """Return Flax's own loop over its fused LSTM cell."""
    cell = nnx.OptimizedLSTMCell(shape[2], shape[3], rngs=nnx.Rngs(0))
    return stepped(nnx.RNN(cell, rngs=nnx.Rngs(0)), inputs(shape))


def torch_lstm(shape: Shape) -> Call:
    """Return PyTorch's LSTM with all the threads that the machine has."""
    torch = importlib.import_module("torch")
    torch.manual_seed(0)
    layer = torch.nn.LSTM(shape[2], shape[3], batch_first=True)
    rule = torch.optim.SGD(layer.parameters(), RATE)
    x = torch.from_numpy(np.array(inputs(shape)))

    def call() -> float:
        for _ in range(K):
            rule.zero_grad()
            loss = layer(x)[0].square().mean()
            loss.backward()
            rule.step()
        return float(loss.detach())

    return call


RIVALS: dict[str, tuple[str, Callable[[Shape], Call]]] = {
    "ours, fused": ("jax", ours("fused")),
    "ours, scan": ("jax", ours("scan")),
    "flax nnx.RNN": ("flax", flax_nnx),
    "torch nn.LSTM": ("torch", torch_lstm),
}


def measure(shape: Shape) -> dict[str, list[float]]:
    """Return milliseconds a step of every rival that is here, taken in turns."""
    calls = {
        name: make(shape)
        for name, (package, make) in RIVALS.items()
        if importlib.util.find_spec(package) is not None
    }
    for call in calls.values():
        call()  # compiles
        call()
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            times[name].append(1e3 * (time.perf_counter() - start) / K)
    return times


def report(shape: Shape, times: dict[str, list[float]]) -> str:
    """Return the Markdown lines of one shape."""
    base = statistics.median(times["ours, fused"])
    lines = [f"\nbatch {shape[0]}, time {shape[1]}, features {shape[2]}, hidden {shape[3]}\n",
             "| | ms a step | 10 % to 90 % | times ours |", "|---|---|---|---|"]  # fmt: skip
    for name in RIVALS:
        if name not in times:
            lines.append(f"| {name} | not installed | | |")
            continue
        taken = sorted(times[name])
        low, high = taken[len(taken) // 10], taken[-1 - len(taken) // 10]
        mid = statistics.median(taken)
        lines.append(f"| {name} | {mid:.2f} | {low:.2f} to {high:.2f} | {mid / base:.2f} |")
    return "\n".join(lines)


def shape(text: str) -> Shape:
    """Return a shape from `batch,time,features,hidden`."""
    batch, steps, features, hidden = map(int, text.split(","))
    return batch, steps, features, hidden


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("shapes", nargs="*", help="batch,time,features,hidden")
    options = parser.parse_args()
    chosen = [shape(text) for text in options.shapes] or SHAPES
    torch = "no torch"
    if importlib.util.find_spec("torch") is not None:
        torch = f"torch {importlib.import_module('torch').__version__}"
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, {jax.devices()[0].device_kind}; jax "
        f"{jax.__version__}, flax {flax.__version__}, {torch}; {ROUNDS} rounds of {K} steps"
    )
    for each in chosen:
        print(report(each, measure(each)), flush=True)


if __name__ == "__main__":
    main()
