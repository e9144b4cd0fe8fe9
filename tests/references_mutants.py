"""Searched, minimal and deep-transition units, in float64 NumPy; see `references.py`."""

import numpy as np


def s(a):
    """Return the logistic sigmoid."""
    return 1.0 / (1.0 + np.exp(-a))


def minimal_rnn(m, x, h):
    """Chen 2017: u keeps, and sees the squashed input instead of the input."""
    z = np.tanh(m["W_z"] @ x + m["b_z"])
    u = s(m["R_u"] @ h + m["V_u"] @ z + m["b_u"])
    return (u * h + (1.0 - u) * z,)


def atr(m, x, h):
    """Zhang et al. 2018: twin gates, one by addition, one by subtraction."""
    p = m["W_p"] @ x + m["b_p"]
    q = m["R_q"] @ h
    return (s(p + q) * p + s(p - q) * h,)


def cfn(m, x, h):
    """Laurent & von Brecht 2016: theta is the forget gate, eta the input gate."""
    theta = s(m["R_f"] @ h + m["W_f"] @ x + m["b_f"])
    eta = s(m["R_i"] @ h + m["W_i"] @ x + m["b_i"])
    return (theta * np.tanh(h) + eta * np.tanh(m["W_z"] @ x),)


def fastgrnn(m, x, h):
    """Kusupati et al. 2018: z keeps; zeta and nu are squashed into (0, 1)."""
    shared = m["W_h"] @ x + m["R_h"] @ h
    z = s(shared + m["b_f"])
    n = np.tanh(shared + m["b_g"])
    zeta, nu = s(m["zeta"][0]), s(m["nu"][0])
    return ((zeta * (1.0 - z) + nu) * n + z * h,)


def mut1(m, x, h):
    """MUT1, x by a matrix: z is the paper's update gate and hears no state."""
    z = s(m["W_i"] @ x + m["b_i"])
    r = s(m["W_r"] @ x + m["R_r"] @ h + m["b_r"])
    n = np.tanh(m["R_z"] @ (r * h) + np.tanh(m["W_z"] @ x) + m["b_z"])
    return (n * z + h * (1.0 - z),)


def mut2(m, x, h):
    """MUT2, x by a matrix."""
    z = s(m["W_i"] @ x + m["R_i"] @ h + m["b_i"])
    r = s(m["W_r"] @ x + m["R_r"] @ h + m["b_r"])
    n = np.tanh(m["R_z"] @ (r * h) + m["W_z"] @ x + m["b_z"])
    return (n * z + h * (1.0 - z),)


def mut3(m, x, h):
    """MUT3: the update gate hears the squashed state."""
    z = s(m["W_i"] @ x + m["R_i"] @ np.tanh(h) + m["b_i"])
    r = s(m["W_r"] @ x + m["R_r"] @ h + m["b_r"])
    n = np.tanh(m["R_z"] @ (r * h) + m["W_z"] @ x + m["b_z"])
    return (n * z + h * (1.0 - z),)


def rhn(m, x, state):
    """Zilly et al. 2017, eq. 6-9 with c = 1 - t: the input enters the first layer alone."""
    layer = 1
    while f"R_t{layer}" in m:
        h = m[f"R_h{layer}"] @ state + m[f"b_h{layer}"]
        t = m[f"R_t{layer}"] @ state + m[f"b_t{layer}"]
        if layer == 1:
            h, t = h + m["W_h"] @ x, t + m["W_t"] @ x
        h, t = np.tanh(h), s(t)
        state = h * t + state * (1.0 - t)
        layer += 1
    return (state,)


def lem(m, x, z, y):
    """Rusch et al. 2022 with dt = 1: the second unit hears the new z."""
    first = s(m["W_1"] @ x + m["R_1"] @ y + m["b_1"])
    second = s(m["W_2"] @ x + m["R_2"] @ y + m["b_2"])
    z = (1.0 - first) * z + first * np.tanh(m["W_m"] @ x + m["R_m"] @ y + m["b_m"])
    y = (1.0 - second) * y + second * np.tanh(m["W_y"] @ x + m["R_y"] @ z + m["b_y"])
    return z, y


def ligru(m, x, h):
    """Ravanelli et al. 2018 in a test: batch norm by stored statistics, on the input's part."""

    def norm(name):
        scaled = (m[f"W_{name}"] @ x - m[f"mean_{name}"]) / np.sqrt(m[f"var_{name}"] + 1e-5)
        return m[f"gamma_{name}"] * scaled + m[f"beta_{name}"]

    k = s(norm("f") + m["R_f"] @ h)
    n = np.maximum(norm("z") + m["R_z"] @ h, 0.0)
    return (k * h + (1.0 - k) * n,)


def cut_minimal_rnn(weights, hidden):
    """W_z is all of w; b holds b_u, then b_z."""
    return {
        "W_z": np.asarray(weights.w).T,
        "V_u": np.asarray(weights.m["v_f"]).T,
        "R_u": np.asarray(weights.r[0]).T,
        "b_u": np.asarray(weights.b)[:hidden],
        "b_z": np.asarray(weights.b)[hidden:],
    }


def cut_rhn(weights, hidden):
    """Each layer holds t, then h; the first bias is b, the others are vectors."""
    m = {}
    m["W_t"], m["W_h"] = np.split(np.asarray(weights.w).T, 2)
    for layer, r in enumerate(weights.r, 1):
        m[f"R_t{layer}"], m[f"R_h{layer}"] = np.split(np.asarray(r).T, 2)
        b = weights.b if layer == 1 else weights.p[f"b_{layer}"]
        m[f"b_t{layer}"], m[f"b_h{layer}"] = np.split(np.asarray(b), 2)
    return m


def cut_ligru(weights, hidden):
    """Two blocks, the gate first; gamma lies beside w, beta is b."""
    parts = {
        "W": np.asarray(weights.w).T,
        "R": np.asarray(weights.r[0]).T,
        "gamma": np.asarray(weights.m["gain"]),
        "beta": np.asarray(weights.b),
        "mean": np.asarray(weights.row.mean),
        "var": np.asarray(weights.row.var),
    }
    pairs = {name: np.split(part, 2) for name, part in parts.items()}
    return {f"{name}_{block}": pairs[name][at] for name in pairs for at, block in enumerate("fz")}


TWINS = {
    "minimal_rnn": minimal_rnn,
    "atr": atr,
    "cfn": cfn,
    "fastgrnn": fastgrnn,
    "mut1": mut1,
    "mut2": mut2,
    "mut3": mut3,
    "rhn": rhn,
    "lem": lem,
    "ligru": ligru,
}

CUTS = {"minimal_rnn": cut_minimal_rnn, "rhn": cut_rhn, "ligru": cut_ligru}

OUTS = {}
