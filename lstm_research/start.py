"""What a process does before its first program: keep compiled programs, and distrust a bad jaxlib.

Compiled programs are kept in `$LSTM_RESEARCH_CACHE/programs` (default `~/.cache/lstm_research`), a
folder for each jaxlib and kind of processor, two gigabytes at most. A folder that the user gave JAX
(`JAX_COMPILATION_CACHE_DIR`) is used instead; `JAX_ENABLE_COMPILATION_CACHE=false` keeps nothing. `kernels`
in it holds the machine code of `native.py`, and what commands find without a trace (`kept_program.py`).

The self-test runs the smallest known program that a bad jaxlib gets wrong without a word, and one
step of a recurrence beside NumPy. What passed is remembered for each jaxlib and device.
"""

import contextlib
import ctypes
import json
import os
from importlib import metadata
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from lstm_research import disk, effort, kept_code
from lstm_research.cores import ALONE, usable

ROWS = 32_769  # the smallest float32 case of jax#39103
MOST = 2 * 2**30  # bytes of compiled programs
HELD = (  # options of mallopt
    (-4, 0),  # M_MMAP_MAX: no map for a large array
    (-1, 2**31 - 1),  # M_TRIM_THRESHOLD: nothing goes back
    (-2, 2**26),  # M_TOP_PAD: bytes that are asked for at once
)


class BadJaxlib(RuntimeError):
    """This jaxlib computes wrong numbers on this device; the message names it and the way out."""


def folder() -> Path:
    """Return the cache folder of this package."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("LSTM_RESEARCH_CACHE") or Path(home) / "lstm_research").expanduser()


def begun() -> bool:
    """Return whether JAX has started a backend, so that its devices are what they are."""
    now = jax.config.jax_num_cpu_devices  # pyright: ignore[reportAttributeAccessIssue]
    try:
        jax.config.update("jax_num_cpu_devices", 1 if now != 1 else 2)
    except RuntimeError:
        return True
    jax.config.update("jax_num_cpu_devices", now)
    return False


def cores(most: int | None = None) -> None:
    """Make each core of a CPU a device, at most `most`, with one thread inside each operation.

    Two cores inside one small product are no faster than one, so whole runs, or parts of a batch, are
    spread over them instead. XLA compiles quickly what does not train for long (`effort.py`). Has no effect
    once JAX has started, and none on accelerators.
    """
    if begun():
        return
    many = usable() if most is None else most
    jax.config.update("jax_num_cpu_devices", max(1, many))
    mine = os.environ.get("XLA_FLAGS", "")
    alone = "" if ALONE.split("=")[0] in mine else ALONE
    os.environ["XLA_FLAGS"] = " ".join(flag for flag in (mine, alone, effort.quick()) if flag)


def serve() -> None:
    """Run programs of a CPU in the thread that calls them: for a service that takes step after step.

    Handing a step of a few microseconds to another thread and waiting for it takes longer than the step.
    Has no effect once JAX has started.
    """
    if not begun():
        jax.config.update("jax_cpu_enable_async_dispatch", False)


def hold() -> bool:
    """Keep memory that is freed, for the next call; return whether this C library can (glibc).

    A program of a CPU takes its arrays anew at each call, and the system fills fresh pages with zeros: for
    a step of (20, 600, 2, 128) 75 MB, as long as half of the step. The process stays as large as it was at
    its largest. What threads other than the first take is held up to 64 MB an array: `serve` also.
    """
    told = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    return told is not None and all(told(option, value) == 1 for option, value in HELD)


def prepare() -> None:
    """Make this process ready: compiled programs are kept, and the device computes right.

    Raises BadJaxlib. Does nothing the second time but read one small file.
    """
    keep()
    distrust()


def keep() -> None:
    """Have compiled programs kept."""
    root = folder()
    if not jax.config.jax_compilation_cache_dir:  # pyright: ignore[reportAttributeAccessIssue]
        jax.config.update("jax_compilation_cache_dir", str(root / "programs" / kept_code.kind()))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)
        jax.config.update("jax_compilation_cache_max_size", MOST)


def distrust() -> None:
    """Raise BadJaxlib where this device computes wrong numbers; what passed before is not asked again.

    A second or two at the first time: another thread may ask while this one plans and traces.
    """
    root = folder()
    passed = set(remembered(root))
    if (name := machine()) in passed:
        return
    for rows in (ROWS, ROWS // 2 + 1):
        if not sums_rows(rows):
            raise BadJaxlib(
                f"{name} computes wrong numbers: a sum over {rows} matrix-vector products comes out "
                "wrong (jax issue 39103). Way out: pip install 'jax==0.10.1' 'jaxlib==0.10.1'."
            )
    if not steps_right():
        raise BadJaxlib(
            f"{name} computes wrong numbers: a recurrence of 16 steps differs from NumPy. "
            "Way out: another jaxlib, for instance pip install 'jax==0.10.1' 'jaxlib==0.10.1'."
        )
    remember(root, passed | {name})


def machine() -> str:
    """Return what the self-test is about: the version of jaxlib, and the device."""
    return f"jaxlib {metadata.version('jaxlib')} on {jax.devices()[0].device_kind} ({jax.default_backend()})"


def sums_rows(rows: int) -> bool:
    """Return whether a mapped matrix-vector product and its sum come out right."""
    i, eye = np.arange(rows, dtype=np.float32), np.eye(3, dtype=np.float32)
    x = np.stack((i, np.zeros_like(i), np.zeros_like(i)), axis=1)
    found = jax.jit(jax.vmap(lambda row: jnp.sum((eye @ row) ** 2)))(x)
    return bool(np.allclose(found, np.arange(rows, dtype=np.float64) ** 2, rtol=1e-5))


def steps_right() -> bool:
    """Return whether sixteen steps of h = tanh(x + h R) equal NumPy's."""
    rng = np.random.default_rng(0)
    x, r = rng.normal(size=(16, 8, 32)), rng.normal(size=(32, 32)) / 8
    single = lambda array: array.astype(np.float32)

    def body(h: jax.Array, now: jax.Array) -> tuple[jax.Array, jax.Array]:
        h = jnp.tanh(now + h @ single(r))
        return h, h

    _, found = jax.jit(lambda x: jax.lax.scan(body, jnp.zeros_like(x[0]), x))(single(x))
    h, wanted = np.zeros((8, 32)), []
    for now in x:
        h = np.tanh(now + h @ r)
        wanted.append(h)
    tolerance = 1e-4 if jax.default_backend() == "cpu" else 1e-2  # others may multiply in TF32
    return bool(np.allclose(found, wanted, atol=tolerance))


def remembered(root: Path) -> list[str]:
    """Return the machines that passed before."""
    try:
        return json.loads((root / "sound.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []


def remember(root: Path, passed: set[str]) -> None:
    """Write down which machines passed; a folder that cannot be written is no reason to stop."""
    with contextlib.suppress(OSError):
        root.mkdir(parents=True, exist_ok=True)
        disk.write(root / "sound.json", json.dumps(sorted(passed)))
