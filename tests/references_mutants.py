"""Searched, minimal and deep-transition units, in float64 NumPy; see `references.py`."""

TWINS = {}

CUTS = {}

OUTS = {}
