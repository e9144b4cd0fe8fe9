"""What each primitive of JAX is in ONNX: a rule takes (graph, equation, names of its inputs) and
returns the names of its outputs. Those that compute are here, those that only move in `onnx_shapes`.
"""

import string
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from lstm_research.interop import onnx_shapes
from lstm_research.interop.onnx_graph import Graph, NotExported, package
from lstm_research.interop.onnx_shapes import Rule

SAME = {
    "add": "Add", "add_any": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "neg": "Neg",
    "max": "Max", "min": "Min", "pow": "Pow", "tanh": "Tanh", "logistic": "Sigmoid", "exp": "Exp",
    "log": "Log", "sqrt": "Sqrt", "abs": "Abs", "sign": "Sign", "floor": "Floor", "ceil": "Ceil",
    "sin": "Sin", "cos": "Cos", "tan": "Tan", "sinh": "Sinh", "cosh": "Cosh", "atan": "Atan",
    "atanh": "Atanh", "asinh": "Asinh", "erf": "Erf", "lt": "Less", "le": "LessOrEqual",
    "gt": "Greater", "ge": "GreaterOrEqual", "eq": "Equal", "copy": "Identity",
    "copy_p": "Identity", "reduce_precision": "Identity", "stop_gradient": "Identity",
}  # fmt: skip
LOGIC = {"and": "And", "or": "Or", "not": "Not", "xor": "Xor"}
REDUCE = {
    "reduce_sum": "ReduceSum",
    "reduce_max": "ReduceMax",
    "reduce_min": "ReduceMin",
    "reduce_prod": "ReduceProd",
}


def dtype(eqn: Any) -> Any:
    """Return the element type of the first output."""
    return eqn.outvars[0].aval.dtype


def one(graph: Graph, eqn: Any, like: float) -> str:
    """Return a scalar of the element type of the first output."""
    return graph.constant(like, dtype(eqn))


def same(op: str, graph: Graph, eqn: Any, names: Sequence[str]) -> list[str]:
    """Write the operator that means the same."""
    return graph.node(op, *names)


def logic(op: str, graph: Graph, eqn: Any, names: Sequence[str]) -> list[str]:
    """Write a logical operator."""
    if dtype(eqn) != np.bool_:
        raise NotExported(f"{eqn.primitive.name} on bits of {dtype(eqn)}")
    return graph.node(op, *names)


def barrier(graph: Graph, eqn: Any, names: Sequence[str]) -> Sequence[str]:
    """Write nothing: an ONNX runtime orders its own work."""
    return names


def ne(graph: Graph, eqn: Any, names: Sequence[str]) -> list[str]:
    return graph.node("Not", graph.one("Equal", *names))


def square(graph: Graph, eqn: Any, names: Sequence[str]) -> list[str]:
    return graph.node("Mul", names[0], names[0])


def rsqrt(graph: Graph, eqn: Any, names: Sequence[str]) -> list[str]:
    return graph.node("Reciprocal", graph.one("Sqrt", *names))


def integer_pow(graph: Graph, eqn: Any, names: Sequence[str]) -> list[str]:
    if eqn.params["y"] == 2:
        return square(graph, eqn, names)
    return graph.node("Pow", names[0], one(graph, eqn, eqn.params["y"]))


def exp2(graph: Graph, eqn: Any, names: Sequence[str]) -> list[str]:
    return graph.node("Pow", one(graph, eqn, 2), *names)


def log1p(graph: Graph, eqn: Any, names: Sequence[str]) -> list[str]:
    """Write log(u) x / (u - 1) with u the rounded 1 + x, exact where x is small; x where u is 1."""
    (x,), unit = names, one(graph, eqn, 1)
    u = graph.one("Add", x, unit)
    still = graph.one("Equal", u, unit)
    apart = graph.one("Where", still, unit, graph.one("Sub", u, unit))
    return graph.node(
        "Where", still, x, graph.one("Div", graph.one("Mul", graph.one("Log", u), x), apart)
    )


def expm1(graph: Graph, eqn: Any, names: Sequence[str]) -> list[str]:
    """Write tanh(x / 2) (exp(x) + 1), exact where x is small."""
    (x,) = names
    half = graph.one("Tanh", graph.one("Mul", x, one(graph, eqn, 0.5)))
    return graph.node("Mul", half, graph.one("Add", graph.one("Exp", x), one(graph, eqn, 1)))


