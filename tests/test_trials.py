"""What a search came to: worst first in doubt, and importance held to sums that are known."""

import math

import numpy as np
import pytest
from stored import RESULT, SPEC, finished

pytest.importorskip("optuna", reason="the extra `search` is not installed")
pytest.importorskip("sklearn", reason="the extra `search` is not installed")
from optuna.distributions import CategoricalDistribution, FloatDistribution

from lstm_research import store
from lstm_research.trials import came_to, importance


def runs(folder, *changes):
    return [
        finished(folder, SPEC | {"seed": seed}, **each) for seed, each in enumerate(changes)
    ]  # fmt: skip


def metrics(valid, test):
    return {"metrics": {"valid": {"mse": valid}, "test": {"mse": test}}}


def test_a_trial_is_the_mean_over_its_seeds(tmp_path):
    paths = runs(tmp_path, metrics(0.1, 0.3), metrics(0.3, 0.5))
    assert came_to(paths) == ("finished", pytest.approx(0.2), pytest.approx(0.4), None)


def test_one_diverged_seed_makes_the_trial_diverged(tmp_path):
    paths = runs(tmp_path, metrics(0.1, 0.3), {"status": "diverged", "metrics": {}})
    assert came_to(paths) == ("diverged", None, None, None)
    paths = runs(tmp_path / "more", metrics(math.inf, 0.3))
    assert came_to(paths)[0] == "diverged"


def test_a_failed_or_missing_seed_is_told_before_a_diverged_one(tmp_path):
    (path,) = runs(tmp_path, {"status": "diverged", "metrics": {}})
    absent = store.find(tmp_path, SPEC | {"seed": 7})
    assert came_to([path, absent])[0] == "absent"
    with store.open_run(tmp_path, SPEC | {"seed": 8}) as run:
        run.finish({"status": "failed", "error": "no memory"})
    status, *_, error = came_to([path, absent, run.path])
    assert status == "failed" and error is not None
    assert RESULT["status"] == "finished"


def test_importance_is_the_share_of_the_variance_of_a_sum():
    """f = 2 x + y over the unit square: x explains 4/5 of the variance, y the rest, noise nothing."""
    draws = np.random.default_rng(0).uniform(size=(300, 3))
    space = dict.fromkeys("xyz", FloatDistribution(0.0, 1.0))
    params = [dict(zip("xyz", map(float, draw), strict=True)) for draw in draws]
    shares = importance(space, params, [2 * p["x"] + p["y"] for p in params])
    assert shares is not None and list(shares) == ["x", "y", "z"]
    assert shares["x"] == pytest.approx(0.8, abs=0.05)
    assert shares["y"] == pytest.approx(0.2, abs=0.05)
    assert shares["z"] < 0.02


def test_what_was_drawn_in_logarithms_is_measured_in_logarithms():
    """A step in the middle of the logarithms is invisible to a measure that is uniform in the rate."""
    draws = np.random.default_rng(0)
    space = {
        "rate": FloatDistribution(1e-6, 1.0, log=True),
        "cell": CategoricalDistribution(["a", "b"]),
    }
    params = [
        {"rate": float(10 ** draws.uniform(-6, 0)), "cell": str(draws.choice(["a", "b"]))}
        for _ in range(100)
    ]
    shares = importance(space, params, [float(p["rate"] < 1e-3) for p in params])
    assert shares is not None and shares["rate"] > 0.9 and shares["cell"] < 0.05


def test_few_or_equal_values_have_no_importance():
    space = {"x": FloatDistribution(0.0, 1.0)}
    assert importance(space, [{"x": 0.1}] * 9, list(range(9))) is None
    assert importance(space, [{"x": 0.1}] * 20, [1.0] * 20) is None
