"""A study on disk as a sweep leaves it: curves, a solved, a diverged, a failed and an unfinished run."""

import json
import math
from pathlib import Path

from lstm_research import store
from lstm_research.config import build
from lstm_research.plain import encode

ADDING = {"kind": "adding", "length": 10}
PARITY = {"kind": "parity", "length": 20, "variable": True}
CELLS = {"elman": {"kind": "elman"}, "lstm": {"kind": "gated"}}
AROUND = {"commit": "c0ffee" * 7, "dirty": False, "versions": {"jax": "0.10.1"}, "device": "cpu"}
LAYER = {
    "name": "a",
    "gates": {"forget": {"mean": 0.9}},
    "cost": {"flops": 617, "kept_bytes": None},
}
SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="40" height="20"><rect width="40" height="20"/></svg>'


def spec(cell: str = "lstm", task: dict = ADDING, seed: int = 0) -> dict:
    settings = {"cell": CELLS[cell], "task": task, "seed": seed, "study": "gates"}
    return build(settings).resolved()


def events(seed: int, metric: str, steps: int = 40, end: float = 0.01) -> list[dict]:
    """A curve that falls from about 1 to `end`; steps 10, 20, ..."""
    found = []
    for at in range(1, steps + 1):
        value = (1 + 0.1 * seed) * end ** (at / steps)
        found.append({"step": 10 * at, "split": "train", "loss": value, "gradient_norm": 1.0})
        found.append(
            {"step": 10 * at, "split": "valid", metric: value, f"{metric}@length=1-2": 0.5}
        )
    return found


def run(root: Path, data: dict, status: str = "finished", value: float = 0.1, **changes) -> Path:
    """One run in the store; "unfinished" leaves no result."""
    metric, goal = ("mse", "min") if data["task"]["kind"] == "adding" else ("accuracy", "max")
    with store.open_run(root, data) as folder:
        for event in events(data["seed"], metric):
            folder.log(event)
        if status == "diverged":
            folder.log({"step": 410, "split": "train", "loss": math.nan, "gradient_norm": math.nan})
        if status == "failed":
            folder.finish({"status": "failed", "error": "MemoryError: </script> no room"})
        elif status != "unfinished":
            test = {metric: value}
            if goal == "max":
                cuts = ((1, 4), (5, 8), (9, 9))
                test |= {f"{metric}@length={a}-{b}" if a != b else f"{metric}@length={a}":
                         value - 0.01 * a for a, b in cuts}  # fmt: skip
            result = dict.fromkeys(store.RESULT_KEYS) | {
                **{"status": status, "steps": 400, "metric": metric, "goal": goal},
                **{"chance": {metric: 0.5}, "parameters": 320, "step_ms": 1.2, "train_s": 3.0},
                "metrics": {} if status == "diverged" else {"valid": test, "test": test},
                "solved_at": 300 if status == "solved" else None,
            }
            folder.finish(result | changes)
    return folder.path


def study(root: Path) -> Path:
    """Two cells on two tasks, three seeds each, and one run more that is unfinished."""
    for cell in CELLS:
        for seed in range(3):
            fate = "diverged" if (cell, seed) == ("elman", 2) else "solved"
            run(root, spec(cell, ADDING, seed), fate, 0.01 * (seed + 1 + 5 * (cell == "elman")))
            fate = "failed" if (cell, seed) == ("elman", 0) else "finished"
            run(root, spec(cell, PARITY, seed), fate, 0.9 - 0.01 * seed)
    run(root, spec("lstm", ADDING, 3), "unfinished")
    folder = store.find(root, spec("lstm", ADDING, 0)) / "inspect"
    folder.mkdir()
    (folder / "gates.svg").write_text(SVG)
    (folder / "numbers.json").write_text(
        json.dumps({"split": "valid", "layers": [LAYER, LAYER | {"name": "b"}]})
    )
    return root


def line(event: dict) -> str:
    return encode(event) + "\n"
