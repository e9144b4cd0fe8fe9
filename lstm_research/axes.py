"""The letters of every array in the package, once.

======== =====================================================================
time     steps of a sequence; first inside the package, after batch at its edge
*batch   any number of batch axes, none included
features width of the input of a layer
hidden   units of a layer: the width of h, and of c
drive    columns that the input projection produces (blocks x hidden)
wide     columns of one stage's recurrent product
outputs  width of a read-out
======== =====================================================================
"""

from typing import Any

from jaxtyping import Array, Bool, Float, Int, Key

Tree = Any  # a pytree whose leaves the docstring names

Steps = Float[Array, "time *batch features"]
Hiddens = Float[Array, "time *batch hidden"]
Drives = Float[Array, "time *batch drive"]
Lengths = Int[Array, "*batch"]
Resets = Bool[Array, "time *batch"]
Seed = Key[Array, ""]

__all__ = [
    "Array",
    "Bool",
    "Drives",
    "Float",
    "Hiddens",
    "Int",
    "Key",
    "Lengths",
    "Resets",
    "Seed",
    "Steps",
    "Tree",
]
