"""Functions on vectors against NumPy in float64, over all magnitudes, and where they are not finite."""

import ctypes
from functools import cache

import jax.numpy as jnp
import numpy as np
import pytest
from llvmlite import ir

from lstm_research.native_call import compiled
from lstm_research.native_math import FLOAT, PLAIN, Vectors
from lstm_research.native_tile import POINTER, WORD, repeat

LANES = 4
WIDE = np.concatenate([s * np.logspace(-38, 38, 4_000) for s in (1, -1)]).astype(np.float32)
NEAR = np.linspace(-100, 100, 80_000, dtype=np.float32)
ODD = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-42, 1.0, -1.0], np.float32)
ALL = np.concatenate([WIDE, NEAR, ODD])
ONE = {  # by name: NumPy's own, and how far it may be off, in units in the last place
    "tanh": (np.tanh, 4), "exp": (np.exp, 3), "expm1": (np.expm1, 8), "log": (np.log, 3),
    "log1p": (np.log1p, 4), "logistic": (lambda x: 1 / (1 + np.exp(-x)), 4), "sqrt": (np.sqrt, 1),
    "rsqrt": (lambda x: 1 / np.sqrt(x), 2), "abs": (np.abs, 0), "neg": (np.negative, 0),
    "floor": (np.floor, 0), "square": (np.square, 1), "sign": (np.sign, 0),
    "one_minus_square": (lambda x: 1 - x * x, 2),
}  # fmt: skip
TWO = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "max": np.maximum,
    "min": np.minimum, "add_any": np.add,
}  # fmt: skip
TESTS = {
    "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater,
    "ge": np.greater_equal,
}  # fmt: skip


@cache
def function(write, operands: int):
    """Return a function of arrays, given what writes it for vectors."""
    module = ir.Module()
    kind = ir.FunctionType(ir.VoidType(), [POINTER] * (operands + 1) + [WORD])
    made = ir.Function(module, kind, "f")
    build = ir.IRBuilder(made.append_basic_block())
    vectors = Vectors(build, LANES)

    def body(i):
        at = [build.gep(each, [i], source_etype=FLOAT) for each in made.args[:-1]]
        values = [build.load(each, typ=vectors.type, align=4) for each in at[:-1]]
        build.store(write(vectors, *values), at[-1], align=4)

    repeat(build, made.args[-1], body, LANES)
    build.ret_void()
    engine = compiled(lambda: str(module), "")
    call = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * (operands + 1), ctypes.c_int64)(
        engine.get_function_address("f")
    )

    def run(*arrays):
        padded = [np.resize(a, -(-a.size // LANES) * LANES).astype(np.float32) for a in arrays]
        out = np.empty_like(padded[0])
        call(*(a.ctypes.data for a in (*padded, out)), out.size)
        return out[: arrays[0].size]

    run.engine = engine
    return run


def close(x, got, want, units: float) -> None:
    """Demand the same to some units in the last place; below the least normal number, to one of them."""
    with np.errstate(all="ignore"):
        want32 = want.astype(np.float32)
        usual = np.isfinite(want32)
        np.testing.assert_array_equal(got[~usual], want32[~usual])
        room = units * np.spacing(np.maximum(np.abs(want32[usual]), np.float32(1.2e-38)))
        off = np.abs(got[usual].astype(np.float64) - want[usual]) - np.abs(room)
    at = off.argmax()
    assert off[at] <= 0, f"of {x[usual][at]}: {got[usual][at]}, wanted {want[usual][at]}"


@pytest.mark.parametrize("name", ONE)
def test_a_function_of_one(name):
    right, units = ONE[name]
    x = ALL[np.abs(ALL) > 1.2e-38] if name in ("sqrt", "rsqrt", "log") else ALL
    with np.errstate(all="ignore"):
        want = right(x.astype(np.float64))
    got = function(PLAIN[name], 1)(x)
    beyond = (np.abs(want) < 1.2e-38) & (name in ("exp", "square", "logistic"))
    assert (np.abs(got[beyond]) <= 1.2e-38).all()
    with np.errstate(all="ignore"):
        same = np.isnan(want) & np.isnan(got)
    keep = ~beyond & ~same
    close(x[keep], got[keep], want[keep], units + 0.5)


@pytest.mark.parametrize("name", TWO)
def test_a_function_of_two(name):
    rng = np.random.default_rng(0)
    x, y = rng.permutation(ALL), rng.permutation(ALL)
    with np.errstate(all="ignore"):
        want = TWO[name](x, y)
    got = function(PLAIN[name], 2)(x, y)
    tiny = np.abs(want) < 1.2e-38
    np.testing.assert_array_equal(got[~tiny], want[~tiny])


@pytest.mark.parametrize("name", TESTS)
def test_a_comparison(name):
    rng = np.random.default_rng(0)
    x = rng.choice(ODD, 1000)
    y = rng.choice(ODD, 1000)

    def write(vectors, a, b):
        return PLAIN["select_n"](
            vectors, PLAIN[name](vectors, a, b), vectors.number(0.0), vectors.number(1.0)
        )

    np.testing.assert_array_equal(function(write, 2)(x, y), TESTS[name](x, y).astype(np.float32))


@pytest.mark.parametrize("power", [-2, -1, 0, 1, 2, 3, 7])
def test_a_whole_power(power):
    x = np.linspace(-3, 3, 1000, dtype=np.float32)
    got = function(lambda vectors, a: vectors.integer_power(a, power), 1)(x)
    np.testing.assert_allclose(got, np.asarray(jnp.asarray(x) ** power), rtol=1e-6)
