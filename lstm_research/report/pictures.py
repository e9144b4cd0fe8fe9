"""What `lstm-research inspect` left in a run's folder, as pictures that a page can hold.

A picture stands in the page as an `<img>` of its own bytes, so that no script in it runs.
"""

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lstm_research.plain import flatten

KINDS = {".svg": "image/svg+xml", ".png": "image/png"}
COSTS = ("flops", "kept_bytes")


def pictures(folder: str | Path) -> list[Path]:
    """Return the pictures of a run, sorted by name; of one that is there in two formats the smaller."""
    files = (Path(folder) / "inspect").glob("*")
    sizes = {file: file.stat().st_size for file in files if file.suffix in KINDS and file.is_file()}
    smallest = {file.stem: file for file in sorted(sizes, key=sizes.__getitem__, reverse=True)}
    return sorted(smallest.values())


def embedded(file: Path) -> str:
    """Return a picture as the address of an `<img>`."""
    return f"data:{KINDS[file.suffix]};base64,{base64.b64encode(file.read_bytes()).decode()}"


def numbers(folder: str | Path) -> dict[str, Any]:
    """Return the single values of `inspect/numbers.json` by dotted name; {} where it cannot be read.

    Besides, over all layers: `flops`, the operations of a forward step of one sequence as XLA counts them,
    and `kept_bytes`, what such a step keeps for the backward pass at the least.
    """
    try:
        told = json.loads((Path(folder) / "inspect" / "numbers.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(told, dict):
        return {}
    layers = told.pop("layers", None)
    named = {
        str(each.get("name", at)): each
        for at, each in enumerate(layers if isinstance(layers, list) else [])
        if isinstance(each, dict)
    }
    single = {
        key: value
        for key, value in flatten({**told, **named}).items()
        if isinstance(value, int | float | str) and not isinstance(value, bool)
    }
    whole = {}
    for cost in COSTS:
        parts = [single.get(f"{name}.cost.{cost}") for name in named]
        if parts and None not in parts:
            whole[cost] = sum(parts)
    return single | whole


def within(files: Mapping[Any, list[Path]], room: int) -> tuple[dict[Any, list[dict]], int]:
    """Embed pictures by run until the room is full; return them, and how many were left out."""
    kept: dict[Any, list[dict]] = {}
    left = 0
    for run, paths in files.items():
        for path in paths:
            size = path.stat().st_size * 4 // 3 + 64
            if size > room:
                left += 1
                continue
            room -= size
            kept.setdefault(run, []).append({"name": path.stem, "source": embedded(path)})
    return kept, left
