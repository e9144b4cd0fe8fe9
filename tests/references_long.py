"""LSTMs with longer memory, other gates or other time, in float64 NumPy; see `references.py`."""

TWINS = {}

CUTS = {}

OUTS = {}
