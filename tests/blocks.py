"""Packed weights cut into a matrix a block, named as in the papers, and random ones."""

import jax
import numpy as np
import references

from lstm_research.cell import Cell, Weights


def letter(name: str) -> str:
    """Return the papers' name of a block: the candidate g is their z."""
    return {"g": "z"}.get(name, name)


def cut(cell: Cell, weights: Weights, hidden: int, kind: str = "") -> dict[str, np.ndarray]:
    """Return {"W_i": (hidden, features), "R_i": (hidden, hidden), "b_i": (hidden,), "p_i": ...}.

    A kind whose weights are laid out in its own way cuts them in `references.CUTS`.
    """
    if kind in references.CUTS:
        return references.CUTS[kind](weights, hidden)
    m, at = {}, 0
    for stage, r in zip(cell.stages, weights.r, strict=True):
        for name in stage.both + stage.driven:
            m[f"W_{letter(name)}"] = np.asarray(weights.w[:, at : at + hidden]).T
            if weights.b is not None:
                m[f"b_{letter(name)}"] = np.asarray(weights.b[at : at + hidden])
            at += hidden
        if r is None:
            continue
        for column, name in enumerate(stage.both + stage.recurred):
            part = np.asarray(r[:, column * hidden : (column + 1) * hidden])
            if len(part) == hidden:
                m[f"R_{letter(name)}"] = part.T
                continue
            for row, source in enumerate("ifo"):
                m[f"R_{source}{name}"] = part[row * hidden : (row + 1) * hidden].T
    assert at == weights.w.shape[1]
    vectors = {("b_hz" if name == "b_hg" else name): np.asarray(p) for name, p in weights.p.items()}
    return m | vectors


def random_weights(
    cell: Cell, features: int, hidden: int, seed: int = 0, dtype=np.float64
) -> Weights:
    """Return weights of the right shapes, every number alive: peepholes and biases too.

    The row is positive, for it may hold variances.
    """
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(lambda key: cell.init(key, features, hidden), jax.random.key(0))
    drawn = jax.tree.map(lambda leaf: rng.uniform(-0.8, 0.8, leaf.shape).astype(dtype), shapes)
    return drawn._replace(row=jax.tree.map(np.abs, drawn.row))


def random_carry(cell: Cell, batch: tuple[int, ...], hidden: int, seed: int = 1, dtype=np.float64):
    """Return a carry that is not the start."""
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(lambda: cell.start(batch, hidden))
    return jax.tree.map(lambda leaf: rng.uniform(-0.9, 0.9, leaf.shape).astype(dtype), shapes)
