"""Every named cell again, in float64 NumPy, from the equations of its paper: one step.

A twin is `(m, x, *carry) -> carry`. `m` holds one matrix a block: `W_i` (hidden, features), `R_i`
(hidden, hidden), `b_i`, `p_i`; blocks are i f o r, z is the candidate, R_ab runs from gate a to b.
The carry is (c, h), or (h,), or for full gate recurrence (c, h, [i f o]). Nothing is shared with
the package, and twins share nothing but the sigmoid: a mistake must be made twice to stay unseen.

The families below live beside this file. A module of them holds TWINS by name of the catalogue;
CUTS by kind, `(weights, hidden) -> m`, where the weights are laid out in a way of their own; OUTS by
name, `carry -> h`, where h is neither the second leaf nor the only one.
"""

import numpy as np
import references_linear as linear
import references_long as long
import references_mutants as mutants
import references_units as units
import references_wrapped as wrapped


def s(a):
    """Return the logistic sigmoid."""
    return 1.0 / (1.0 + np.exp(-a))


def elman(m, x, h):
    """Elman 1990."""
    return (np.tanh(m["W_h"] @ x + m["R_h"] @ h + m["b_h"]),)


def lstm(m, x, c, h):
    """NP of Greff et al. 2015, what every library calls LSTM."""
    i = s(m["W_i"] @ x + m["R_i"] @ h + m["b_i"])
    f = s(m["W_f"] @ x + m["R_f"] @ h + m["b_f"])
    o = s(m["W_o"] @ x + m["R_o"] @ h + m["b_o"])
    z = np.tanh(m["W_z"] @ x + m["R_z"] @ h + m["b_z"])
    c = f * c + i * z
    return c, o * np.tanh(c)


def vanilla(m, x, c, h):
    """V of Greff et al. 2015, eq. 1-6: i and f see the old memory, o the new one."""
    z = np.tanh(m["W_z"] @ x + m["R_z"] @ h + m["b_z"])
    i = s(m["W_i"] @ x + m["R_i"] @ h + m["p_i"] * c + m["b_i"])
    f = s(m["W_f"] @ x + m["R_f"] @ h + m["p_f"] * c + m["b_f"])
    c = i * z + f * c
    o = s(m["W_o"] @ x + m["R_o"] @ h + m["p_o"] * c + m["b_o"])
    return c, o * np.tanh(c)


def no_input_gate(m, x, c, h):
    """NIG: i = 1."""
    z = np.tanh(m["W_z"] @ x + m["R_z"] @ h + m["b_z"])
    f = s(m["W_f"] @ x + m["R_f"] @ h + m["p_f"] * c + m["b_f"])
    c = z + f * c
    o = s(m["W_o"] @ x + m["R_o"] @ h + m["p_o"] * c + m["b_o"])
    return c, o * np.tanh(c)


def no_forget_gate(m, x, c, h):
    """NFG: f = 1."""
    z = np.tanh(m["W_z"] @ x + m["R_z"] @ h + m["b_z"])
    i = s(m["W_i"] @ x + m["R_i"] @ h + m["p_i"] * c + m["b_i"])
    c = i * z + c
    o = s(m["W_o"] @ x + m["R_o"] @ h + m["p_o"] * c + m["b_o"])
    return c, o * np.tanh(c)


def no_output_gate(m, x, c, h):
    """NOG: o = 1."""
    z = np.tanh(m["W_z"] @ x + m["R_z"] @ h + m["b_z"])
    i = s(m["W_i"] @ x + m["R_i"] @ h + m["p_i"] * c + m["b_i"])
    f = s(m["W_f"] @ x + m["R_f"] @ h + m["p_f"] * c + m["b_f"])
    c = i * z + f * c
    return c, np.tanh(c)


def no_input_activation(m, x, c, h):
    """NIAF: the block input stays linear."""
    z = m["W_z"] @ x + m["R_z"] @ h + m["b_z"]
    i = s(m["W_i"] @ x + m["R_i"] @ h + m["p_i"] * c + m["b_i"])
    f = s(m["W_f"] @ x + m["R_f"] @ h + m["p_f"] * c + m["b_f"])
    c = i * z + f * c
    o = s(m["W_o"] @ x + m["R_o"] @ h + m["p_o"] * c + m["b_o"])
    return c, o * np.tanh(c)


