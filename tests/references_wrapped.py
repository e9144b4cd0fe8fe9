"""Cells inside a wrapper, in float64 NumPy; see `references.py`.

`test_wrappers.py` calls these by themselves: a wrapper is no name of `conf/cell`. Gains and shifts
lie over the blocks in the order i f z o, or i r and then z. d is a mask.
"""

import numpy as np

TWINS = {}

CUTS = {}

OUTS = {}


def s(a):
    """Return the logistic sigmoid."""
    return 1.0 / (1.0 + np.exp(-a))


def norm(v, gain, shift):
    """Layer norm of Ba, Kiros & Hinton 2016, eq. 3, with 1e-5 beside the variance."""
    mu = v.mean()
    return gain * (v - mu) / np.sqrt(((v - mu) ** 2).mean() + 1e-5) + shift


def stack(m, name, order):
    """Return the matrices or vectors of several blocks, one above the other."""
    return np.concatenate([m[f"{name}_{block}"] for block in order])


def layer_norm_lstm(m, x, c, h):
    """Ba et al. 2016, eq. 20-22, with the peepholes of Greff et al. 2015 where there are any."""
    a = norm(stack(m, "R", "ifzo") @ h, m["gain_h0"], m["shift_h0"])
    a = a + norm(stack(m, "W", "ifzo") @ x, m["gain_x"], m["shift_x"]) + stack(m, "b", "ifzo")
    i, f, z, o = np.split(a, 4)
    old = c
    c = s(f + m.get("p_f", 0) * old) * old + s(i + m.get("p_i", 0) * old) * np.tanh(z)
    return c, s(o + m.get("p_o", 0) * c) * np.tanh(norm(c, m["gain_c"], m["shift_c"]))


def layer_norm_gru(m, x, h):
    """Ba et al. 2016, eq. 26-28; the reset gate acts after the product."""
    n = 2 * len(h)
    gain_h, shift_h, gain_x, shift_x = (
        m[name] for name in ("gain_h0", "shift_h0", "gain_x", "shift_x")
    )
    a = norm(stack(m, "R", "ir") @ h, gain_h[:n], shift_h[:n])
    a = a + norm(stack(m, "W", "ir") @ x, gain_x[:n], shift_x[:n]) + stack(m, "b", "ir")
    u, r = np.split(s(a), 2)
    inner = norm(m["R_z"] @ h, gain_h[n:], shift_h[n:]) + m.get("b_hz", 0)
    new = np.tanh(norm(m["W_z"] @ x, gain_x[n:], shift_x[n:]) + m["b_z"] + r * inner)
    return ((1 - u) * h + u * new,)


def layer_norm_carried_lstm(m, x, c, h):
    """LayerNormBasicLSTMCell of TensorFlow 1: a norm a gate, c carried normalised."""
    gain, shift = (dict(zip("ifzo", np.split(m[k], 4), strict=True)) for k in ("gain_z", "shift_z"))
    a = {k: norm(m[f"W_{k}"] @ x + m[f"R_{k}"] @ h, gain[k], shift[k]) for k in "ifzo"}
    c = norm(c * s(a["f"]) + s(a["i"]) * np.tanh(a["z"]), m["gain_c"], m["shift_c"])
    return c, np.tanh(c) * s(a["o"])


def lstm(m, x, c, h, heard=1.0, dropped=1.0):
    """An LSTM whose products read h under a mask, and whose memory takes z under another."""
    i, f, z, o = (m[f"W_{k}"] @ x + m[f"R_{k}"] @ (heard * h) + m[f"b_{k}"] for k in "ifzo")
    c = s(f) * c + s(i) * dropped * np.tanh(z)
    return c, s(o) * np.tanh(c)


def zoneout_lstm(m, x, c, h, d_c, d_h):
    """Krueger et al. 2017: d of the old state stays; h sees c before it is zoned."""
    new_c, new_h = lstm(m, x, c, h)
    return d_c * c + (1 - d_c) * new_c, d_h * h + (1 - d_h) * new_h
