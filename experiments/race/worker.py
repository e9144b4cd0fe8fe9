"""A process that holds calls of its setting and runs them when it is asked: a line of JSON each way.

    python -m race.worker        {"do": "make", "key": 1, "job": {...}}    {"do": "run", "key": 1, "count": 9}

Each setting (threads, one core, a core a device) has a process, because a library reads it at its
start. What a library prints goes to the standard error, not among the answers.
"""

import importlib
import importlib.util
import json
import math
import os
import sys
import time
from collections.abc import Callable
from importlib import metadata
from typing import Any

Call = Callable[[int], float]  # runs that often and returns the loss before its last run
SIDES = {
    "jax": "race.jax_jobs",
    "torch": "race.torch_jobs",
    "onnx": "race.onnx_jobs",
    "product": "race.products",
}
VERSIONS = (
    "jax", "jaxlib", "flax", "optax", "numpy", "dm-haiku", "equinox", "keras", "torch", "onnxruntime",
)  # fmt: skip


def make(job: dict[str, Any]) -> Call:
    """Return the call of a job; raise ImportError where its package is absent."""
    package = job["package"]
    if importlib.util.find_spec(package) is None:
        raise ImportError("not installed")
    return importlib.import_module(SIDES[job["side"]]).make(job)


def timed(call: Call, count: int) -> dict[str, float]:
    """Return milliseconds of one of `count` runs, and the loss."""
    start = time.perf_counter()
    loss = call(count)
    return {"ms": 1e3 * (time.perf_counter() - start) / count, "loss": loss}


def facts() -> dict[str, Any]:
    """Return where this runs: commit, device, versions, our engines."""
    from lstm_research.engines import engines
    from lstm_research.environment import environment

    found: dict[str, Any] = environment() | {"engines": sorted(engines())}
    for name in VERSIONS:
        try:
            found["versions"][name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found["versions"][name] = None
    return found


def memory(package: str) -> dict[str, float | None]:
    """Return the most memory that this process has held, in MiB, its libraries loaded."""
    importlib.import_module("lstm_research.unroll")
    if importlib.util.find_spec(package) is not None:
        importlib.import_module(package)
    with open("/proc/self/status", encoding="utf-8") as file:
        held = next((line.split()[1] for line in file if line.startswith("VmHWM")), None)
    return {"mib": None if held is None else round(int(held) / 1024, 1)}


def answer(calls: dict[int, Call], asked: dict[str, Any]) -> dict[str, Any]:
    """Do what a line asks."""
    if asked["do"] == "facts":
        return facts()
    if asked["do"] == "memory":
        return memory(asked["package"])
    if asked["do"] == "drop":
        calls.clear()
        return {}
    if asked["do"] == "run":
        return timed(calls[asked["key"]], asked["count"])
    call = make(asked["job"])
    loss = call(1)
    if not math.isfinite(loss):
        raise ArithmeticError(f"its loss is {loss}")
    calls[asked["key"]] = call
    return {"loss": loss}


def main() -> None:
    """Answer until the input ends."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    if only := os.environ.get("RACE_CORE"):
        os.sched_setaffinity(0, {int(only)})
    if os.environ.get("RACE_HOLD"):
        from lstm_research import start

        start.serve()
        start.hold()  # for everybody in this process: pages are paid for once
    calls: dict[int, Call] = {}
    for line in sys.stdin:
        try:
            reply = answer(calls, json.loads(line))
        except ImportError as error:
            reply = {"status": "absent", "reason": str(error)}
        except Exception as error:  # a rival that fails is a row that says so
            said = " ".join(f"{type(error).__name__}: {error}".split())
            reply = {"status": "failed", "reason": said[:300]}
        print(json.dumps(reply), file=replies, flush=True)


if __name__ == "__main__":
    main()
