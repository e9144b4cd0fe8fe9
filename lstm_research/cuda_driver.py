"""What a GPU's driver and its compiler do for us: machine code of a text, kernels of machine code.

Both are found where JAX's own packages for CUDA put them (`nvidia-cuda-nvrtc`), or on the system.
"""

# pyright: reportUnknownMemberType=false

import ctypes
import hashlib
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from lstm_research import kept_code

CAPABILITY, PROCESSORS, SHARED = (75, 76), 16, 97  # attributes of a device
LEAST = 9, 224 * 2**10  # what kernels need: capability 9.0 for clusters, bytes of shared memory
SHARED_BYTES, LARGE_CLUSTERS = 8, 14  # attributes of a kernel
H100 = 132  # multiprocessors to plan for where no GPU is at hand
OPTIONS = ("--std=c++17", "--prec-div=false", "--prec-sqrt=false")
LOADED: dict[str, Any] = {}  # kernels by the mark of their text, which must outlive their calls


class Device(NamedTuple):
    """A GPU: its compute capability and its multiprocessors."""

    capability: str
    processors: int


@cache
def driver() -> ctypes.CDLL | None:
    """Return CUDA's driver, None where there is none."""
    try:
        found = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    return found if found.cuInit(0) == 0 else None


@cache
def compiler() -> ctypes.CDLL | None:
    """Return CUDA's run-time compiler, None where there is none."""
    places = []
    if (spec := find_spec("nvidia")) is not None:
        for root in spec.submodule_search_locations or ():
            places += sorted(map(str, Path(root).glob("*/lib/libnvrtc.so.*")), reverse=True)
    for name in (
        *(p for p in places if ".alt." not in p),
        "libnvrtc.so.13",
        "libnvrtc.so.12",
        "libnvrtc.so",
    ):
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    return None


@cache
def device() -> Device | None:
    """Return the first GPU, None where there is none that a kernel can be written for."""
    api = driver()
    if api is None or compiler() is None:
        return None
    which, value = ctypes.c_int(), ctypes.c_int()
    if api.cuDeviceGet(ctypes.byref(which), 0):
        return None
    numbers: list[int] = []
    for attribute in (*CAPABILITY, PROCESSORS, SHARED):
        if api.cuDeviceGetAttribute(ctypes.byref(value), attribute, which):
            return None
        numbers.append(value.value)
    major, minor, many, shared = numbers
    able = major >= LEAST[0] and shared >= LEAST[1]
    return Device(f"{major}{minor}", many) if able else None


def processors() -> int:
    """Return the multiprocessors to plan for."""
    found = device()
    return H100 if found is None else found.processors


def compiled(text: str, capability: str) -> bytes:
    """Return the machine code of a text for a compute capability; it is kept under its mark."""
    mark = hashlib.sha256(f"{OPTIONS} {capability} {text}".encode()).hexdigest()
    place = kept_code.place(f"{mark}.cubin")
    if (code := kept_code.held(place)) is not None:
        return code
    api = compiler()
    if api is None:
        raise RuntimeError("CUDA's run-time compiler is absent (pip install nvidia-cuda-nvrtc)")
    made = ctypes.c_void_p()
    check(api.nvrtcCreateProgram(ctypes.byref(made), text.encode(), b"kernel.cu", 0, None, None))
    flags = [option.encode() for option in (f"--gpu-architecture=sm_{capability}", *OPTIONS)]
    failed = api.nvrtcCompileProgram(made, len(flags), (ctypes.c_char_p * len(flags))(*flags))
    if failed:
        raise RuntimeError(f"a kernel was not compiled: {said(api, made)}")
    code = taken(api, made, "CUBIN")
    api.nvrtcDestroyProgram(ctypes.byref(made))
    kept_code.keep(place, code)
    return code


def taken(api: Any, made: Any, what: str) -> bytes:
    """Return what the compiler has made."""
    size = ctypes.c_size_t()
    check(getattr(api, f"nvrtcGet{what}Size")(made, ctypes.byref(size)))
    code = ctypes.create_string_buffer(size.value)
    check(getattr(api, f"nvrtcGet{what}")(made, code))
    return code.raw


def said(api: Any, made: Any) -> str:
    """Return what the compiler says."""
    return taken(api, made, "ProgramLog").decode(errors="replace")


def check(result: int) -> None:
    """Raise RuntimeError where a call of CUDA failed."""
    if result:
        raise RuntimeError(f"CUDA's answer is error {result}")


def loaded(text: str, capability: str, shared: int) -> int:
    """Return the handle of the kernel of a text, with its bytes of shared memory allowed."""
    mark = hashlib.sha256(f"{capability} {text}".encode()).hexdigest()
    if mark not in LOADED:
        api, code = driver(), compiled(text, capability)
        assert api is not None
        library, kernel = ctypes.c_void_p(), ctypes.c_void_p()
        none = (None, None, 0)
        check(api.cuLibraryLoadData(ctypes.byref(library), code, *none, *none))
        check(api.cuLibraryGetKernel(ctypes.byref(kernel), library, b"kernel"))
        for which in range(count(api)):
            check(api.cuKernelSetAttribute(SHARED_BYTES, shared, kernel, which))
            check(api.cuKernelSetAttribute(LARGE_CLUSTERS, 1, kernel, which))
        LOADED[mark] = kernel.value
    return LOADED[mark]


def count(api: Any) -> int:
    """Return how many GPUs there are."""
    value = ctypes.c_int()
    check(api.cuDeviceGetCount(ctypes.byref(value)))
    return value.value


def address(name: str) -> int:
    """Return where a function of the driver lies."""
    found = ctypes.cast(getattr(driver(), name), ctypes.c_void_p).value
    assert found is not None
    return found
