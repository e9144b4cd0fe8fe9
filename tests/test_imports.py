"""Imports point one way, read from the source: this list is the order, and it lives nowhere else."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "lstm_research"
ORDER = (
    "axes", "spelling", "cores", "effort", "line", "disk", "kept_code", "foreign", "kept_program", "threefry",
    "masks", "precision", "cell", "linear", "moments", "initial", "activation", "legal", "stamped", "gated",
    "superset", "cells.elman", "cells.fgr", "cells.gru_before", "cells.brc", "cells.indrnn",
    "cells.mgu", "cells.ran", "cells.star", "cells.atr", "cells.cfn", "cells.fastgrnn", "cells.lem",
    "cells.ligru", "cells.minimal_rnn", "cells.mut", "cells.rhn", "cells.lstmp", "cells.mogrifier",
    "cells.phased", "cells.tlstm", "cells.slstm", "cells.urlstm", "cells.onlstm",
    "cells.multiplicative", "cells.lru", "cells.mingru", "cells.mlstm", "cells.qrnn", "cells.rglru",
    "cells.sru", "cells", "wrappers.front", "wrappers.variational", "wrappers.candidate",
    "wrappers.layer_norm", "wrappers.layer_norm_carried", "wrappers.batch_norm",
    "wrappers.weight_drop", "wrappers.zoneout", "wrappers", "dosed", "keep", "pieces", "shards",
    "states", "unroll", "parallel", "newton", "cotangents",
    "blockwise", "blocked", "activated", "padding", "kernel_step", "kernel", "fused_gpu",
    "forms", "native_math", "native_stages", "native_plan",
    "whole_step", "native_tile", "native_team", "native_threads", "native_sums", "native_equations",
    "native_panel", "native_product", "native_kernel", "native_mark", "native_call", "native_random",
    "native_launch", "native",
    "cuda_math", "cuda_plan", "cuda_pack",
    "cuda_arrays", "cuda_feeding", "cuda_ahead", "cuda_products", "cuda_kernel", "cuda_driver",
    "cuda_call", "cuda_trace", "cuda", "columns",
    "fused_columns", "fused", "engines", "accumulate", "native_stream", "stream", "catalogue", "compose",
    "ahead",
    "nnx_cell", "nnx_layer", "network", "interop",
    "interop.forward", "interop.onnx_graph", "interop.onnx_shapes", "interop.onnx_primitives",
    "interop.onnx_complex", "interop.onnx_operators", "interop.onnx_scan", "interop.onnx",
    "interop.stablehlo", "interop.blocks", "interop.torch_model", "interop.torch", "interop.keras",
    "interop.flax", "loss", "tasks.limits", "tasks.task", "tasks.data", "tasks.order",
    "tasks.memoryless", "tasks.tally", "tasks.spans", "tasks.grammar", "tasks.pianoroll", "tasks.images",
    "tasks.archive", "tasks.series", "tasks.parts", "tasks.characters",
    "tasks.adding", "tasks.copying", "tasks.parity", "tasks.reber",
    "tasks.temporal_order", "tasks.long_lag", "tasks.two_sequence", "tasks.multiplication",
    "tasks.continual_reber", "tasks.continual_temporal_order", "tasks.anbn",
    "tasks.spike_delay", "tasks.periodic", "tasks.music", "tasks.transduction",
    "tasks.regular", "tasks.context_free", "tasks.context_sensitive", "tasks.chomsky", "tasks.words",
    "tasks.walks", "tasks.automaton", "tasks.dyck", "tasks.selective", "tasks.delay",
    "tasks.induction", "tasks.recall", "tasks.trees", "tasks.listops", "tasks.pixels", "tasks.speech",
    "tasks.sequences", "tasks.text", "tasks.forecasting", "tasks.anomaly", "tasks",
    "optimizer", "evaluate", "program", "beginnings", "pack",
    "analysis", "analysis.recorded", "analysis.saturation", "analysis.timescales", "analysis.order",
    "analysis.gradient_flow", "analysis.jacobian", "analysis.cost", "inspection",
    "life", "train", "plain", "environment", "figure", "heatmap", "example", "inspect_pictures",
    "store", "trackers.content", "trackers.sent", "trackers.child", "trackers.mirror",
    "trackers.wandb", "trackers.trackio", "trackers.tensorboard", "trackers.workspace", "trackers",
    "stats", "label", "digits", "entry", "table", "grid", "terminal", "render", "config",
    "interop.safetensors", "face", "signature", "plan", "explain", "run", "lookup",
    "start", "local",
    "progress", "sweep", "ledger", "launcher", "hydra_launcher", "parts", "space", "trials", "search",
    "check", "listing", "task_listing", "report", "report.curves",
    "report.pictures", "report.data", "report.charts", "report.page", "report.write",
    "sparkline", "inventory", "detail",
    "commands", "commands.run", "commands.search", "commands.table", "commands.report",
    "commands.runs", "commands.tasks", "commands.show", "commands.quickstart", "commands.cells",
    "commands.inspect", "commands.sync", "commands.export", "commands.check", "cli", "__main__",
)  # fmt: skip
HEAVY = {
    "altair": {"figure", "report.charts", "report.page"},
    "vl_convert": {"figure", "report.page"},
    "hydra": {"compose", "hydra_launcher", "space", "commands.run"},
    "omegaconf": {"compose", "hydra_launcher"},
    "pydantic": {"config"},
    "wandb": {"trackers.wandb", "trackers.workspace"},
    "onnx": {"interop.onnx_graph"},
    "torch": {"interop.torch", "interop.torch_model"},
    "keras": {"interop.keras"},
    "optuna": {"space", "trials", "search"},
    "llvmlite": {
        "native_math",
        "native_tile",
        "native_team",
        "native_threads",
        "native_sums",
        "native_equations",
        "native_panel",
        "native_product",
        "native_kernel",
        "native_call",
        "native_random",
        "native_stream",
        "cuda_call",
    },
    "safetensors": {"interop.safetensors"},
}


def modules() -> dict[str, Path]:
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")
        if name != "__init__":
            found[name] = path
    return found


@cache
def imported(path: Path) -> frozenset[str]:
    """Names of every module that a file imports, inside functions too."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(names)


