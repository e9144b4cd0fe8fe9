"""An ONNX graph under construction: nodes, constants, and sizes that are known when it runs.

A graph may lie inside another, as the body of a `Scan`. Names are unique across all of them, so that
a body reads what lies outside by name, and a node of a body that reads nothing of it is written
outside, where it runs once and not at every step.
"""

import ast
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

INSTALL = "pip install 'lstm-research[onnx]'"


class NotExported(ValueError):
    """What ONNX cannot hold; the message says why."""


def package() -> Any:
    """Return the package onnx; raise ImportError with the line that installs it."""
    try:
        import onnx
    except ImportError as error:
        raise ImportError(f"the export to ONNX needs the package onnx: {INSTALL}") from error
    return onnx


class Graph:
    """Nodes in the order in which they run; `outer` is the graph that this one lies in."""

    def __init__(self, outer: "Graph | None" = None) -> None:
        self.outer = outer
        self.root: Graph = self if outer is None else outer.root
        self.nodes: list[Any] = []
        self.own: set[str] = set()  # names that this graph defines
        if outer is None:
            self.count = itertools.count()
            self.weights: dict[Any, Any] = {}  # constants by content
            self.known: dict[str, str] = {}  # sizes by expression

    def name(self, hint: str) -> str:
        """Return a name that is new in all graphs, defined in this one."""
        name = f"{hint}_{next(self.root.count)}"
        self.own.add(name)
        return name

    def node(self, op: str, *inputs: str, outputs: int = 1, **attributes: Any) -> list[str]:
        """Write a node as far outside as its inputs allow; return the names of its outputs."""
        if self.outer is not None and self.own.isdisjoint(inputs):
            return self.outer.node(op, *inputs, outputs=outputs, **attributes)
        return self.here(op, inputs, outputs, **attributes)

    def here(
        self, op: str, inputs: Sequence[str], outputs: int = 1, **attributes: Any
    ) -> list[str]:
        """Write a node into this graph."""
        names = [self.name(op.lower()) for _ in range(outputs)]
        self.nodes.append(package().helper.make_node(op, inputs, names, **attributes))
        return names

    def one(self, op: str, *inputs: str, **attributes: Any) -> str:
        """Write a node that has one output; return its name."""
        (name,) = self.node(op, *inputs, **attributes)
        return name

    def constant(self, value: Any, dtype: Any = None) -> str:
        """Return the name of an array; equal arrays share one."""
        root, array = self.root, np.asarray(value, dtype)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in root.weights:
            name = root.name("constant")
            root.weights[key] = package().numpy_helper.from_array(
                np.ascontiguousarray(array).reshape(array.shape), name
            )
        return root.weights[key].name

    def integers(self, *values: int) -> str:
        """Return the name of a vector of int64: axes, starts, shapes."""
        return self.constant(values, np.int64)

    def size(self, dim: Any) -> str:
        """Return the name of a size, a vector of one int64; a symbol is looked up when it runs."""
        if isinstance(dim, (int, np.integer)):
            return self.integers(int(dim))
        text, root = str(dim), self.root
        if text not in root.known:
            root.known[text] = root.arithmetic(ast.parse(text.replace("^", "**"), mode="eval").body)
        return root.known[text]

    def arithmetic(self, tree: ast.expr) -> str:
        """Write an expression of sizes, as JAX spells it."""
        match tree:
            case ast.Constant(value=int(value)):
                return self.integers(value)
            case ast.Name(id=name) if name in self.known:
                return self.known[name]
            case ast.UnaryOp(op=ast.USub(), operand=inner):
                return self.one("Neg", self.arithmetic(inner))
            case ast.BinOp(left=left, op=op, right=right) if type(op) in ARITHMETIC:
                operands = self.arithmetic(left), self.arithmetic(right)
                return self.one(ARITHMETIC[type(op)], *operands)
            case ast.Call(func=ast.Name(id=name), args=[left, right]) if name in FUNCTIONS:
                return self.one(FUNCTIONS[name], self.arithmetic(left), self.arithmetic(right))
        raise NotExported(f"the size {ast.unparse(tree)} cannot be computed in ONNX")

    def shape(self, dims: Sequence[Any]) -> str:
        """Return the name of a shape."""
        if all(isinstance(dim, (int, np.integer)) for dim in dims):
            return self.integers(*(int(dim) for dim in dims))
        return self.one("Concat", *(self.size(dim) for dim in dims), axis=0)


ARITHMETIC: dict[type, str] = {ast.Add: "Add", ast.Sub: "Sub", ast.Mult: "Mul", ast.Pow: "Pow"}
# sizes are not negative, so that Div, which cuts, is a floor
FUNCTIONS = {"floordiv": "Div", "mod": "Mod", "max": "Max", "min": "Min"}


def value_info(name: str, dtype: Any, dims: Sequence[Any]) -> Any:
    """Return the type of an input or output: element type, and sizes or their symbols."""
    helper = package().helper
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    sizes = [int(dim) if isinstance(dim, (int, np.integer)) else str(dim) for dim in dims]
    return helper.make_tensor_value_info(name, kind, sizes)
