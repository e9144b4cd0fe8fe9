"""What `solve.py`, `lengths.py` and `generation.py` share: committed lines, and how they are told.

`lines` keeps the runs of an experiment; `told` writes medians and where they come from.
"""
