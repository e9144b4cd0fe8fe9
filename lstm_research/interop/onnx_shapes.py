"""What the primitives of JAX that move numbers and compute none are in ONNX.

Shapes are left to the runtime where ONNX finds them itself (-1 in a Reshape, 1 in an Expand), so that
batch and time stay free.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lstm_research.interop.onnx_graph import Graph, NotExported, package

Rule = Callable[[Graph, Any, Sequence[str]], Sequence[str]]


def fixed(dim: Any) -> bool:
    """Return whether a size is a number and not a symbol."""
    return isinstance(dim, (int, np.integer))


def transpose(graph: Graph, eqn: Any, names: Sequence[str]) -> list[str]:
    return graph.node("Transpose", *names, perm=list(eqn.params["permutation"]))


def squeeze(graph: Graph, eqn: Any, names: Sequence[str]) -> list[str]:
    return graph.node("Squeeze", *names, graph.integers(*eqn.params["dimensions"]))


def reshape(graph: Graph, eqn: Any, names: Sequence[str]) -> list[str]:
    sizes = eqn.params["new_sizes"]
    if sum(not fixed(size) for size in sizes) == 1:
        sizes = [size if fixed(size) else -1 for size in sizes]
    return graph.node("Reshape", *names, graph.shape(sizes))


def broadcast(graph: Graph, eqn: Any, names: Sequence[str]) -> list[str]:
    """Write Unsqueeze and Expand, each where it does something."""
    (x, *_), target = names, eqn.params["shape"]
    places = eqn.params["broadcast_dimensions"]
    held = dict(zip(places, eqn.invars[0].aval.shape, strict=True))
    new = [k for k in range(len(target)) if k not in held]
    if new and held:
        x = graph.one("Unsqueeze", x, graph.integers(*new))
    is_one = lambda size: fixed(size) and size == 1
    grown = [1 if not is_one(held.get(k, 1)) else size for k, size in enumerate(target)]
    if held and all(is_one(size) for size in grown):
        return [x]
    return graph.node("Expand", x, graph.shape(grown))


def iota(graph: Graph, eqn: Any, names: Sequence[str]) -> list[str]:
    shape, axis = eqn.params["shape"], eqn.params["dimension"]
    scalar = graph.one("Squeeze", graph.size(shape[axis]))
    zero, step = graph.constant(0, np.int64), graph.constant(1, np.int64)
    kind = package().helper.np_dtype_to_tensor_dtype(np.dtype(eqn.params["dtype"]))
    row = graph.one("Cast", graph.one("Range", zero, scalar, step), to=kind)
    if len(shape) == 1:
        return [row]
    row = graph.one(
        "Reshape", row, graph.integers(*(-1 if k == axis else 1 for k in range(len(shape))))
    )
    return graph.node("Expand", row, graph.shape(shape))


def concatenate(graph: Graph, eqn: Any, names: Sequence[str]) -> list[str]:
    return graph.node("Concat", *names, axis=eqn.params["dimension"])


def stack(graph: Graph, eqn: Any, names: Sequence[str]) -> list[str]:
    axis = eqn.params["axis"]
    parts = [graph.one("Unsqueeze", name, graph.integers(axis)) for name in names]
    return graph.node("Concat", *parts, axis=axis)


def unstack(graph: Graph, eqn: Any, names: Sequence[str]) -> list[str]:
    axis, count = eqn.params["axis"], len(eqn.outvars)
    parts = graph.node("Split", *names, graph.integers(*[1] * count), outputs=count, axis=axis)
    return [graph.one("Squeeze", part, graph.integers(axis)) for part in parts]


def split(graph: Graph, eqn: Any, names: Sequence[str]) -> list[str]:
    sizes, axis = eqn.params["sizes"], eqn.params["axis"]
    return graph.node("Split", *names, graph.shape(sizes), outputs=len(sizes), axis=axis)


def cut(graph: Graph, eqn: Any, names: Sequence[str]) -> list[str]:
    """Write a Slice of fixed bounds."""
    starts, ends = eqn.params["start_indices"], eqn.params["limit_indices"]
    steps = eqn.params["strides"] or (1,) * len(starts)
    axes = graph.integers(*range(len(starts)))
    bounds = (graph.shape(starts), graph.shape(ends), axes, graph.shape(steps))
    return graph.node("Slice", *names, *bounds)


def rev(graph: Graph, eqn: Any, names: Sequence[str]) -> list[str]:
    axes = eqn.params["dimensions"]
    first, beyond, back = ([v] * len(axes) for v in (-1, np.iinfo(np.int64).min, -1))
    bounds = (graph.integers(*part) for part in (first, beyond, axes, back))
    return graph.node("Slice", *names, *bounds)


def pad(graph: Graph, eqn: Any, names: Sequence[str]) -> list[str]:
    low, high, inside = zip(*eqn.params["padding_config"], strict=True)
    if any(inside):
        raise NotExported("pad between elements")
    x, value = names
    return graph.node("Pad", x, graph.shape((*low, *high)), value)


def gather(graph: Graph, eqn: Any, names: Sequence[str]) -> list[str]:
    """Write a look-up of whole rows along one axis; an index out of range is an error there."""
    if len(eqn.invars[1].aval.shape) == 1:
        return window(graph, eqn, names)
    numbers, shape = eqn.params["dimension_numbers"], eqn.invars[0].aval.shape
    (axis, *others), free = numbers.start_index_map, len(eqn.invars[1].aval.shape) - 1
    rows = tuple(1 if k == axis else size for k, size in enumerate(shape))
    kept = tuple(k if k < axis else k + free - 1 for k in range(len(shape)) if k != axis)
    alone = not others and tuple(numbers.collapsed_slice_dims) == (axis,)
    if not alone or tuple(eqn.params["slice_sizes"]) != rows or tuple(numbers.offset_dims) != kept:
        raise NotExported("gather of anything but whole rows along one axis")
    index = graph.one("Squeeze", names[1], graph.integers(-1))
    return graph.node("Gather", names[0], index, axis=axis)


def window(graph: Graph, eqn: Any, names: Sequence[str]) -> list[str]:
    """Write a gather at one place: a Slice. That is how JAX indexes arrays whose size is a symbol."""
    numbers, sizes = eqn.params["dimension_numbers"], eqn.params["slice_sizes"]
    axes, gone = numbers.start_index_map, numbers.collapsed_slice_dims
    full = eqn.invars[0].aval.shape
    if any(sizes[k] != full[k] for k in range(len(full)) if k not in axes):
        raise NotExported("gather of a window that is narrow where it has no index")
    x, index = names
    kind = package().TensorProto.INT64
    starts = graph.one("Cast", index, to=kind)
    ends = graph.one("Add", starts, graph.shape([sizes[k] for k in axes]))
    part = graph.one("Slice", x, starts, ends, graph.integers(*axes))
    return [graph.one("Squeeze", part, graph.integers(*gone))] if gone else [part]


def dim_as_value(graph: Graph, eqn: Any, names: Sequence[str]) -> list[str]:
    kind = package().helper.np_dtype_to_tensor_dtype(np.dtype(eqn.outvars[0].aval.dtype))
    scalar = graph.one("Squeeze", graph.size(eqn.params["dim"]))
    return graph.node("Cast", scalar, to=kind)


RULES: dict[str, Rule] = {
    "transpose": transpose, "squeeze": squeeze, "reshape": reshape, "broadcast_in_dim": broadcast,
    "iota": iota, "concatenate": concatenate, "stack": stack, "unstack": unstack, "split": split,
    "slice": cut, "rev": rev, "pad": pad, "gather": gather, "dim_as_value": dim_as_value,
}  # fmt: skip
