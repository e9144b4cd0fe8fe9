"""How long each unit remembers, by what its forget gate keeps."""

import numpy as np


def timescales(f: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Return 1 / (1 - f) of each unit in steps, with f its mean over all valid steps.

    A memory that is multiplied by f falls to 1/e in about as many steps. f: `time batch units`, valid:
    `time batch`; infinite where f is 1 throughout. Source: Tallec & Ollivier 2018 (arXiv:1804.11188).
    """
    mean = np.asarray(f, np.float64)[np.asarray(valid)].mean(0)
    with np.errstate(divide="ignore"):
        return 1.0 / (1.0 - np.minimum(mean, 1.0))
