"""How XLA compiles on a CPU: quickly what trains for seconds, and nothing with what computes wrong numbers.

Quickly (`quick`, in `XLA_FLAGS` by `start.cores`) is with fewer passes of LLVM, and with one module for all
functions; a program that will train for longer undoes it. Beside XLA's defaults, over 15 programs of cells
and tasks, compiling takes 0.4 to 0.6 of its time; steps of kernels take 0.99 to 1.05 of theirs, those of
XLA's loops 0.89 to 1.13, of mLSTM 1.36. So about a core's 2 s are saved where a twentieth of the training
is lost.

XLA's newer emitters of fused operations are off. With jaxlib 0.10.1 on an Ice Lake (AVX-512) they computed
dz of a plain LSTM of five units in float64 wrong by a tenth, in one sequence of four; the older ones do not,
nor does `scan`. They also take half as long again to compile; steps are as fast (0.87 to 1.05).
"""

import os
from importlib import metadata

EMITTERS = "xla_cpu_use_fusion_emitters"
QUICK = f"--{EMITTERS}=false --xla_backend_optimization_level=1 --xla_cpu_parallel_codegen_split_count=1"
FULL: dict[str, bool | str] = {
    "xla_backend_optimization_level": "3",
    "xla_cpu_parallel_codegen_split_count": "32",
}
KNOWN = (
    "0.10.",
)  # versions of jaxlib that have them; XLA ends a process at a flag that it does not know
LONG = 40.0  # seconds of a core that a program trains, from which on it is compiled in full


def known() -> bool:
    """Say whether this jaxlib has the flags."""
    return metadata.version("jaxlib").startswith(KNOWN)


def quick() -> str:
    """Return the flags of a process that compiles quickly, an empty text where jaxlib may not know them."""
    mine = os.environ.get("XLA_FLAGS", "")
    asked = any(flag.split("=")[0] in mine for flag in QUICK.split())
    return "" if asked or not known() else QUICK


def options(platform: str, long: bool = True) -> dict[str, bool | str]:
    """Return the options of XLA for a program; what the user has set in `XLA_FLAGS` stays."""
    mine = os.environ.get("XLA_FLAGS", "")
    if platform != "cpu" or not known():
        return {}
    sound: dict[str, bool | str] = {} if EMITTERS in mine else {EMITTERS: False}
    return sound | (FULL if long and QUICK in mine else {})