def no_output_activation(m, x, c, h):
    """NOAF: h = o c."""
    z = np.tanh(m["W_z"] @ x + m["R_z"] @ h + m["b_z"])
    i = s(m["W_i"] @ x + m["R_i"] @ h + m["p_i"] * c + m["b_i"])
    f = s(m["W_f"] @ x + m["R_f"] @ h + m["p_f"] * c + m["b_f"])
    c = i * z + f * c
    o = s(m["W_o"] @ x + m["R_o"] @ h + m["p_o"] * c + m["b_o"])
    return c, o * c


def coupled_peephole(m, x, c, h):
    """CIFG of Greff et al. 2015: f = 1 - i, the peepholes of i and o stay."""
    z = np.tanh(m["W_z"] @ x + m["R_z"] @ h + m["b_z"])
    i = s(m["W_i"] @ x + m["R_i"] @ h + m["p_i"] * c + m["b_i"])
    c = i * z + (1.0 - i) * c
    o = s(m["W_o"] @ x + m["R_o"] @ h + m["p_o"] * c + m["b_o"])
    return c, o * np.tanh(c)


def full_gate_recurrence(m, x, c, h, gates):
    """FGR: all three gates hear all three gates of the step before; even o hears the old ones."""
    i_old, f_old, o_old = np.split(gates, 3)
    z = np.tanh(m["W_z"] @ x + m["R_z"] @ h + m["b_z"])
    i = s(
        m["W_i"] @ x
        + m["R_i"] @ h
        + m["p_i"] * c
        + m["b_i"]
        + m["R_ii"] @ i_old
        + m["R_fi"] @ f_old
        + m["R_oi"] @ o_old
    )
    f = s(
        m["W_f"] @ x
        + m["R_f"] @ h
        + m["p_f"] * c
        + m["b_f"]
        + m["R_if"] @ i_old
        + m["R_ff"] @ f_old
        + m["R_of"] @ o_old
    )
    c = i * z + f * c
    o = s(
        m["W_o"] @ x
        + m["R_o"] @ h
        + m["p_o"] * c
        + m["b_o"]
        + m["R_io"] @ i_old
        + m["R_fo"] @ f_old
        + m["R_oo"] @ o_old
    )
    return c, o * np.tanh(c), np.concatenate([i, f, o])


def cifg(m, x, c, h):
    """Coupled gates without peepholes."""
    i = s(m["W_i"] @ x + m["R_i"] @ h + m["b_i"])
    o = s(m["W_o"] @ x + m["R_o"] @ h + m["b_o"])
    z = np.tanh(m["W_z"] @ x + m["R_z"] @ h + m["b_z"])
    c = (1.0 - i) * c + i * z
    return c, o * np.tanh(c)


def forget_only(m, x, c, h):
    """A forget gate and nothing else."""
    f = s(m["W_f"] @ x + m["R_f"] @ h + m["b_f"])
    c = f * c + np.tanh(m["W_z"] @ x + m["R_z"] @ h + m["b_z"])
    return c, np.tanh(c)


def hochreiter1997(m, x, c, h):
    """Hochreiter & Schmidhuber 1997, modern wiring: g = 4 s - 2, h = 2 s - 1, no forget gate."""
    y_in = s(m["W_i"] @ x + m["R_i"] @ h + m["b_i"])
    y_out = s(m["W_o"] @ x + m["R_o"] @ h + m["b_o"])
    c = c + y_in * (4.0 * s(m["W_z"] @ x + m["R_z"] @ h + m["b_z"]) - 2.0)
    return c, y_out * (2.0 * s(c) - 1.0)


