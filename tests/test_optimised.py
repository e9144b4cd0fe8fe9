"""What XLA makes of a training step: one product in each loop, and no gradient of a matrix carried."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lstm_research import catalogue
from lstm_research.cells import CELLS
from lstm_research.engines import unroll

T, B, D, H = 7, 3, 5, 11  # sizes that no other product of them equals


def computations(text: str) -> dict[str, str]:
    """Return the body of every computation of an HLO module by name."""
    found = re.findall(r"^(?:ENTRY )?%?([\w.\-]+) \(.*?\{\n(.*?)^\}", text, re.M | re.S)
    return dict(found)


def products(name: str, all: dict[str, str]) -> int:
    """Return how many matrix products a computation holds, those inside its fusions too."""
    inside = re.findall(r"calls=%?([\w.\-]+)", all[name])
    return len(re.findall(r" dot\(", all[name])) + sum(products(each, all) for each in inside)


def carried(body: str) -> list[str]:
    """Return the shapes of what a loop changes from step to step, leaving out what it hands through."""
    shapes = re.findall(
        r"([a-z0-9]+\[[\d,]*\])(?:\{[\d,]*\})?", re.search(r"ROOT .*? = \((.*?)\) tuple\(", body)[1]
    )
    names = re.findall(r"%([\w.\-]+)", re.search(r"ROOT .*? tuple\((.*?)\)", body)[1])
    through = dict(re.findall(r"%([\w.\-]+) = .*? get-tuple-element\(.*?\), index=(\d+)", body))
    assert len(shapes) == len(names)
    return [
        s for at, (s, n) in enumerate(zip(shapes, names, strict=True)) if through.get(n) != str(at)
    ]


def loops(name: str, engine: str) -> list[tuple[int, list[str]]]:
    """Return (products, what changes) for every loop of the gradient of a cell."""
    cell = catalogue.spec(CELLS, "cell", name, {}).build()
    weights = cell.init(jax.random.key(0), D, H)

    def loss(weights, x):
        return jnp.mean(unroll(cell, weights, cell.start((B,), H), x, engine=engine)[1] ** 2)

    text = (
        jax.jit(jax.grad(loss)).lower(weights, np.ones((T, B, D), np.float32)).compile().as_text()
    )
    every = computations(text)
    bodies = re.findall(r" while\(.*?body=%?([\w.\-]+)", text)
    return [(products(body, every), carried(every[body])) for body in bodies]


def weight_shaped(shapes: list[str]) -> list[str]:
    """Return those as large as a recurrent matrix or a stack of its blocks."""
    return [s for s in shapes if re.fullmatch(rf"f32\[(?:{H},\d*{H}|\d+,{H}|{H},\d+)\]", s)
            and s not in (f"f32[{B},{H}]", f"f32[{H},{B}]")]  # fmt: skip


@pytest.mark.parametrize("name", ["lstm", "peephole", "cifg", "gru"])
def test_each_loop_holds_one_product_and_carries_no_matrix(name):
    found = loops(name, "fused")
    assert [count for count, _ in found] == [1, 1]
    assert not [weight_shaped(shapes) for _, shapes in found if weight_shaped(shapes)]


def test_autodiff_of_the_scan_carries_the_gradient_of_the_matrix():
    """What the test above looks for is there where it should be."""
    assert any(weight_shaped(shapes) for _, shapes in loops("lstm", "scan"))