def test_every_module_has_its_place_in_the_order():
    assert sorted(modules()) == sorted(ORDER)


@pytest.mark.parametrize("name", ORDER)
def test_imports_point_backwards_only(name):
    place = ORDER.index(name)
    ours = {each.removeprefix("lstm_research.") for each in imported(modules()[name])
            if each.startswith("lstm_research.")}  # fmt: skip
    package = name.partition(".")[0]
    later = {each for each in ours & set(ORDER) if ORDER.index(each) >= place and each != package}
    assert not later, f"{name} imports {later}, which come after it"


@pytest.mark.parametrize("heavy", HEAVY)
def test_heavy_packages_stay_at_the_rim(heavy):
    users = {name for name, path in modules().items()
             if any(each.split(".")[0] == heavy for each in imported(path))}  # fmt: skip
    assert users <= HEAVY[heavy]


def test_the_core_imports_where_hydra_pydantic_and_wandb_are_absent():
    code = """
import sys
for name in ("hydra", "omegaconf", "pydantic", "wandb", "scipy", "pooch"):
    sys.modules[name] = None
import lstm_research as lr
import lstm_research.train, lstm_research.engines, lstm_research.network, lstm_research.cells
cell = lr.cell("greff/v")
assert lr.unroll and lr.Recurrent and lr.NnxCell
assert "jax.experimental.pallas" not in sys.modules, "half a second that only a GPU needs"
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=120)


def test_no_file_is_long_and_no_drawer_exists():
    root = PACKAGE.parent
    files = [
        path
        for folder in ("lstm_research", "experiments", "tests")
        for path in (root / folder).rglob("*.py")
    ]
    long = {
        str(path): lines for path in files if (lines := len(path.read_text().splitlines())) > 300
    }
    assert not long
    assert not [
        path
        for path in files
        if path.stem in ("utils", "util", "helpers", "helper", "misc", "common")
    ]
