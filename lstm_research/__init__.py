"""Gate ablations of recurrent cells in JAX: every variant, one engine, honest tables.

The names in `__all__` are the public face. They load what they need when they are first asked for,
so that `import lstm_research` is quick and the core works without Hydra, pydantic and wandb.
"""

import importlib
import sys
import time
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what `_HOMES` says, for editors and type checkers
    from lstm_research.accumulate import accumulate
    from lstm_research.config import RunSpec, build
    from lstm_research.engines import unroll
    from lstm_research.face import cell, task
    from lstm_research.lookup import load_network
    from lstm_research.network import Network, NetworkSpec
    from lstm_research.nnx_cell import NnxCell
    from lstm_research.nnx_layer import Recurrent
    from lstm_research.run import fit, fit_many
    from lstm_research.store import frame as load_runs
    from lstm_research.stream import Stream, load_carry, save_carry, step

__version__ = "0.1.0"
BEGUN = time.time()  # before any other module of this package is read

_HOMES = {
    "Network": ("network", "Network"), "NetworkSpec": ("network", "NetworkSpec"),
    "NnxCell": ("nnx_cell", "NnxCell"), "Recurrent": ("nnx_layer", "Recurrent"),
    "RunSpec": ("config", "RunSpec"), "accumulate": ("accumulate", "accumulate"),
    "build": ("config", "build"), "cell": ("face", "cell"),
    "fit": ("run", "fit"), "fit_many": ("run", "fit_many"),
    "load_network": ("lookup", "load_network"), "load_runs": ("store", "frame"),
    "Stream": ("stream", "Stream"), "load_carry": ("stream", "load_carry"),
    "save_carry": ("stream", "save_carry"),
    "step": ("stream", "step"), "task": ("face", "task"), "unroll": ("engines", "unroll"),
}  # fmt: skip
__all__ = [
    "Network", "NetworkSpec", "NnxCell", "Recurrent", "RunSpec", "Stream", "accumulate", "build",
    "cell", "fit", "fit_many", "load_carry", "load_network", "load_runs", "save_carry", "step",
    "task", "unroll",
]  # fmt: skip


class _Face(types.ModuleType):
    """This package. `lr.cell` and `lr.unroll` are functions, though modules of these names exist."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOMES and isinstance(value, types.ModuleType)):
            super().__setattr__(name, value)

    def __getattr__(self, name: str) -> Any:
        if name == "interop":  # a package of its own, whose parts load when they are asked for
            return importlib.import_module("lstm_research.interop")
        if name not in _HOMES:
            raise AttributeError(
                f"lstm_research has no attribute {name!r}; it has {', '.join(__all__)}"
            )
        module, there = _HOMES[name]
        return getattr(importlib.import_module(f"lstm_research.{module}"), there)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *__all__, "interop"})


sys.modules[__name__].__class__ = _Face
