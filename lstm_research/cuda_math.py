"""Equations as expressions of CUDA C++: those of a cell's update, one number at a time.

Where the operands of products are rounded, tanh and what rests on it are one instruction of the GPU, to
11 bits, finer than the rounding of bfloat16; all else is CUDA's own float32 function.
"""

# JAX leaves its equations untyped:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from typing import Any

import numpy as np

from lstm_research import forms

PLAIN = {
    "abs": "fabsf({})",
    "add": "{} + {}",
    "add_any": "{} + {}",
    "and": "{} & {}",
    "div": "{} / {}",
    "eq": "{} == {}",
    "exp": "expf({})",
    "expm1": "expm1f({})",
    "floor": "floorf({})",
    "ge": "{} >= {}",
    "gt": "{} > {}",
    "le": "{} <= {}",
    "log": "logf({})",
    "log1p": "log1pf({})",
    "logistic": "logistic({})",
    "lt": "{} < {}",
    "max": "most({}, {})",
    "min": "least({}, {})",
    "mul": "{} * {}",
    "ne": "{} != {}",
    "neg": "-{}",
    "not": "!{}",
    "or": "{} | {}",
    "one_minus_square": "fmaf(-{0}, {0}, 1.0f)",
    "rsqrt": "(1.0f / sqrtf({}))",
    "select_n": "({0} ? {2} : {1})",
    "sign": "sign({})",
    "sqrt": "sqrtf({})",
    "square": "{0} * {0}",
    "sub": "{} - {}",
    "tanh": "tanh_of({})",
}


def refusal(equation: Any) -> str | None:
    """Return what stands in the way of an equation, None where it can be written."""
    return forms.refusal(equation, PLAIN, "has no form in CUDA here")


def number(value: Any) -> str:
    """Return a number as C++ has it, rounded to float32; a choice as true or false."""
    if np.asarray(value).dtype == bool:
        return "true" if value else "false"
    single = np.float32(value)
    if np.isnan(single):
        return "__int_as_float(0x7fc00000)"
    if np.isinf(single):
        return f"({'-' if single < 0 else ''}__int_as_float(0x7f800000))"
    return f"{float(single).hex()}f" if single >= 0 else f"({float(single).hex()}f)"


def kind(var: Any) -> str:
    """Return the type of a value."""
    return "bool" if var.aval.dtype == bool else "float"


def written(equation: Any, values: list[str]) -> str:
    """Return the expression of an equation."""
    name = equation.primitive.name
    if name in forms.SAME:
        return values[0]
    if name == "integer_pow":
        return power(values[0], equation.params["y"])
    if name == "convert_element_type":
        choice = equation.outvars[0].aval.dtype == bool, equation.invars[0].aval.dtype == bool
        return converted(values[0], *choice)
    return PLAIN[name].format(*values)


def converted(value: str, choice: bool, chosen: bool) -> str:
    """Return a number as a choice, or a choice as a number; chosen: it is a choice."""
    if choice == chosen:
        return value
    return f"{value} != 0.0f" if choice else f"({value} ? 1.0f : 0.0f)"


def power(x: str, y: int) -> str:
    """Return x to a whole power."""
    product = " * ".join([x] * abs(y)) or "1.0f"
    return product if y >= 0 else f"1.0f / ({product})"
