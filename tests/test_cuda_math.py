"""Expressions of CUDA C++ equal NumPy's functions, as a compiler of C++ reads them."""

import ctypes
import subprocess

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from emulated import BITS, COMMON, COMPILER, HERE

from lstm_research import cuda_math

pytestmark = pytest.mark.skipif(COMPILER is None, reason="no g++ or clang++ to compile with")
X = np.array([-90.0, -3.5, -1.0, -0.3, -1e-6, 0.0, 1e-6, 0.4, 1.0, 2.5, 80.0, np.inf, -np.inf, np.nan],
             np.float32)  # fmt: skip
ONE = {
    "abs": jnp.abs, "exp": jnp.exp, "expm1": jnp.expm1, "floor": jnp.floor, "neg": jnp.negative,
    "log": jnp.log, "log1p": jnp.log1p, "logistic": jax.nn.sigmoid, "rsqrt": jax.lax.rsqrt,
    "sign": jnp.sign, "sqrt": jnp.sqrt, "square": jnp.square, "tanh": jnp.tanh,
    "integer_pow": lambda x: x**3, "inverse": lambda x: x**-2,
    "choice": lambda x: jnp.where(x > 0.5, x, 2.0),
    "both": lambda x: jnp.where((x > -1) & ~(x >= 1) | (x == 80), 1.0, -1.5),
    "more": lambda x: jnp.maximum(x, 0.2) + jnp.minimum(x, -0.2) * (x - 3.0) / 7.0,
    "number": lambda x: (x < 1).astype(jnp.float32) + (x <= 2) - (x != 0),
}  # fmt: skip


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """Compile the expressions of all functions, one C function each."""
    lines = [(HERE / "emulated.h").read_text(), BITS, COMMON]
    for name, f in ONE.items():
        traced = jax.make_jaxpr(f)(jnp.float32(0)).jaxpr
        lines += [f'extern "C" float of_{name}(float x) {{', *body(traced), "}"]
    place = tmp_path_factory.mktemp("math") / "math.cpp"
    place.write_text("\n".join(lines))
    command = [
        COMPILER,
        "-std=c++17",
        "-w",
        "-fPIC",
        "-shared",
        place,
        "-o",
        place.with_suffix(".so"),
    ]
    subprocess.run(command, check=True)
    return ctypes.CDLL(str(place.with_suffix(".so")))


def body(jaxpr):
    """Give the lines of a function of one number."""
    names = {jaxpr.invars[0]: "x"}
    read = lambda v: cuda_math.number(v.val) if hasattr(v, "val") else names[v]
    for equation in flat(jaxpr, names):
        assert cuda_math.refusal(equation) is None
        (out,) = equation.outvars
        value = cuda_math.written(equation, [read(v) for v in equation.invars])
        names[out] = f"v{len(names)}"
        yield f"const {cuda_math.kind(out)} {names[out]} = {value};"
    yield f"return {read(jaxpr.outvars[0])};"


def flat(jaxpr, names):
    """Give equations, those inside a jit included."""
    for equation in jaxpr.eqns:
        inner = equation.params.get("jaxpr")
        if inner is None:
            yield equation
            continue
        for mine, theirs in zip(inner.jaxpr.invars, equation.invars, strict=True):
            names[mine] = cuda_math.number(theirs.val) if hasattr(theirs, "val") else names[theirs]
        yield from flat(inner.jaxpr, names)
        for mine, theirs in zip(inner.jaxpr.outvars, equation.outvars, strict=True):
            names[theirs] = names[mine]


@pytest.mark.parametrize("name", ONE)
def test_expressions_equal_numpy(library, name):
    f = getattr(library, f"of_{name}")
    f.argtypes, f.restype = [ctypes.c_float], ctypes.c_float
    np.testing.assert_allclose([f(x) for x in X], ONE[name](jnp.asarray(X)), rtol=3e-6, atol=1e-6)


def test_what_has_no_form_is_refused_by_name():
    (equation,) = jax.make_jaxpr(jnp.sin)(jnp.float32(0)).jaxpr.eqns
    assert cuda_math.refusal(equation) == "sin has no form in CUDA here"
    (equation,) = jax.make_jaxpr(lambda x: x + 1)(jnp.int32(0)).jaxpr.eqns
    assert "int32" in cuda_math.refusal(equation)