def is_finite(graph: Graph, eqn: Any, names: Sequence[str]) -> list[str]:
    strange = graph.one("Or", graph.one("IsInf", *names), graph.one("IsNaN", *names))
    return graph.node("Not", strange)


def rem(graph: Graph, eqn: Any, names: Sequence[str]) -> list[str]:
    return graph.node("Mod", *names, fmod=1)


def nearest(graph: Graph, eqn: Any, names: Sequence[str]) -> list[str]:
    if int(eqn.params["rounding_method"]) != 1:
        raise NotExported("round of halves away from zero; ONNX rounds them to even")
    return graph.node("Round", *names)


def clamp(graph: Graph, eqn: Any, names: Sequence[str]) -> list[str]:
    low, x, high = names
    return graph.node("Min", graph.one("Max", x, low), high)


def select(graph: Graph, eqn: Any, names: Sequence[str]) -> list[str]:
    if len(names) != 3 or eqn.invars[0].aval.dtype != np.bool_:
        raise NotExported("select_n among more than two")
    which, no, yes = names
    return graph.node("Where", which, yes, no)


def convert(graph: Graph, eqn: Any, names: Sequence[str]) -> Sequence[str]:
    if eqn.invars[0].aval.dtype == dtype(eqn):
        return names
    kind = package().helper.np_dtype_to_tensor_dtype(np.dtype(dtype(eqn)))
    return graph.node("Cast", *names, to=kind)


def reduce(op: str, graph: Graph, eqn: Any, names: Sequence[str]) -> list[str]:
    """Write a reduction; without axes ONNX would reduce them all."""
    if not eqn.params["axes"]:
        return list(names)
    return graph.node(op, *names, graph.integers(*eqn.params["axes"]), keepdims=0)


def quantified(op: str, graph: Graph, eqn: Any, names: Sequence[str]) -> list[str]:
    """Write an all or an any: the least or the greatest of zeros and ones."""
    tensor = package().TensorProto
    numbers = graph.one("Cast", *names, to=tensor.INT32)
    return graph.node("Cast", *reduce(op, graph, eqn, [numbers]), to=tensor.BOOL)


def cumsum(graph: Graph, eqn: Any, names: Sequence[str]) -> list[str]:
    axis = graph.constant(eqn.params["axis"], np.int64)
    return graph.node("CumSum", *names, axis, reverse=int(eqn.params["reverse"]))


def dot_general(graph: Graph, eqn: Any, names: Sequence[str]) -> list[str]:
    """Write a MatMul where the second operand is a plain matrix, else an Einsum."""
    (left, right), (left_batch, right_batch) = eqn.params["dimension_numbers"]
    ranks = [len(var.aval.shape) for var in eqn.invars]
    if not left_batch and ranks[1] == 2 and (tuple(left), tuple(right)) == ((ranks[0] - 1,), (0,)):
        return graph.node("MatMul", *names)
    letters = iter(string.ascii_lowercase)
    one, two = [""] * ranks[0], [""] * ranks[1]
    for a, b in (*zip(left_batch, right_batch, strict=True), *zip(left, right, strict=True)):
        one[a] = two[b] = next(letters)
    one, two = ([each or next(letters) for each in part] for part in (one, two))
    batch = [one[a] for a in left_batch]
    alone = [each for each in one if each not in two] + [each for each in two if each not in one]
    equation = f"{''.join(one)},{''.join(two)}->{''.join(batch + alone)}"
    return graph.node("Einsum", *names, equation=equation)


RULES: dict[str, Rule] = {
    **onnx_shapes.RULES,
    **{name: partial(same, op) for name, op in SAME.items()},
    **{name: partial(logic, op) for name, op in LOGIC.items()},
    **{name: partial(reduce, op) for name, op in REDUCE.items()},
    "reduce_and": partial(quantified, "ReduceMin"),
    "reduce_or": partial(quantified, "ReduceMax"),
    "optimization_barrier": barrier, "ne": ne, "square": square, "rsqrt": rsqrt,
    "integer_pow": integer_pow, "exp2": exp2, "log1p": log1p, "expm1": expm1,
    "is_finite": is_finite, "rem": rem, "round": nearest, "clamp": clamp, "select_n": select,
    "convert_element_type": convert, "cumsum": cumsum, "dot_general": dot_general,
}  # fmt: skip
