"""The number of weights that a formula such as `4HD + 13H^2 + 7H` says."""

import re
from typing import Any

LETTERS = {"P": "projection", "L": "depth", "C": "chunk", "K": "taps", "N": "heads", "Q": "rounds"}


def count(formula: str, spec: Any, features: int, hidden: int) -> int:
    """Evaluate a formula in D features, H units, and the settings that `LETTERS` names.

    `[D!=H]HD` is a term that is there only where D and H differ, `[D==H]H` only where they do not.
    """
    values = {letter: getattr(spec, field, None) for letter, field in LETTERS.items()}
    values |= {"D": features, "H": hidden}
    flat = formula.replace("^", "**").replace("[", "(").replace("]", ")")
    python = re.sub(r"(?<=[\w)])(?=[A-Z(])", "*", flat)
    total = eval(python, {"__builtins__": {}}, values)
    assert total == int(total), formula
    return int(total)
