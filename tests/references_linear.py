"""Recurrences that are linear in their state, in float64 NumPy; see `references.py`."""

import numpy as np


def s(a):
    """Return the logistic sigmoid."""
    return 1.0 / (1.0 + np.exp(-a))


def convolved(m, x, ahead, blocks):
    """Return the pre-activations of a QRNN by block, and the sums for the steps to come.

    K_n is (taps, hidden, features): tap j weighs the input of j steps ago. `ahead` holds, step by step,
    what the inputs so far add to all blocks.
    """
    taps = len(m["K_z"])
    each = np.concatenate([m[f"K_{n}"] @ x for n in blocks], -1)  # (taps, blocks * hidden)
    sums = (
        np.concatenate([ahead.reshape(taps - 1, each.shape[1]), np.zeros((1, each.shape[1]))])
        + each
    )
    now = dict(zip(blocks, np.split(sums[0], len(blocks)), strict=True))
    return {n: now[n] + m[f"b_{n}"] for n in blocks}, sums[1:].reshape(-1)


def qrnn_f(m, x, ahead, c):
    """Bradbury et al. 2017, f-pooling: h = c."""
    a, ahead = convolved(m, x, ahead, "zf")
    f = s(a["f"])
    return ahead, f * c + (1.0 - f) * np.tanh(a["z"])


def qrnn_fo(m, x, ahead, c, h):
    """Bradbury et al. 2017, fo-pooling."""
    a, ahead = convolved(m, x, ahead, "zfo")
    f = s(a["f"])
    c = f * c + (1.0 - f) * np.tanh(a["z"])
    return ahead, c, s(a["o"]) * c


def qrnn_ifo(m, x, ahead, c, h):
    """Bradbury et al. 2017, ifo-pooling."""
    a, ahead = convolved(m, x, ahead, "zfoi")
    c = s(a["f"]) * c + s(a["i"]) * np.tanh(a["z"])
    return ahead, c, s(a["o"]) * c


def sru(m, x, c, h):
    """Lei et al. 2018 without v; alpha of the authors' code at a highway bias of 0 is sqrt(3)."""
    skip = m["S"] @ x if "S" in m else np.sqrt(3.0) * x
    f, r = s(m["W_f"] @ x + m["b_f"]), s(m["W_r"] @ x + m["b_r"])
    c = f * c + (1.0 - f) * (m["W_z"] @ x)
    return c, r * c + (1.0 - r) * skip


def sru_peephole(m, x, c, h):
    """Lei et al. 2018 with v: f and r read the old memory."""
    skip = m["S"] @ x if "S" in m else np.sqrt(3.0) * x
    f = s(m["W_f"] @ x + m["p_f"] * c + m["b_f"])
    r = s(m["W_r"] @ x + m["p_r"] * c + m["b_r"])
    c = f * c + (1.0 - f) * (m["W_z"] @ x)
    return c, r * c + (1.0 - r) * skip


def above_zero(a):
    """Return g(a) of Feng et al. 2024."""
    return np.where(a >= 0.0, a + 0.5, s(a))


def mingru(m, x, h):
    """Feng et al. 2024."""
    u = s(m["W_i"] @ x)
    return ((1.0 - u) * h + u * (m["W_z"] @ x),)


def mingru_positive(m, x, h):
    """Feng et al. 2024, the states of the log-space form."""
    u = s(m["W_i"] @ x)
    return ((1.0 - u) * h + u * above_zero(m["W_z"] @ x),)


def minlstm(m, x, h):
    """Feng et al. 2024."""
    f, i = s(m["W_f"] @ x), s(m["W_i"] @ x)
    return (f / (f + i) * h + i / (f + i) * (m["W_z"] @ x),)


def minlstm_positive(m, x, h):
    """Feng et al. 2024, the states of the log-space form."""
    f, i = s(m["W_f"] @ x), s(m["W_i"] @ x)
    return (f / (f + i) * h + i / (f + i) * above_zero(m["W_z"] @ x),)


def lru(m, x, re, im, y):
    """Orvieto et al. 2023: y = Re(C s) + d x."""
    lam = np.exp(-np.exp(m["nu"]) + 1j * np.exp(m["theta"]))
    state = lam * (re + 1j * im) + np.exp(m["gamma"]) * (m["B"] @ x)
    skip = m["S"] @ x if "S" in m else m["d"] * x
    return state.real, state.imag, (m["C"] @ state).real + skip


def rglru(m, x, started, h):
    """De et al. 2024, with the first step of the authors' code."""
    u = m["In"] @ x
    r, i = s(m["Gate_r"] @ u + m["b_r"]), s(m["Gate_i"] @ u + m["b_i"])
    a = np.exp(-8.0 * r * np.log1p(np.exp(m["L"])))
    norm = np.sqrt(1.0 - a**2) if started[0] > 0.0 else 1.0
    return np.ones(1), a * h + norm * (i * u)


