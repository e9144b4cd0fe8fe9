"""A picture of the training steps: a panel a shape, a bar a rival, as many times ours as it takes."""

import importlib.util
import json
from pathlib import Path
from typing import Any

from race.figures import OURS, Figure, Line, best, figure, newest, said, square
from race.sections import LIMIT, SPLIT

COLOURS = {"ours": "#1b6ca8", "rival": "#b8b8b8", "split": "#dcdcdc"}


def draw(path: Path) -> Path | None:
    """Draw the training steps in a file of lines beside it; return None without matplotlib."""
    lines = [json.loads(text) for text in path.read_text("utf-8").splitlines()]
    found = [line for (name, _), line in newest(lines).items() if name in ("train", "gpu train")]
    if importlib.util.find_spec("matplotlib") is None or not found:
        return None
    import matplotlib  # pyright: ignore[reportMissingImports]

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt  # pyright: ignore[reportMissingImports]

    wide, most = 2, max(len(bars(line)) for line in found)
    deep = -(-len(found) // wide)
    size = (12, 1.0 + (0.8 + 0.26 * most) * deep)
    figure, axes = plt.subplots(deep, wide, figsize=size, squeeze=False, layout="constrained")
    for axis, line in zip(axes.flat, found, strict=False):
        panel(axis, line)
    for axis in list(axes.flat)[len(found) :]:
        axis.axis("off")
    figure.suptitle("Training step of one LSTM layer: times ours, shorter is faster")
    figure.savefig(path.with_suffix(".png"), dpi=120)
    plt.close(figure)
    return path.with_suffix(".png")


def bars(line: Line) -> dict[str, Figure]:
    """Return the best figure of each name, and of each name in our split, fastest first."""
    found: dict[str, Figure] = {}
    for record in line["rivals"]:
        one, dtype = figure(record), record["job"].get("dtype", "")
        if one is None or record["name"].startswith(LIMIT):
            continue
        name = f"{record['name']} {dtype}".strip()
        if record["setting"] == SPLIT and not name.startswith("ours"):
            name += ", split by us"
        found[name] = min(one, found.get(name, one))
    return dict(sorted(found.items(), key=lambda pair: pair[1].ms))


def panel(ax: Any, line: Line) -> None:
    """Draw one shape, with a dashed line where the products of the step alone would end."""
    found, ours, ms = bars(line), best(line, OURS), square(line)
    if ours is None:
        return
    kinds = [
        "ours" if n.startswith("ours") else "split" if n.endswith("split by us") else "rival"
        for n in found
    ]
    values = [one.ms / ours.ms for one in found.values()]
    drawn = ax.barh(list(found), values, color=[COLOURS[kind] for kind in kinds])
    labels = [f" {one.ms:.3g} ms" for one in found.values()]
    ax.bar_label(drawn, labels=labels, fontsize=7)
    if ms:
        ax.axvline(ms / ours.ms, color="#c44", linestyle="--", linewidth=1)
        ax.text(ms / ours.ms, len(found) - 0.35, " GEMM limit", color="#c44", fontsize=7)
    ax.axvline(1, color="#1b6ca8", linewidth=0.8)
    ax.invert_yaxis()
    ax.margins(x=0.18)
    ax.tick_params(labelsize=8)
    ax.set_title(f"batch, time, features, hidden = {said(line['shape'])}", fontsize=9)
