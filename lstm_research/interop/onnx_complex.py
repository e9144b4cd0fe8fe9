"""Complex numbers in ONNX, whose operators take none: two real arrays, and the rules that keep them
together.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from lstm_research.interop import onnx_primitives
from lstm_research.interop.onnx_graph import Graph

Pair = tuple[str, str]  # the names of a real and an imaginary part
Value = str | Pair

EACH = (
    "add", "add_any", "sub", "neg", "copy", "copy_p", "optimization_barrier", "reduce_sum",
    "cumsum", "broadcast_in_dim", "reshape", "transpose", "squeeze", "slice", "split", "rev",
    "concatenate", "stack", "unstack", "gather", "select_n",
)  # fmt: skip


def pair(graph: Graph, eqn: Any, names: Sequence[Any]) -> list[Value]:
    """Write nothing: the parts are there."""
    return [(names[0], names[1])]


def part(which: int, graph: Graph, eqn: Any, names: Sequence[Any]) -> list[Value]:
    """Write nothing: take one part."""
    return [names[0][which]]


def conj(graph: Graph, eqn: Any, names: Sequence[Any]) -> list[Value]:
    return [(names[0][0], graph.one("Neg", names[0][1]))]


def mul(graph: Graph, eqn: Any, names: Sequence[Any]) -> list[Value]:
    """Write (a + bi)(c + di) = (ac - bd) + (ad + bc)i."""
    (a, b), (c, d) = names
    product = partial(graph.one, "Mul")
    re = graph.one("Sub", product(a, c), product(b, d))
    return [(re, graph.one("Add", product(a, d), product(b, c)))]


def exp(graph: Graph, eqn: Any, names: Sequence[Any]) -> list[Value]:
    """Write exp(a + bi) = exp(a) (cos b + i sin b)."""
    a, b = names[0]
    size = graph.one("Exp", a)
    return [
        (
            graph.one("Mul", size, graph.one("Cos", b)),
            graph.one("Mul", size, graph.one("Sin", b)),
        )
    ]


def convert(graph: Graph, eqn: Any, names: Sequence[Any]) -> list[Value]:
    """Write a real number as a complex one."""
    name = names[0]
    if not isinstance(name, str):
        return [name]
    return [(name, graph.one("Mul", name, graph.constant(0, eqn.invars[0].aval.dtype)))]


def each(graph: Graph, eqn: Any, names: Sequence[Any]) -> list[Value]:
    """Write a linear operation once a part; real operands, as the choice of a select, serve both."""
    rule = onnx_primitives.RULES[eqn.primitive.name]
    one, two = (
        rule(graph, eqn, [name if isinstance(name, str) else name[k] for name in names])
        for k in (0, 1)
    )
    return list(zip(one, two, strict=True))


RULES: dict[str, Callable[[Graph, Any, Sequence[Any]], list[Value]]] = {
    **dict.fromkeys(EACH, each),
    "complex": pair, "real": partial(part, 0), "imag": partial(part, 1), "conj": conj,
    "mul": mul, "exp": exp, "convert_element_type": convert,
}  # fmt: skip


def has(eqn: Any) -> bool:
    """Return whether an equation reads or makes complex numbers."""
    values = (*eqn.invars, *eqn.outvars)
    return any(np.issubdtype(value.aval.dtype, np.complexfloating) for value in values)


def constant(graph: Graph, array: Any) -> Value:
    """Return the name of an array; of both parts where it is complex."""
    if np.iscomplexobj(array):
        return graph.constant(np.real(array)), graph.constant(np.imag(array))
    return graph.constant(array)
