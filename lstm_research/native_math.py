"""Equations on vectors of float32 as LLVM instructions: those of a cell's update, a lane a unit.

Functions are rational or polynomial approximations without branches, exact to a few units in the last
place: tanh by the quotient of a polynomial of 13 and one of 6 degrees (as Eigen and XLA have it), exp
and log by Cephes' reductions. NaN stays NaN, and infinities end where mathematics says.
"""

# llvmlite leaves its builders untyped, JAX its equations:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from llvmlite import ir

from lstm_research import forms

FLOAT, INT, BIT = ir.FloatType(), ir.IntType(32), ir.IntType(1)
ROUND = 12582912.0  # 1.5 2^23: what is added to it is rounded to a whole number, its lowest bits
EDGE = 7.90531110763549805  # tanh(x) is 1 above, in float32
ODD = (
    -2.76076847742355e-16, 2.00018790482477e-13, -8.60467152213735e-11, 5.12229709037114e-08,
    1.48572235717979e-05, 6.37261928875436e-04, 4.89352455891786e-03,
)  # fmt: skip
EVEN = 1.19825839466702e-06, 1.18534705686654e-04, 2.26843463243900e-03, 4.89352518554385e-03
LOG2E, LN2, LESS = 1.44269504088896341, 0.693359375, 2.12194440e-4  # ln 2 = LN2 - LESS
EXP = (
    1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1,
    5.0000001201e-1,
)  # fmt: skip
LOG = (
    7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1,
    -1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
)  # fmt: skip


