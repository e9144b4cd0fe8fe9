"""How hard XLA tries: what trains for seconds is compiled in half the time, what trains for long in full.

A process that is told so by `XLA_FLAGS` (`start.cores`) compiles quickly: with XLA's older emitters of fused
operations, fewer passes of LLVM, and one module for all functions. A program that will train for longer
undoes it (`thorough`). Measured over 15 programs of cells and tasks: 0.4 to 0.6 of the time that compiling
takes; steps of kernels take 0.99 to 1.05 of theirs, those of XLA's loops 0.89 to 1.13, of mLSTM
1.36. So about a core's 2 s are saved where a twentieth of the training is lost.
"""

import os
from importlib import metadata

QUICK = (
    "--xla_cpu_use_fusion_emitters=false --xla_backend_optimization_level=1 "
    "--xla_cpu_parallel_codegen_split_count=1"
)
FULL: dict[str, bool | str] = {
    "xla_cpu_use_fusion_emitters": True,
    "xla_backend_optimization_level": "3",
    "xla_cpu_parallel_codegen_split_count": "32",
}
KNOWN = (
    "0.10.",
)  # versions of jaxlib that have them; XLA ends a process at a flag that it does not know
LONG = 40.0  # seconds of a core that a program trains, from which on it is compiled in full


def quick() -> str:
    """Return the flags of a process that compiles quickly, an empty text where jaxlib may not know them."""
    mine = os.environ.get("XLA_FLAGS", "")
    asked = any(flag.split("=")[0] in mine for flag in QUICK.split())
    return "" if asked or not metadata.version("jaxlib").startswith(KNOWN) else QUICK


def thorough() -> dict[str, bool | str]:
    """Return the options of XLA that undo it: none where nobody asked this process to be quick."""
    return dict(FULL) if QUICK in os.environ.get("XLA_FLAGS", "") else {}
