"""The weights of a cell as other libraries cut them: one block a gate, in letters that all share.

::

    letters   i f g o r h, as in the package; h is the block of an RNN, or an LSTM's projection
    LSTM      the same rule everywhere
    GRU       h' = (1 - z) g + z h: their z keeps, our i overwrites, so z = 1 - i and
              W_z = -W_i, R_z = -R_i, b_z = -b_i, which loses no digit
    biases    where a library has two, the input's and the recurrence's, they add up; but those of
              a GRU's candidate, for the reset gate stands between: b_g and b_hg
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from lstm_research.cell import Cell, Weights
from lstm_research.cells.elman import Elman
from lstm_research.cells.gru_before import GruBefore
from lstm_research.cells.lstmp import Lstmp
from lstm_research.gated import GateSpec

LSTM = GateSpec()
GRU = GateSpec(
    coupled=True, output_gate=False, reset_gate=True, reset_bias=True, squash_output=False
)
GRU_UNBIASED = dataclasses.replace(GRU, reset_bias=False)  # no b_hg
GRU_BEFORE = GruBefore()
RNN = {name: Elman(activation=name) for name in ("tanh", "relu", "identity")}
RULES = {"lstm": (LSTM,), "gru": (GRU, GRU_UNBIASED), "gru_before": (GRU_BEFORE,)}
RULES |= {"rnn": tuple(RNN.values()), "lstmp": (Lstmp(),)}
FREE = ("kernel", "recurrent", "bias", "forget_bias", "chrono", "uniform_gates", "projection")


class Foreign(ValueError):
    """Weights or a cell that have no counterpart on the other side; the message says what has."""


class Block(NamedTuple):
    """The weights of one gate or candidate; `inner` is its bias inside the reset product."""

    w: Any  # features hidden; None: the input does not drive it
    r: Any  # read hidden
    b: Any  # hidden
    inner: np.ndarray | None = None  # hidden


Blocks = dict[str, Block]


def rule(spec: Any, known: tuple[str, ...], side: str) -> str:
    """Return the name of a cell's rule in `RULES`, whatever its start and its width.

    Raises Foreign where the rule is none of those that the other side knows.
    """
    for name in known:
        for each in RULES[name]:
            same = {field: getattr(each, field) for field in FREE if hasattr(each, field)}
            if type(spec) is type(each) and dataclasses.replace(spec, **same) == each:
                return name
    raise Foreign(f"{side} has no such cell: {spec}. It has {', '.join(known)}.")


def blocks(cell: Cell, weights: Weights) -> Blocks:
    """Return the blocks of packed weights, those of a GRU with z for i."""
    w, b = np.asarray(weights.w), np.asarray(weights.b)
    drives = "".join(stage.both + stage.driven for stage in cell.stages)
    ws, bs = parts(drives, w), parts(drives, b)
    rs: dict[str, np.ndarray] = {}
    for stage, r in zip(cell.stages, weights.r, strict=True):
        rs |= parts(stage.both + stage.recurred, np.asarray(r))
    made = {name: Block(ws.get(name), r, bs.get(name)) for name, r in rs.items()}
    if "r" in made:
        inner = weights.p.get("b_hg")
        made["g"] = made["g"]._replace(inner=None if inner is None else np.asarray(inner))
    return turned(made)


def packed(cell: Cell, made: Mapping[str, Block]) -> Weights:
    """Return the packed weights of blocks; the inverse of `blocks`."""
    made = turned(made)
    drives = "".join(stage.both + stage.driven for stage in cell.stages)
    w, b = (fused(drives, made, field) for field in "wb")
    r = tuple(fused(stage.both + stage.recurred, made, "r") for stage in cell.stages)
    inner = made["g"].inner if "g" in made else None
    p = {} if inner is None else {"b_hg": jnp.asarray(inner)}
    return Weights(jnp.asarray(w), jnp.asarray(b), tuple(map(jnp.asarray, r)), p)


def turned(made: Mapping[str, Block]) -> Blocks:
    """Turn the update gate of a GRU from i to z, or from z to i; other blocks stay."""
    if "r" not in made:
        return dict(made)
    i = made["i"]
    return {**made, "i": Block(-i.w, -i.r, -i.b)}


def parts(order: str, array: np.ndarray) -> dict[str, np.ndarray]:
    """Return what a library holds side by side on the last axis, by letter."""
    return dict(zip(order, np.split(array, len(order), axis=-1), strict=True))


def fused(order: str, made: Mapping[str, Block], field: str) -> np.ndarray:
    """Return the `w`, `r` or `b` of blocks side by side on the last axis."""
    return np.concatenate([getattr(made[name], field) for name in order], -1)


def double(order: str, made: Mapping[str, Block]) -> tuple[np.ndarray, np.ndarray]:
    """Return the biases of input and recurrence: all in the first, but for `inner`."""
    zero = np.zeros_like(made[order[0]].b)
    inner = [zero if (each := made[name].inner) is None else each for name in order]
    return fused(order, made, "b"), np.concatenate(inner)


def joined(
    order: str,
    w: np.ndarray,
    r: np.ndarray,
    b: tuple[np.ndarray, ...] = (),
    inner: bool = False,
) -> Blocks:
    """Return the blocks of fused matrices and of no, one or two biases.

    inner: the candidate of the second bias stays apart, as a GRU that resets after its product needs.
    """
    ws, rs = parts(order, w), parts(order, r)
    zero = np.zeros(w.shape[-1], w.dtype)
    of_input, of_hidden = (parts(order, each) for each in (*b, zero, zero)[:2])
    made = {n: Block(ws[n], rs[n], of_input[n] + of_hidden[n]) for n in order}
    if inner:
        made["g"] = made["g"]._replace(b=of_input["g"], inner=of_hidden["g"])
    return made
