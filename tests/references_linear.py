"""Recurrences that are linear in their state, and xLSTM, in float64 NumPy; see `references.py`."""

TWINS = {}

CUTS = {}

OUTS = {}
