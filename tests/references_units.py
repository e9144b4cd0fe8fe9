"""Units of one and two gates, in float64 NumPy; see `references.py`."""

import numpy as np


def s(a):
    """Return the logistic sigmoid."""
    return 1.0 / (1.0 + np.exp(-a))


def irnn(m, x, h):
    """Le, Jaitly & Hinton 2015: rectified units."""
    return (np.maximum(m["W_h"] @ x + m["R_h"] @ h + m["b_h"], 0.0),)


def indrnn(m, x, h):
    """Li et al. 2018: a number a unit where others have a matrix."""
    return (np.maximum(m["W_h"] @ x + m["u_h"] * h + m["b_h"], 0.0),)


def reduced(m, x, h, u, r):
    """Dey & Salem 2017: u overwrites; the candidate is that of the GRU, reset before."""
    n = np.tanh(m["W_z"] @ x + m["R_z"] @ (r * h) + m["b_z"])
    return ((1.0 - u) * h + u * n,)


def gru1(m, x, h):
    """Gates of h and a bias."""
    return reduced(m, x, h, s(m["R_i"] @ h + m["b_i"]), s(m["R_r"] @ h + m["b_r"]))


def gru2(m, x, h):
    """Gates of h."""
    return reduced(m, x, h, s(m["R_i"] @ h), s(m["R_r"] @ h))


def gru3(m, x, h):
    """Gates of a bias: the same at every step."""
    return reduced(m, x, h, s(m["b_i"]), s(m["b_r"]))


def mgu(m, x, h):
    """Zhou et al. 2016: f overwrites, and resets before the matrix."""
    f = s(m["W_f"] @ x + m["R_f"] @ h + m["b_f"])
    n = np.tanh(m["W_z"] @ x + m["R_z"] @ (f * h) + m["b_z"])
    return ((1.0 - f) * h + f * n,)


def mgu_flax(m, x, h):
    """MGUCell of Flax linen: f keeps, and resets after the matrix."""
    f = s(m["W_f"] @ x + m["R_f"] @ h + m["b_f"])
    n = np.tanh(m["W_z"] @ x + m["b_z"] + f * (m["R_z"] @ h + m["b_hz"]))
    return (f * h + (1.0 - f) * n,)


def ran(m, x, c, h):
    """Lee, Levy & Zettlemoyer 2017: the gates hear h, the content hears x alone."""
    i = s(m["W_i"] @ x + m["R_i"] @ h + m["b_i"])
    f = s(m["W_f"] @ x + m["R_f"] @ h + m["b_f"])
    c = i * (m["W_z"] @ x) + f * c
    return c, np.tanh(c)


def star(m, x, h):
    """Turkoglu et al. 2019: k overwrites."""
    z = np.tanh(m["W_z"] @ x + m["b_z"])
    k = s(m["W_i"] @ x + m["R_i"] @ h + m["b_i"])
    return (np.tanh((1.0 - k) * h + k * z),)


def brc(m, x, h):
    """Vecoven, Ernst & Drion 2021: c keeps, a is between 0 and 2."""
    a = 1.0 + np.tanh(m["W_a"] @ x + m["u_a"] * h + m["b_a"])
    c = s(m["W_f"] @ x + m["u_f"] * h + m["b_f"])
    return (c * h + (1.0 - c) * np.tanh(m["W_z"] @ x + a * h),)


def nbrc(m, x, h):
    """Vecoven, Ernst & Drion 2021: the other units set a and c."""
    a = 1.0 + np.tanh(m["W_a"] @ x + m["R_a"] @ h + m["b_a"])
    c = s(m["W_f"] @ x + m["R_f"] @ h + m["b_f"])
    return (c * h + (1.0 - c) * np.tanh(m["W_z"] @ x + a * h),)


TWINS = {
    "irnn": irnn,
    "indrnn": indrnn,
    "gru1": gru1,
    "gru2": gru2,
    "gru3": gru3,
    "mgu": mgu,
    "mgu_flax": mgu_flax,
    "ran": ran,
    "star": star,
    "brc": brc,
    "nbrc": nbrc,
}

CUTS = {}

OUTS = {}
