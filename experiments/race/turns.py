"""Contestants take turns: one runs while all others wait, and the order rotates from round to round.

A contestant is a name, a setting and a job. A setting is what a library reads when its process starts,
so each has a process (`worker`); a contestant that is absent, fails or comes too late is a result too.
"""

import json
import math
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parents[1]  # the folder of the experiments
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
SETTINGS: dict[str, dict[str, str]] = {
    "all cores": {"OMP_NUM_THREADS": str(CORES)},
    "one core": {"OMP_NUM_THREADS": "1", "RACE_CORE": "0"},
    "a core a device": {
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={CORES}"
        " --xla_cpu_multi_thread_eigen=false"
    },
    "memory held": {"OMP_NUM_THREADS": str(CORES), "RACE_HOLD": "1"},
    "gpu": {"JAX_PLATFORMS": "cuda,cpu", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"},
    "gpu torch": {"JAX_PLATFORMS": "cpu"},
}
FEWEST, MOST = 3, 2000  # runs a turn
REST_S = 0.3  # between turns on a CPU: for so long threads of a library look for more work
LIMIT_S = 120.0  # longest wait for one answer


class Contestant(NamedTuple):
    """Who runs, in which setting, what."""

    name: str
    setting: str
    job: dict[str, Any]


class Worker:
    """A process of a setting; what it writes to its standard error is kept for the day it dies."""

    def __init__(self, setting: str) -> None:
        paths = (str(HERE), str(HERE.parent), os.environ.get("PYTHONPATH", ""))
        around = {"JAX_PLATFORMS": "cpu"} if not setting.startswith("gpu") else {}
        around |= {"KERAS_BACKEND": "jax", "TF_CPP_MIN_LOG_LEVEL": "3"} | SETTINGS[setting]
        if "XLA_FLAGS" in around:
            around["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {around['XLA_FLAGS']}"
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, "-m", "race.worker"],
            env={**os.environ, **around, "PYTHONPATH": os.pathsep.join(paths)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )

    def ask(self, **asked: Any) -> dict[str, Any]:
        """Return the answer to a request; a dead process answers with the end of its log."""
        assert self.process.stdin is not None and self.process.stdout is not None
        late = threading.Timer(LIMIT_S, self.process.kill)
        late.start()
        try:
            print(json.dumps(asked), file=self.process.stdin, flush=True)
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        late.cancel()
        if line:
            return json.loads(line)
        if self.process.wait() == -signal.SIGKILL:
            reason = f"no answer within {LIMIT_S:g} s, or killed for its memory"
            return {"status": "failed", "reason": reason}
        self.log.seek(0)
        said = " ".join(self.log.read()[-300:].split())
        return {"status": "failed", "reason": f"its process ended: {said}"}

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None and self.process.stdout is not None
        try:
            self.process.stdin.close()
            self.process.wait(timeout=10)
        except (BrokenPipeError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.log.close()


class Workers:
    """The processes of all settings that were asked for; closes them at the end of a `with`."""

    def __init__(self) -> None:
        self.running: dict[str, Worker] = {}

    def __getitem__(self, setting: str) -> Worker:
        if setting in self.running and self.running[setting].process.poll() is not None:
            self.running.pop(setting).close()  # what it held has failed
        if setting not in self.running:
            self.running[setting] = Worker(setting)
        return self.running[setting]

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.running.values():
            worker.close()

    def drop(self) -> None:
        """Let all processes forget their calls."""
        for worker in self.running.values():
            worker.ask(do="drop")


def compete(
    workers: Workers,
    contestants: Sequence[Contestant],
    *,
    rounds: int,
    seconds: float,
    deadline: float = math.inf,
) -> list[dict[str, Any]]:
    """Return a record a contestant: `ms` of every round, or `status` and `reason`.

    seconds: how long a turn of the median contestant takes; all contestants of a work run equally
    often a turn. deadline: `time.monotonic()` after which nobody is made any more.
    """
    records: list[dict[str, Any]] = []
    for key, each in enumerate(contestants):
        begun = time.monotonic()
        record: dict[str, Any] = {"name": each.name, "setting": each.setting, "job": each.job}
        if time.monotonic() > deadline:
            record |= {"status": "left out", "reason": "the time was up"}
        else:
            record |= workers[each.setting].ask(do="make", key=key, job=each.job)
        took = time.monotonic() - begun
        print(f"{each.name}, {each.setting}: {took:.1f} s to make", file=sys.stderr, flush=True)
        records.append(record | ({"status": "measured", "ms": []} if "loss" in record else {}))
    here = [key for key, record in enumerate(records) if record["status"] == "measured"]
    counts = turns(workers, records, here, seconds)
    for i in range(rounds):
        if time.monotonic() > deadline and i >= 3:
            break
        at = i % len(here) if here else 0
        for key in here[at:] + here[:at]:
            time.sleep(0 if records[key]["setting"].startswith("gpu") else REST_S)
            found = workers[records[key]["setting"]].ask(do="run", key=key, count=counts[key])
            if "ms" in found:
                records[key]["ms"].append(round(found["ms"], 5))
            else:
                records[key] |= {"status": "failed", "reason": found.get("reason", "no answer")}
    for key in here:
        records[key]["count"] = counts[key]
    workers.drop()
    return records


def turns(
    workers: Workers, records: list[dict[str, Any]], here: list[int], seconds: float
) -> dict[int, int]:
    """Return how often each contestant runs a turn: as often as the others of its work."""
    groups: dict[str, list[tuple[int, float]]] = {}
    for key in here:
        found = workers[records[key]["setting"]].ask(do="run", key=key, count=3)
        job = records[key]["job"]
        group = str((job["work"], job.get("product"), job["shape"], job.get("cell")))
        groups.setdefault(group, []).append((key, found.get("ms", 1e3)))
    counts: dict[int, int] = {}
    for group in groups.values():
        middle = statistics.median(ms for _, ms in group)
        count = min(MOST, max(FEWEST, math.ceil(1e3 * seconds / max(middle, 1e-3))))
        counts |= {key: count for key, _ in group}
    return counts
