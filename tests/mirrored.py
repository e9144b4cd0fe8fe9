"""A run to be mirrored, and a fake `wandb` that writes down what it is told."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lstm_research import store

SPEC = {
    "study": "gates",
    "cell": {"kind": "gated", "forget_bias": 1.0},
    "task": {"kind": "adding", "length": 100},
    "optimizer": {"name": "adam", "api_key": "s3cret-config", "tokens": "bpe"},
    "seed": 3,
}
RESULT = dict.fromkeys(store.RESULT_KEYS) | {
    **{"status": "solved", "steps": 3, "solved_at": 3, "metric": "mse", "goal": "min"},
    **{"chance": {"mse": 0.17}, "metrics": {"valid": {"mse": 0.5}, "test": {"mse": 0.25}}},
    **{"parameters": 17281, "step_ms": 1.5},
}
POINT = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b550000000a"
    "49444154789c636800000082008177cd72b60000000049454e44ae426082"
)
FAKE = """
import json, os, time
def say(**what):
    with open(os.environ["FAKE_LOG"], "a") as file:
        file.write(json.dumps(what, default=str) + chr(10))
class Settings:
    def __init__(self, **settings): say(settings=settings)
class Run:
    def __init__(self): self.summary = self
    def define_metric(self, *names, **how): pass
    def log(self, row): say(log=row)
    def update(self, summary): say(summary=summary)
    def finish(self, exit_code): say(finish=exit_code)
def Image(file): return {"image": file}
def Table(columns, data): return {"columns": columns, "data": data}
def init(**what):
    settings = what.pop("settings")
    say(init=what)
    exec(os.environ.get("FAKE_INIT", ""))
    return Run()
"""


def trained(root: Path, spec: dict, *listeners, steps: int = 3) -> Path:
    with store.open_run(root, spec, listeners=listeners) as run:
        for step in range(1, steps + 1):
            run.log({"step": step, "split": "train", "loss": 1 / step})
        run.log({"step": steps, "split": "valid", "mse": float("nan")})
        run.finish(RESULT)
    return run.path


def pictured(path: Path, name: str = "gates") -> bytes:
    """Put the smallest PNG that there is, one grey point, into the pictures of a run."""
    (path / "inspect").mkdir(exist_ok=True)
    (path / "inspect" / f"{name}.png").write_bytes(POINT)
    return POINT


def eventually(holds, seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.02)
    return bool(holds())


def at_home(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Keep the caches of W&B away from the user's, and JAX from asking for its device."""
    for name in ("WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(folder / "home"))
    for name in ("WANDB_MODE", "WANDB_BASE_URL", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    facts = {"commit": "c0ffee", "dirty": False, "versions": {"jax": "0.10.1"}, "device": "cpu"}
    monkeypatch.setattr(store, "environment", lambda: facts)


def faked(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Callable[[str], list]:
    """Put the fake in the child's way; return a reader of what it was told, by kind."""
    package = folder / "fake" / "wandb"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(FAKE)
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    monkeypatch.setenv("FAKE_LOG", str(folder / "said"))
    (folder / "said").touch()

    def said(kind: str) -> list:
        lines = map(json.loads, (folder / "said").read_text().splitlines())
        return [line[kind] for line in lines if kind in line]

    return said
