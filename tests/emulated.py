"""A GPU's kernels run on a processor: the same text, with a fiber for each thread (emulated.h)."""

import ctypes
import hashlib
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.interpreters import mlir

from lstm_research import cuda_call
from lstm_research.cuda_kernel import Kernel

HERE = Path(__file__).parent
COMMON = Path(cuda_call.__file__).with_name("cuda_common.cuh").read_text()
COMPILER = shutil.which("g++") or shutil.which("clang++")
BITS = "static float __int_as_float(int x) { float y; std::memcpy(&y, &x, 4); return y; }\n"


@cache
def built(text, count):
    """Return the function of a kernel's text; count: pointers that it takes."""
    folder = Path(tempfile.gettempdir(), "emulated_kernels")
    folder.mkdir(exist_ok=True)
    names = ", ".join(f"(decltype(nth<{i}>(kernel)))given[{i}]" for i in range(count))
    types = (
        "template <int n, class First, class... Rest> struct At\n"
        "{ typedef typename At<n - 1, Rest...>::type type; };\n"
        "template <class First, class... Rest> struct At<0, First, Rest...> { typedef First type; };\n"
        "template <int n, class... All> typename At<n, All...>::type nth(void (*)(All...));\n"
    )
    entry = (
        f"static void* given[{count}]; static int steps_given;\n{types}"
        f"static void entered() {{ kernel({names}, steps_given); here->ended = true; }}\n"
        'extern "C" void fill(int i, void* pointer) { given[i] = pointer; }\n'
        'extern "C" void set_steps(int steps) { steps_given = steps; }\n'
    )
    parts = (HERE / "emulated.h").read_text(), BITS, COMMON, text, entry
    source = "\n".join([*parts, (HERE / "emulated_run.h").read_text()])
    mark = hashlib.sha256(source.encode()).hexdigest()[:20]
    library = folder / f"{mark}.so"
    if not library.exists():
        place = folder / f"{mark}_{np.random.default_rng().integers(1 << 40)}"
        place.with_suffix(".cpp").write_text(source)
        done = subprocess.run(
            [COMPILER, "-std=c++17", "-O0", "-w", "-fPIC", "-shared", place.with_suffix(".cpp"), "-o", place],
            capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[:3000]
        place.rename(library)
    return ctypes.CDLL(str(library))


def run(call, seed, *arguments):
    """Run a kernel on NumPy arrays; return what it gives."""
    spec = call.spec
    given = [
        np.ascontiguousarray(a, np.float16 if a.dtype == np.float16 else np.float32)
        for a in arguments
    ]
    steps = given[call.timed].shape[-3]
    made = []
    for each in cuda_call.shapes(spec, steps):
        if each.dtype == np.uint32:
            made.append(np.zeros(each.shape, np.uint32))
            continue
        array = np.full(each.shape, np.nan, np.float32) if each.dtype == np.float32 else None
        if array is None:
            array = np.full((each.size + 1) // 2, 0xFFFFFFFF, np.uint32).view(np.uint16)[
                : each.size
            ]
            array = array.reshape(each.shape)
        made.append(array)
    library = built(Kernel(spec).text, len(given) + len(made))
    for i, array in enumerate([*given, *made]):
        library.fill(i, array.ctypes.data_as(ctypes.c_void_p))
    library.set_steps(steps)
    stuck = library.emulate(
        spec.blocks,
        spec.spread.threads,
        spec.shared,
        spec.spread.members,
        ctypes.c_uint64(seed),
    )
    assert not stuck, "threads wait for each other"
    kinds = [each.dtype for each in cuda_call.shapes(spec, steps)]
    return tuple(array.view(kind) for array, kind in zip(made, kinds, strict=True))


def lowered(context, *arguments, call):
    """Let XLA call the emulator."""
    shapes = [jax.ShapeDtypeStruct(each.shape, each.dtype) for each in context.avals_out]

    def call_back(*given):
        return tuple(
            jax.pure_callback(
                lambda *arrays: run(call, 1, *map(np.asarray, arrays)), shapes, *given
            )
        )

    return mlir.lower_fun(call_back, multiple_results=True)(context, *arguments)


def register():
    """Let programs for a CPU run the kernels of a GPU in the emulator."""
    mlir.register_lowering(cuda_call.kernel_call, lowered, platform="cpu")


def close(one, other, tolerance):
    """Say how far two trees lie apart, as a share of the larger one's size."""
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return (
        max(float(jnp.abs(a - b).max() / (jnp.abs(b).max() + 1e-6)) for a, b in pairs if a.size)
        < tolerance
    )
