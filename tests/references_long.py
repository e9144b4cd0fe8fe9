"""LSTMs with longer memory, other gates or other time, in float64 NumPy; see `references.py`."""

import numpy as np


def s(a):
    """Return the logistic sigmoid."""
    return 1.0 / (1.0 + np.exp(-a))


def lstmp(m, x, c, h):
    """Sak et al. 2014, with peepholes where there are any; P projects, h has no bias."""
    i = s(m["W_i"] @ x + m["U_i"] @ h + m.get("p_i", 0.0) * c + m["b_i"])
    f = s(m["W_f"] @ x + m["U_f"] @ h + m.get("p_f", 0.0) * c + m["b_f"])
    c = f * c + i * np.tanh(m["W_z"] @ x + m["U_z"] @ h + m["b_z"])
    o = s(m["W_o"] @ x + m["U_o"] @ h + m.get("p_o", 0.0) * c + m["b_o"])
    return c, m["P"] @ (o * np.tanh(c))


def mogrifier(m, x, c, h, cap=False):
    """Melis et al. 2020: x and h scale each other, x first, then an LSTM."""
    for k in range(m["rounds"]):
        if k % 2 == 0:
            x = 2.0 * s(m["Q"][k] @ h + m["q"][k]) * x
        else:
            h = 2.0 * s(m["Q"][k] @ x + m["q"][k]) * h
    i = s(m["W_i"] @ x + m["R_i"] @ h + m["b_i"])
    f = s(m["W_f"] @ x + m["R_f"] @ h + m["b_f"])
    o = s(m["W_o"] @ x + m["R_o"] @ h + m["b_o"])
    c = f * c + (np.minimum(i, 1.0 - f) if cap else i) * np.tanh(
        m["W_z"] @ x + m["R_z"] @ h + m["b_z"]
    )
    return c, o * np.tanh(c)


def time_gate(m, t, leak=0.001):
    """Neil et al. 2016: k of one unit after the other."""
    tau, r = np.exp(m["log_period"]), s(m["logit_ratio"])
    gate = np.empty(len(tau))
    for unit in range(len(tau)):
        phase = np.mod(t - m["shift"][unit], tau[unit]) / tau[unit]
        if phase < r[unit] / 2.0:
            gate[unit] = 2.0 * phase / r[unit]
        elif phase < r[unit]:
            gate[unit] = 2.0 - 2.0 * phase / r[unit]
        else:
            gate[unit] = leak * phase
    return gate


def phased_at(m, x, c, h, t):
    """Neil et al. 2016: a peephole LSTM behind k, at a time."""
    k = time_gate(m, t)
    i = s(m["W_i"] @ x + m["R_i"] @ h + m["p_i"] * c + m["b_i"])
    f = s(m["W_f"] @ x + m["R_f"] @ h + m["p_f"] * c + m["b_f"])
    c_new = f * c + i * np.tanh(m["W_z"] @ x + m["R_z"] @ h + m["b_z"])
    o = s(m["W_o"] @ x + m["R_o"] @ h + m["p_o"] * c_new + m["b_o"])
    h_new = o * np.tanh(c_new)
    return k * c_new + (1.0 - k) * c, k * h_new + (1.0 - k) * h


def phased(m, x, c, h, t):
    """The time is the number of steps so far."""
    return *phased_at(m, x, c, h, t[0]), t + 1.0


def tlstm_after(m, x, c, h, dt):
    """Baytas et al. 2017: the short-term part of c fades with the elapsed time dt."""
    short = np.tanh(m["W_d"] @ c + m["b_d"])
    c = (c - short) + short * (1.0 / np.log(np.e + dt))
    i = s(m["W_i"] @ x + m["R_i"] @ h + m["b_i"])
    f = s(m["W_f"] @ x + m["R_f"] @ h + m["b_f"])
    o = s(m["W_o"] @ x + m["R_o"] @ h + m["b_o"])
    c = f * c + i * np.tanh(m["W_z"] @ x + m["R_z"] @ h + m["b_z"])
    return c, o * np.tanh(c)


def tlstm(m, x, c, h):
    """Steps of the same length, 1."""
    return tlstm_after(m, x, c, h, 1.0)


def blocks_of(name, matrix, names="ifzo"):
    """Return the blocks of columns by name, each as the papers write it: transposed."""
    parts = np.split(np.asarray(matrix), len(names), axis=-1)
    return {f"{name}_{block}": part.T for block, part in zip(names, parts, strict=True)}


def cut_lstmp(weights, hidden):
    """R of the gates is U, since it reads what P projects."""
    m = blocks_of("W", weights.w) | blocks_of("U", weights.r[0]) | blocks_of("b", weights.b)
    return m | {"P": np.asarray(weights.r[1]).T} | {k: np.asarray(v) for k, v in weights.p.items()}


def cut_mogrifier(weights, hidden):
    """Q is a list of the matrices of the rounds, full ones; the last matrix is W above R."""
    _, *rounds, last = weights.r
    features = len(last) - hidden
    m = blocks_of("W", last[:features]) | blocks_of("R", last[features:])
    m |= {"rounds": len(rounds), "Q": [np.asarray(each).T for each in rounds]}
    m["q"] = [np.asarray(weights.p[f"b_{k + 1}"]) for k in range(len(rounds))]
    return m | blocks_of("b", weights.p["b_ifgo"])


