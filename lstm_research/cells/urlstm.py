"""UR-LSTM: a forget gate refined by a second one, and gates that start uniformly spread."""

import dataclasses
from functools import cache, partial
from typing import Literal, cast

import jax.numpy as jnp

from lstm_research import initial
from lstm_research.activation import activate, once
from lstm_research.axes import Array, Seed
from lstm_research.cell import (
    Carry,
    Cell,
    Pre,
    Stage,
    Weights,
    emit_hidden,
    read_hidden,
    start_carry,
)


@dataclasses.dataclass(frozen=True)
class UrLstm:
    """The LSTM with a refine gate and uniform gate initialisation (UR-LSTM).

    ::

        f = s(x W_f + h R_f + b_f)              r = s(x W_r + h R_r + b_r)
        g = tanh(x W_g + h R_g + b_g)           o = s(x W_o + h R_o + b_o)
        k = r (1 - (1 - f)^2) + (1 - r) f^2     = f + f (1 - f) (2 r - 1)
        c' = k c + (1 - k) g                    h' = o tanh(c')

    k is the paper's effective gate g; r moves it between f^2 and 1 - (1 - f)^2. At the start b_f =
    logit U(1/H, 1 - 1/H), or forget_bias, and b_r is minus the same draw. Parameters: 4HD + 4H^2 +
    4H. Source: Gu et al. 2020 (arXiv:1910.09890); the paper was not read: k as in the code of its
    first author, b_r and the input share 1 - k as in two other implementations that agree.
    Departure: -b_f is where b_r starts and not a fixed term beside it, which is the same function
    and, but for weight decay, the same training, without a vector that is never trained.
    """

    kind: Literal["urlstm"] = "urlstm"
    uniform_gates: bool = True
    kernel: initial.Start = "lecun"
    recurrent: initial.Start = "orthogonal"
    bias: initial.BiasStart = "zeros"
    forget_bias: float | None = None  # None: 1 where gates do not start uniform

    def __post_init__(self) -> None:
        if not self.uniform_gates:
            if self.forget_bias is None:
                object.__setattr__(self, "forget_bias", 1.0)
        elif self.forget_bias is not None:
            raise ValueError(
                f"forget_bias={self.forget_bias} and uniform_gates=True both set the bias of the "
                "forget gate; choose one"
            )

    @cache  # noqa: B019 (equal specs are one cell, and there are few)
    def build(self) -> Cell:
        """Return the cell."""
        stages = (Stage("frgo", "", "", read_hidden),)
        return Cell(partial(init, self), start_carry, stages, update, emit_hidden, gates=gates)


def init(spec: UrLstm, key: Seed, features: int, hidden: int) -> Weights:
    """Draw the blocks f r g o."""
    w = initial.blocks(spec.kernel, key, "w_", "frgo", (features, hidden))
    r = initial.blocks(spec.recurrent, key, "r_", "frgo", (hidden, hidden))
    starts = spec.forget_bias, None, spec.uniform_gates
    hold = initial.hold_bias(initial.fold(key, "hold"), hidden, *starts)
    b = initial.biases(spec.bias, key, "frgo", hidden, f=hold, r=-hold)
    matrices = (jnp.concatenate(r, -1),)
    return Weights(jnp.concatenate(w, -1), jnp.concatenate([*b.values()]), matrices, {})


def gates(weights: Weights, z: tuple[Pre, ...], carry: Carry) -> dict[str, Array]:
    """Return k as f, since k is what keeps, i = 1 - k, r, g and o."""
    now = activate("frgo", cast(Array, z[0].both))  # the one stage has blocks in `both`
    f = now["f"]
    k = f + f * (1.0 - f) * (2.0 * now["r"] - 1.0)
    return now | {"f": k, "i": 1.0 - k}


def update(weights: Weights, z: tuple[Pre, ...], carry: Carry) -> Carry:
    """Apply the equations of `UrLstm`."""
    now = gates(weights, z, carry)
    c = once(now["f"] * carry.c + now["i"] * now["g"])
    return Carry(c, now["o"] * jnp.tanh(c))
