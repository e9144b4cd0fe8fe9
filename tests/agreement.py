"""What "equal" means in this suite: the largest difference, measured by the largest magnitude."""

import jax
import numpy as np

TIGHT = {np.dtype(np.float64): 1e-12, np.dtype(np.float32): 1e-6}


def agree(got, want, tolerance: float | None = None) -> None:
    """Demand the same leaves, each to a tolerance relative to its largest magnitude."""
    pairs = zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True)
    for at, (one, other) in enumerate(pairs):
        one, other = np.asarray(one), np.asarray(other)
        assert one.shape == other.shape, f"leaf {at}: shape {one.shape}, wanted {other.shape}"
        assert np.isfinite(one).all() and np.isfinite(other).all(), f"leaf {at} is not finite"
        if one.size == 0:
            continue
        limit = (
            max(TIGHT.get(a.dtype, 0.0) for a in (one, other)) if tolerance is None else tolerance
        )
        gap, scale = np.abs(one - other).max(), np.abs(other).max()
        assert gap <= limit * max(scale, 1e-30), (
            f"leaf {at}: differs by {gap:.3g} at a scale of {scale:.3g}"
        )


def same(got, want) -> None:
    """Demand that two trees hold the same bits."""
    for one, other in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))