def cut_clocked(weights, hidden):
    """A phased LSTM or a T-LSTM, whose second matrix is W_d."""
    m = blocks_of("W", weights.w) | blocks_of("R", weights.r[0]) | blocks_of("b", weights.b)
    if len(weights.r) > 1:
        m["W_d"] = np.asarray(weights.r[1]).T
    return m | {k: np.asarray(v) for k, v in weights.p.items()}


def heard(m, block, h):
    """Return R h of a block whose heads hear themselves alone."""
    parts = np.split(h, len(m[f"head_{block}"]))
    return np.concatenate([r @ part for r, part in zip(m[f"head_{block}"], parts, strict=True)])


def slstm(m, x, c, h, n, peak, exponential=False):
    """Beck et al. 2024: exponents are taken relative to their largest, peak."""
    i = m["W_i"] @ x + heard(m, "i", h) + m["b_i"]
    f = m["W_f"] @ x + heard(m, "f", h) + m["b_f"]
    z = np.tanh(m["W_z"] @ x + heard(m, "z", h) + m["b_z"])
    o = s(m["W_o"] @ x + heard(m, "o", h) + m["b_o"])
    log_f = f if exponential else np.log(s(f))
    new = np.maximum(log_f + peak, i)
    i, f = np.exp(i - new), np.exp(log_f + peak - new)
    c, n = f * c + i * z, f * n + i
    return c, o * (c / n), n, new


def slstm_exp(m, x, c, h, n, peak):
    """The forget gate is an exponential, too."""
    return slstm(m, x, c, h, n, peak, exponential=True)


def urlstm(m, x, c, h):
    """Gu et al. 2020: g lies between f^2 and 1 - (1 - f)^2, and r says where."""
    f = s(m["W_f"] @ x + m["R_f"] @ h + m["b_f"])
    r = s(m["W_r"] @ x + m["R_r"] @ h + m["b_r"])
    o = s(m["W_o"] @ x + m["R_o"] @ h + m["b_o"])
    g = r * (1.0 - (1.0 - f) ** 2) + (1.0 - r) * f**2
    c = g * c + (1.0 - g) * np.tanh(m["W_z"] @ x + m["R_z"] @ h + m["b_z"])
    return c, o * np.tanh(c)


def cumax(a):
    """Return the running sum of a softmax."""
    e = np.exp(a)
    return np.cumsum(e / e.sum())


def onlstm(m, x, c, h):
    """Shen et al. 2019: master gates f~ and i~, each value of theirs for a chunk of units."""
    i = s(m["W_i"] @ x + m["R_i"] @ h + m["b_i"])
    f = s(m["W_f"] @ x + m["R_f"] @ h + m["b_f"])
    o = s(m["W_o"] @ x + m["R_o"] @ h + m["b_o"])
    z = np.tanh(m["W_z"] @ x + m["R_z"] @ h + m["b_z"])
    chunk = len(h) // len(m["b_F"])
    forget = np.repeat(cumax(m["W_F"] @ x + m["R_F"] @ h + m["b_F"]), chunk)
    write = np.repeat(1.0 - cumax(m["W_I"] @ x + m["R_I"] @ h + m["b_I"]), chunk)
    both = forget * write
    c = (f * both + (forget - both)) * c + (i * both + (write - both)) * z
    return c, o * np.tanh(c)


def multiplicative(m, x, c, h):
    """Krause et al. 2016: an LSTM that hears u, a product of x and h, in place of h."""
    u = (m["W_m"] @ x) * (m["R_m"] @ h)
    i = s(m["W_i"] @ x + m["R_i"] @ u + m["b_i"])
    f = s(m["W_f"] @ x + m["R_f"] @ u + m["b_f"])
    o = s(m["W_o"] @ x + m["R_o"] @ u + m["b_o"])
    c = f * c + i * np.tanh(m["W_z"] @ x + m["R_z"] @ u + m["b_z"])
    return c, o * np.tanh(c)


def cut_slstm(weights, hidden):
    """R is (heads, reads, blocks, units); a block of it is a list, one matrix a head."""
    m = blocks_of("W", weights.w) | blocks_of("b", weights.b)
    r = np.asarray(weights.r[0])
    return m | {f"head_{n}": [head[:, at].T for head in r] for at, n in enumerate("ifzo")}


def cut_onlstm(weights, hidden):
    """Four blocks as wide as h, then two narrow ones."""
    m, wide = {}, 4 * hidden
    for name, matrix in (("W", weights.w), ("R", weights.r[0]), ("b", weights.b)):
        m |= blocks_of(name, matrix[..., :wide]) | blocks_of(name, matrix[..., wide:], "FI")
    return m


def cut_multiplicative(weights, hidden):
    """The block of m comes first."""
    m = blocks_of("W", weights.w, "mifzo") | blocks_of("b", weights.p["b_ifgo"])
    return m | blocks_of("R", np.hstack(weights.r), "mifzo")


TWINS = {
    "lstmp": lstmp,
    "mogrifier": mogrifier,
    "phased": phased,
    "tlstm": tlstm,
    "slstm": slstm,
    "slstm_exp": slstm_exp,
    "urlstm": urlstm,
    "onlstm": onlstm,
    "multiplicative": multiplicative,
}

CUTS = {
    "lstmp": cut_lstmp,
    "mogrifier": cut_mogrifier,
    "phased": cut_clocked,
    "tlstm": cut_clocked,
    "slstm": cut_slstm,
    "onlstm": cut_onlstm,
    "multiplicative": cut_multiplicative,
}

OUTS = {}
