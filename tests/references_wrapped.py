"""Cells inside a wrapper, in float64 NumPy; see `references.py`."""

TWINS = {}

CUTS = {}

OUTS = {}