def gers2000(m, x, c, h):
    """Gers, Schmidhuber & Cummins 2000: 1997 with a forget gate y_phi."""
    y_in = s(m["W_i"] @ x + m["R_i"] @ h + m["b_i"])
    y_phi = s(m["W_f"] @ x + m["R_f"] @ h + m["b_f"])
    y_out = s(m["W_o"] @ x + m["R_o"] @ h + m["b_o"])
    c = y_phi * c + y_in * (4.0 * s(m["W_z"] @ x + m["R_z"] @ h + m["b_z"]) - 2.0)
    return c, y_out * (2.0 * s(c) - 1.0)


def gru(m, x, h):
    """Reset after (arXiv:1406.1078v1, cuDNN); k = 1 - i is the keep gate of the paper."""
    r = s(m["W_r"] @ x + m["R_r"] @ h + m["b_r"])
    k = s(-(m["W_i"] @ x + m["R_i"] @ h + m["b_i"]))
    n = np.tanh(m["W_z"] @ x + m["b_z"] + r * (m["R_z"] @ h + m["b_hz"]))
    return (k * h + (1.0 - k) * n,)


def gru_before(m, x, h):
    """Reset before (arXiv:1406.1078v3, eq. 5-8); k = 1 - i is the keep gate of the paper."""
    r = s(m["W_r"] @ x + m["R_r"] @ h + m["b_r"])
    k = s(-(m["W_i"] @ x + m["R_i"] @ h + m["b_i"]))
    n = np.tanh(m["W_z"] @ x + m["R_z"] @ (r * h) + m["b_z"])
    return (k * h + (1.0 - k) * n,)


def ugrnn(m, x, h):
    """Collins et al. 2017: h = g h + (1 - g) n, with g = 1 - i."""
    g = s(-(m["W_i"] @ x + m["R_i"] @ h + m["b_i"]))
    n = np.tanh(m["W_z"] @ x + m["R_z"] @ h + m["b_z"])
    return (g * h + (1.0 - g) * n,)


def janet(m, x, c):
    """van der Westhuizen & Lasenby 2018, h = c; a is the paper's, 1 - a is the package's z_i."""
    a = 1.0 - (m["W_i"] @ x + m["R_i"] @ c + m["b_i"])
    n = np.tanh(m["W_z"] @ x + m["R_z"] @ c + m["b_z"])
    return (s(a) * c + (1.0 - s(a - 1.0)) * n,)


TWINS = {
    "elman": elman,
    "lstm": lstm,
    "peephole": vanilla,
    "cifg": cifg,
    "forget_only": forget_only,
    "hochreiter1997": hochreiter1997,
    "gers2000": gers2000,
    "gru": gru,
    "gru_before": gru_before,
    "ugrnn": ugrnn,
    "janet": janet,
    "greff/v": vanilla,
    "greff/np": lstm,
    "greff/nig": no_input_gate,
    "greff/nfg": no_forget_gate,
    "greff/nog": no_output_gate,
    "greff/niaf": no_input_activation,
    "greff/noaf": no_output_activation,
    "greff/cifg": coupled_peephole,
    "greff/fgr": full_gate_recurrence,
}

TWINS |= units.TWINS | mutants.TWINS | linear.TWINS | long.TWINS | wrapped.TWINS
CUTS = units.CUTS | mutants.CUTS | linear.CUTS | long.CUTS | wrapped.CUTS
OUTS = units.OUTS | mutants.OUTS | linear.OUTS | long.OUTS | wrapped.OUTS


def run(twin, m, x, carry, out=None):
    """Run a twin over `time batch features`, one sequence after the other; return (last carry, h).

    The carry is a tuple of `batch width` arrays; `out` makes h of it: without one, h is its second
    leaf, or its only one.
    """
    out = out or (lambda state: state[min(1, len(state) - 1)])
    ends, outs = [], []
    for row in range(x.shape[1]):
        state, trace = tuple(leaf[row] for leaf in carry), []
        for now in x[:, row]:
            state = twin(m, now, *state)
            trace.append(out(state))
        ends.append(state)
        outs.append(np.array(trace).reshape(len(x), out(state).shape[-1]))
    return tuple(np.stack(leaves) for leaves in zip(*ends, strict=True)), np.stack(outs, 1)