class Vectors:
    """Writes instructions on vectors of a number of lanes with a builder."""

    def __init__(self, builder: ir.IRBuilder, lanes: int) -> None:
        """Keep the builder and the types of its vectors."""
        self.build, self.lanes = builder, lanes
        self.type, self.ints = ir.VectorType(FLOAT, lanes), ir.VectorType(INT, lanes)
        self.bits = ir.VectorType(BIT, lanes)

    def number(self, value: Any) -> ir.Constant:
        """Return a number in every lane, rounded to float32; a choice is a bit."""
        if np.asarray(value).dtype == bool:
            return ir.Constant(self.bits, [int(value)] * self.lanes)
        return ir.Constant(self.type, [ir.Constant(FLOAT, float(np.float32(value)))] * self.lanes)

    def whole(self, value: int) -> ir.Constant:
        """Return an integer in every lane."""
        return ir.Constant(self.ints, [value] * self.lanes)

    def call(self, name: str, *operands: Any) -> Any:
        """Call an intrinsic of LLVM on vectors."""
        kind = operands[0].type
        suffix = f"v{self.lanes}f32" if kind == self.type else f"v{self.lanes}i32"
        return called(self.build, f"llvm.{name}.{suffix}", kind, *operands)

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        """Return a b + c, rounded once."""
        return self.call("fma", a, b, c)

    def polynomial(self, x: Any, coefficients: Sequence[float]) -> Any:
        """Return a polynomial, its highest coefficient first."""
        total: Any = self.number(coefficients[0])
        for each in coefficients[1:]:
            total = self.fma(total, x, self.number(each))
        return total

    def test(self, how: str, a: Any, b: Any) -> Any:
        """Compare; false where a number is NaN, but for `!=`."""
        if a.type == self.bits:
            return self.build.icmp_unsigned(how, a, b)
        return (self.build.fcmp_unordered if how == "!=" else self.build.fcmp_ordered)(how, a, b)

    def most(self, a: Any, b: Any) -> Any:
        """Return the greater, NaN where one of them is."""
        greater = self.build.select(self.build.fcmp_unordered("<", a, b), b, a)
        return self.build.select(self.build.fcmp_unordered("uno", a, a), a, greater)

    def least(self, a: Any, b: Any) -> Any:
        """Return the smaller, NaN where one of them is."""
        smaller = self.build.select(self.build.fcmp_unordered(">", a, b), b, a)
        return self.build.select(self.build.fcmp_unordered("uno", a, a), a, smaller)

    def clipped(self, x: Any, low: float, high: float) -> Any:
        """Return x between two numbers; NaN stays NaN."""
        below, above = self.number(low), self.number(high)
        x = self.build.select(self.build.fcmp_ordered("<", x, below), below, x)
        return self.build.select(self.build.fcmp_ordered(">", x, above), above, x)

    def tanh(self, x: Any) -> Any:
        """Return tanh(x)."""
        y = self.clipped(x, -EDGE, EDGE)
        square = self.build.fmul(y, y)
        odd, even = ([each / EVEN[-1] for each in side] for side in (ODD, EVEN))
        top = self.build.fmul(y, self.polynomial(square, odd))  # of the least numbers: no less
        return self.build.fdiv(top, self.polynomial(square, even))

    def exp(self, x: Any) -> Any:
        """Return e^x: 2^n times the exponential of what is left, at most ln(2)/2."""
        b = self.build
        y = self.clipped(x, -103.97, 88.8)
        n = self.call("floor", self.fma(y, self.number(LOG2E), self.number(0.5)))
        y = self.fma(n, self.number(-LN2), y)
        y = self.fma(n, self.number(LESS), y)
        value = self.fma(self.polynomial(y, EXP), b.fmul(y, y), b.fadd(y, self.number(1.0)))
        half = b.ashr(
            b.fptosi(n, self.ints), self.whole(1)
        )  # twice, as 2^n alone may not be a float
        rest = b.sub(b.fptosi(n, self.ints), half)
        found = b.fmul(b.fmul(value, self.power(half)), self.power(rest))
        return b.select(b.fcmp_unordered("uno", x, x), x, found)

    def power(self, n: Any) -> Any:
        """Return 2^n of integers from -126 to 127."""
        raised = self.build.shl(self.build.add(n, self.whole(127)), self.whole(23))
        return self.build.bitcast(raised, self.type)

    def log(self, x: Any) -> Any:
        """Return the natural logarithm; of nothing -inf, of less NaN."""
        b, tiny = self.build, 1.17549435e-38
        low = b.fcmp_ordered("<", x, self.number(tiny))
        y = b.select(low, b.fmul(x, self.number(2.0**23)), x)
        bits = b.bitcast(y, self.ints)
        n = b.sub(b.ashr(bits, self.whole(23)), self.whole(126))
        n = b.sub(n, b.select(low, self.whole(23), self.whole(0)))
        m = b.or_(b.and_(bits, self.whole(0x007FFFFF)), self.whole(0x3F000000))
        m = b.bitcast(m, self.type)  # from a half to one
        small = b.fcmp_ordered("<", m, self.number(0.707106781186547524))
        n = b.sub(n, b.zext(small, self.ints))
        e = b.sitofp(n, self.type)
        y = b.fsub(b.fadd(m, b.select(small, m, self.number(0.0))), self.number(1.0))
        square = b.fmul(y, y)
        sum_ = b.fmul(b.fmul(self.polynomial(y, LOG), square), y)
        sum_ = self.fma(e, self.number(-LESS), sum_)
        sum_ = self.fma(square, self.number(-0.5), sum_)
        found = self.fma(e, self.number(LN2), b.fadd(y, sum_))
        infinite, none = float("inf"), self.number(0.0)
        found = b.select(b.fcmp_ordered("==", x, self.number(infinite)), x, found)
        found = b.select(b.fcmp_ordered("==", x, none), self.number(-infinite), found)
        wrong = b.fcmp_unordered("<", x, none)  # NaN too
        return b.select(wrong, self.number(float("nan")), found)

    def log1p(self, x: Any) -> Any:
        """Return log(1 + x), with what the sum has lost put back."""
        b, one = self.build, self.number(1.0)
        u = b.fadd(x, one)
        lost = b.fdiv(x, b.fsub(u, one))
        found = b.fmul(self.log(u), lost)
        found = b.select(b.fcmp_ordered("==", u, one), x, found)
        return b.select(b.fcmp_ordered("==", u, self.number(float("inf"))), u, found)

    def expm1(self, x: Any) -> Any:
        """Return e^x - 1: near 0 as 2 t / (1 - t), t = tanh(x / 2)."""
        b, one = self.build, self.number(1.0)
        t = self.tanh(b.fmul(x, self.number(0.5)))
        near = b.fdiv(b.fadd(t, t), b.fsub(one, t))
        small = b.fcmp_ordered("<", self.call("fabs", x), self.number(0.5))
        return b.select(small, near, b.fsub(self.exp(x), one))

    def logistic(self, x: Any) -> Any:
        """Return 1 / (1 + e^-x)."""
        b, one = self.build, self.number(1.0)
        y = self.clipped(x, -88.0, 87.0)  # e^-y and 2^n are floats
        raised = self.fma(y, self.number(-LOG2E), self.number(ROUND))
        n = b.fsub(raised, self.number(ROUND))
        y = self.fma(n, self.number(LN2), y)  # less what 2^n makes of it
        y = self.fma(n, self.number(-LESS), y)
        turned = [each * (-1) ** (len(EXP) - 1 - i) for i, each in enumerate(EXP)]
        value = self.fma(self.polynomial(y, turned), b.fmul(y, y), b.fsub(one, y))
        power = b.shl(b.bitcast(raised, self.ints), self.whole(23))
        power = b.bitcast(b.add(power, self.whole(0x3F800000)), self.type)
        return b.fdiv(one, self.fma(value, power, one))

    def integer_power(self, x: Any, y: int) -> Any:
        """Return x to a whole power, by squaring."""
        total, square, n = self.number(1.0), x, abs(y)
        while n:
            total = self.build.fmul(total, square) if n & 1 else total
            square, n = self.build.fmul(square, square), n >> 1
        return total if y >= 0 else self.build.fdiv(self.number(1.0), total)

    def sign(self, x: Any) -> Any:
        """Return -1, 0 or 1; x itself where it is 0 or NaN."""
        b, none = self.build, self.number(0.0)
        above = b.select(b.fcmp_ordered(">", x, none), self.number(1.0), x)
        return b.select(b.fcmp_ordered("<", x, none), self.number(-1.0), above)