def mlstm(m, x, c, n, stabiliser, h):
    """Beck et al. 2024, head by head; a memory has v along its rows."""
    heads, each = len(stabiliser), len(n) // len(stabiliser)
    q, k, v, o = (m[f"Q_{name}"] @ x + m[f"b_{name}"] for name in "qkvo")
    i, f = m["Q_i"] @ x + m["b_i"], m["Q_f"] @ x + m["b_f"]
    c, n, out = c.reshape(heads, each, each).copy(), n.reshape(heads, each).copy(), []
    after = np.maximum(np.log(s(f)) + stabiliser, i)
    for head in range(heads):
        part = slice(head * each, (head + 1) * each)
        gain = np.exp(i[head] - after[head])
        keep = np.exp(np.log(s(f[head])) + stabiliser[head] - after[head])
        key = k[part] / np.sqrt(each)
        c[head] = keep * c[head] + gain * np.outer(v[part], key)
        n[head] = keep * n[head] + gain * key
        out.append(c[head] @ q[part] / max(abs(n[head] @ q[part]), np.exp(-after[head])))
    return c.reshape(-1), n.reshape(-1), after, s(o) * np.concatenate(out)


TWINS = {
    "qrnn_f": qrnn_f,
    "qrnn": qrnn_fo,
    "qrnn_ifo": qrnn_ifo,
    "sru": sru,
    "sru_peephole": sru_peephole,
    "mingru": mingru,
    "mingru_positive": mingru_positive,
    "minlstm": minlstm,
    "minlstm_positive": minlstm_positive,
    "lru": lru,
    "rglru": rglru,
    "mlstm": mlstm,
}


def cut_qrnn(weights, hidden):
    """W is tap by tap, and in each tap z f (o (i))."""
    blocks = {2: "zf", 3: "zfo", 4: "zfoi"}[len(weights.p)]
    features = weights.w.shape[0]
    kernels = np.asarray(weights.w).T.reshape(-1, len(blocks), hidden, features)
    m = {f"K_{n}": kernels[:, at] for at, n in enumerate(blocks)}
    return m | {name.replace("_g", "_z"): np.asarray(b) for name, b in weights.p.items()}


def cut_sru(weights, hidden):
    """W is z f r; what skips the memory has a matrix S of its own, or none."""
    m = dict(zip(("W_z", "W_f", "W_r"), np.split(np.asarray(weights.w).T, 3), strict=True))
    skip = {} if weights.m is None else {"S": np.asarray(weights.m["w_y"]).T}
    return m | skip | {name: np.asarray(p) for name, p in weights.p.items()}


def cut_lru(weights, hidden):
    """W is the parts of B side by side; the matrix of the second stage is those of C, stacked."""
    b_re, b_im = np.split(np.asarray(weights.w).T, 2)
    c_re, c_im = np.split(np.asarray(weights.r[1]).T, 2, -1)
    m = {"B": b_re + 1j * b_im, "C": c_re + 1j * c_im}
    skip = {} if weights.m is None else {"S": np.asarray(weights.m["w_d"]).T}
    return m | skip | {name: np.asarray(p) for name, p in weights.p.items()}


def cut_rglru(weights, hidden):
    """A gate has a block a head; whole, it is zero outside them."""
    m = {"In": np.asarray(weights.w).T, "L": np.asarray(weights.p["decay"])}
    heads, each = weights.m["gates"].shape[:2]
    for at, name in enumerate("ri"):
        whole = np.zeros((hidden, hidden))
        for head in range(heads):
            part = slice(head * each, (head + 1) * each)
            whole[part, part] = np.asarray(weights.m["gates"])[head, :, at].T
        m[f"Gate_{name}"], m[f"b_{name}"] = whole, np.asarray(weights.p[f"b_{name}"])
    return m


def cut_mlstm(weights, hidden):
    """W is q k v o, each as wide as the cell, then i and f, a row a head."""
    w, b = np.asarray(weights.w).T, np.asarray(weights.b)
    heads = (len(b) - 4 * hidden) // 2
    edges = np.cumsum([hidden] * 4 + [heads])
    m = {f"Q_{n}": part for n, part in zip("qkvoif", np.split(w, edges), strict=True)}
    return m | {f"b_{n}": part for n, part in zip("qkvoif", np.split(b, edges), strict=True)}


CUTS = {
    "qrnn": cut_qrnn,
    "sru": cut_sru,
    "lru": cut_lru,
    "rglru": cut_rglru,
    "mlstm": cut_mlstm,
}

OUTS = {
    "qrnn": lambda state: state[2],
    "qrnn_ifo": lambda state: state[2],
    "lru": lambda state: state[2],
    "mlstm": lambda state: state[3],
}
