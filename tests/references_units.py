"""Units of one and two gates, in float64 NumPy; see `references.py`."""

TWINS = {}

CUTS = {}

OUTS = {}
