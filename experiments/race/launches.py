"""Whole processes: the most memory that a long training step takes, and the time to a first step.

Memory is VmHWM of a process that takes one training step and nothing else. A launch is the command
line, from its start until its run's `metrics.jsonl` holds the first training step; the second launch
finds the compiled programs of the first in its cache, and the bytecode of this package where it may be
written.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from race.sections import PIECES, Shape, jax, torch
from race.turns import HERE, Contestant, Worker

LONG: tuple[Shape, ...] = tuple((8, steps, 2, 128) for steps in (12_500, 25_000, 50_000, 100_000))
SHORT = LONG[:2]  # where rivals are asked too
COMMAND = ("cell=lstm", "task=adding", "budget.steps=1", "tracker=none")
ENTRY = "from lstm_research.cli import entry; entry()"
PATIENCE_S = 180.0


def memory(
    shapes: tuple[Shape, ...] = LONG, short: tuple[Shape, ...] = SHORT
) -> list[dict[str, Any]]:
    """Return a record a contestant and length: MiB at most, and before the step."""
    who = [jax("ours, auto", "all cores", "train", shape) for shape in shapes]
    who += [
        jax("ours, auto", "all cores", "train", shape, pieces=True)._replace(name=PIECES)
        for shape in shapes
    ]
    for shape in short:
        who += [
            jax(name, "all cores", "train", shape)
            for name in ("ours, scan", "flax nnx.RNN, OptimizedLSTMCell")
        ]
        who += [torch("all cores", "train", shape)]
    return [grown(each) for each in who]


def grown(contestant: Contestant) -> dict[str, Any]:
    """Return the memory of one training step in a process of its own."""
    worker = Worker(contestant.setting)
    try:
        before = worker.ask(do="memory", package=contestant.job["package"])
        made = worker.ask(do="make", key=0, job=contestant.job)
        after = worker.ask(do="memory", package=contestant.job["package"])
    finally:
        worker.close()
    record = {"name": contestant.name, "setting": contestant.setting, "job": contestant.job}
    if "loss" not in made:
        return record | made
    return record | {
        "status": "measured", "loss": made["loss"], "mib": after["mib"], "before_mib": before["mib"],
    }  # fmt: skip


def launches(again: int = 5) -> list[dict[str, Any]]:
    """Return seconds to the first training step: an empty cache once, a full one `again` times."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        first = launch(root, 0)
        later = [launch(root, i + 1) for i in range(again)] if isinstance(first, float) else []
    record: dict[str, Any] = {"name": "lstm-research run", "job": {"command": list(COMMAND)}}
    failed = [each for each in (first, *later) if isinstance(each, str)]
    if failed:
        return [record | {"status": "failed", "reason": failed[0]}]
    return [record | {"status": "measured", "first_s": first, "seconds": later}]


def launch(root: Path, number: int) -> float | str:
    """Return the seconds from a launch to its first training step, or what it said instead."""
    runs = root / f"runs{number}"
    command = [sys.executable, "-c", ENTRY, "run", *COMMAND, f"runs={runs}"]
    paths = os.pathsep.join((str(HERE.parent), os.environ.get("PYTHONPATH", "")))
    around = os.environ | {"PYTHONPATH": paths, "LSTM_RESEARCH_CACHE": str(root / "cache")}
    for name in ("JAX_COMPILATION_CACHE_DIR", "PYTHONDONTWRITEBYTECODE"):
        around.pop(name, None)
    begun = time.perf_counter()
    with subprocess.Popen(
        command, env=around, cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        while process.poll() is None and time.perf_counter() - begun < PATIENCE_S:
            if any(path.stat().st_size for path in runs.rglob("metrics.jsonl")):
                seconds = time.perf_counter() - begun
                process.communicate()
                return round(seconds, 3)
            time.sleep(0.005)
        process.kill()
        said = (process.stderr.read() if process.stderr else "")[-300:]
    return "no training step: " + " ".join(said.split())