def called(build: ir.IRBuilder, name: str, returned: Any, *operands: Any) -> Any:
    """Call a function that LLVM or the C library has."""
    kind = ir.FunctionType(returned, [each.type for each in operands])
    known = build.module.globals.get(name) or ir.Function(build.module, kind, name)
    return build.call(known, operands)


Rule = Callable[..., Any]
FUSE = ("contract",)  # a product and a sum may be rounded once
PLAIN: dict[str, Rule] = {
    "abs": lambda v, x: v.call("fabs", x),
    "add": lambda v, x, y: v.build.fadd(x, y, flags=FUSE),
    "add_any": lambda v, x, y: v.build.fadd(x, y, flags=FUSE),
    "and": lambda v, x, y: v.build.and_(x, y),
    "div": lambda v, x, y: v.build.fdiv(x, y),
    "eq": lambda v, x, y: v.test("==", x, y),
    "exp": Vectors.exp,
    "expm1": Vectors.expm1,
    "floor": lambda v, x: v.call("floor", x),
    "ge": lambda v, x, y: v.test(">=", x, y),
    "gt": lambda v, x, y: v.test(">", x, y),
    "le": lambda v, x, y: v.test("<=", x, y),
    "log": Vectors.log,
    "log1p": Vectors.log1p,
    "logistic": Vectors.logistic,
    "lt": lambda v, x, y: v.test("<", x, y),
    "max": Vectors.most,
    "min": Vectors.least,
    "mul": lambda v, x, y: v.build.fmul(x, y, flags=FUSE),
    "ne": lambda v, x, y: v.test("!=", x, y),
    "neg": lambda v, x: v.build.fneg(x),
    "not": lambda v, x: v.build.not_(x),
    "one_minus_square": lambda v, x: v.fma(v.build.fneg(x), x, v.number(1.0)),
    "or": lambda v, x, y: v.build.or_(x, y),
    "rsqrt": lambda v, x: v.build.fdiv(v.number(1.0), v.call("sqrt", x)),
    "select_n": lambda v, which, no, yes: v.build.select(which, yes, no),
    "sign": Vectors.sign,
    "sqrt": lambda v, x: v.call("sqrt", x),
    "square": lambda v, x: v.build.fmul(x, x),
    "sub": lambda v, x, y: v.build.fsub(x, y, flags=FUSE),
    "tanh": Vectors.tanh,
}


def refusal(equation: Any) -> str | None:
    """Return what stands in the way of an equation, None where it can be written."""
    return forms.refusal(equation, PLAIN, "has no vector form here")


def written(vectors: Vectors, equation: Any, values: list[Any]) -> Any:
    """Write one equation; return its value."""
    name = equation.primitive.name
    if name in forms.SAME:
        return values[0]
    if name == "integer_pow":
        return vectors.integer_power(values[0], equation.params["y"])
    if name == "convert_element_type":
        return converted(vectors, values[0], equation.outvars[0].aval.dtype == bool)
    return PLAIN[name](vectors, *values)


def converted(vectors: Vectors, value: Any, choice: bool) -> Any:
    """Return a number as a choice, or a choice as a number."""
    if choice == (value.type == vectors.bits):
        return value
    if choice:
        return vectors.build.fcmp_unordered("!=", value, vectors.number(0.0))
    return vectors.build.select(value, vectors.number(1.0), vectors.number(0.0))
