"""One spec, one result, and a process that can be killed while it writes them."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

from lstm_research import store

REPOSITORY = Path(__file__).resolve().parents[1]
SPEC = {
    "study": "gates",
    "cell": {"kind": "gated", "forget_gate": True, "forget_bias": 1.0},
    "task": {"kind": "adding", "length": 100},
    "network": {"hidden": 64, "layers": 1},
    "optimizer": {"name": "adam", "rate": 1e-3, "clip_norm": None},
    "budget": {"steps": 400, "batch": 32},
    "seed": 0,
}
RESULT = {
    **{"status": "finished", "steps": 400, "solved_at": None, "diverged_at": None},
    **{"best_step": 300, "metric": "mse", "goal": "min", "chance": {"mse": 1 / 6}},
    **{"metrics": {"valid": {"mse": 0.1}, "test": {"mse": 0.2}}, "parameters": 17281},
    **{"recurrent_parameters": 16640, "step_ms": 1.2, "compile_s": 2.0, "train_s": 10.0},
    "error": None,
}
OTHERS = ("lock", "spec.yaml", "environment.json")


def child(script: str, *arguments: object) -> subprocess.Popen:
    """Start a Python that has `store` and SPEC and RESULT, and does not ask JAX for its device."""
    head = f"""
        import json, os, signal, sys
        from lstm_research import store
        store.environment = lambda: {{}}
        SPEC, RESULT = json.loads({json.dumps(json.dumps(SPEC))}), dict.fromkeys(store.RESULT_KEYS)
        RESULT |= {{"status": "finished", "metrics": {{}}}}
        root = sys.argv[1]
    """
    code = textwrap.dedent(head) + textwrap.dedent(script)
    path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(REPOSITORY)]))
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )


def line(process: subprocess.Popen) -> str:
    """The next line that a child prints."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def finished(root: Path, spec: dict = SPEC, **changes) -> Path:
    with store.open_run(root, spec) as run:
        run.finish(RESULT | changes)
    return run.path
