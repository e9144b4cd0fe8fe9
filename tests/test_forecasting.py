"""Forecasting: equations hold, every step is asked once in its own part, and scores are what they say."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_data import table

from lstm_research.evaluate import metrics
from lstm_research.tasks import series
from lstm_research.tasks.data import DataError
from lstm_research.tasks.forecasting import Forecasting, from_series
from lstm_research.tasks.parts import baselines
from lstm_research.tasks.series import Series

COUNT = Series(("x",), np.arange(400.0)[:, None])
SMALL = {"window": 20, "washout": 5, "horizon": 3}


def counting(**fields: object):
    """Return the task on 0, 1, 2, ..., and what turns its standardised values into those again."""
    task = from_series(Forecasting(**(SMALL | fields)), COUNT)
    train = np.arange(400 - 2 * int(400 * 0.15))
    back = lambda values: np.rint(np.asarray(values)[..., 0] * train.std() + train.mean()).astype(
        int
    )
    return task, back


def test_narma_satisfies_its_equation():
    u, y = series.narma10(200, 3).values.T
    for t in range(9, 199):
        wanted = 0.3 * y[t] + 0.05 * y[t] * y[t - 9 : t + 1].sum() + 1.5 * u[t - 9] * u[t] + 0.1
        assert y[t + 1] == pytest.approx(wanted, rel=1e-12)
    assert (u >= 0).all() and (u <= 0.5).all()


def test_mackey_glass_satisfies_its_equation():
    """The slope over two samples is about the mean of the right-hand side, weighed as Simpson does."""
    x = series.mackey_glass(17, 600, 1).values[:, 0]
    right = 0.2 * x[:-17] / (1 + x[:-17] ** 10) - 0.1 * x[17:]
    moved = (x[19:] - x[17:-2]) / 2
    assert moved == pytest.approx((right[:-2] + 4 * right[1:-1] + right[2:]) / 6, abs=2e-3)
    assert 0.2 < x.min() < 0.5 and 1.2 < x.max() < 1.5 and 0.2 < x.std() < 0.3


def test_lorenz_satisfies_its_equations():
    from scipy.integrate import solve_ivp

    values = series.lorenz(60, 2).values
    flow = lambda t, p: (10 * (p[1] - p[0]), p[0] * (28 - p[2]) - p[1], p[0] * p[1] - 8 / 3 * p[2])
    for start in (0, 30):
        exact = solve_ivp(flow, (0, 0.05), values[start], rtol=1e-10, atol=1e-10).y[:, -1]
        assert values[start + 1] == pytest.approx(exact, abs=1e-4)


def test_a_seed_makes_one_series_and_another_another():
    for make in (lambda s: series.mackey_glass(17, 50, s), lambda s: series.lorenz(50, s)):
        assert (make(1).values == make(1).values).all() and (make(1).values != make(2).values).any()


def test_a_target_is_the_value_horizon_steps_later_in_the_same_part(key):
    task, back = counting()
    ends = {"train": (0, 280), "valid": (280, 340), "test": (340, 400)}
    batches = {part: task.held_out(task.data, part)[0] for part in ("valid", "test")}
    batches["train"] = jax.jit(task.draw_at, static_argnums=3)(task.data, key, 0, 16)
    for part, batch in batches.items():
        scored = np.asarray(batch.mask) > 0
        now, later = back(batch.inputs)[scored], back(batch.targets)[scored]
        assert (later == now + 3).all()
        assert now.min() >= ends[part][0] and later.max() < ends[part][1]
    for part in ("valid", "test"):  # every step after the first washout, once
        scored = np.asarray(batches[part].mask) > 0
        start, end = ends[part]
        assert sorted(back(batches[part].targets)[scored]) == list(range(start + 8, end))


def test_an_epoch_takes_every_place_of_a_window_once(key):
    task, back = counting()
    draw = jax.jit(task.draw_at, static_argnums=3)
    places = 280 - 3 - 20 + 1
    firsts = np.concatenate(
        [back(draw(task.data, key, step, 43).inputs)[:, 0] for step in range(6)]
    )
    assert places == 258 and sorted(firsts) == list(range(258))


def test_nrmse_is_the_root_of_the_mean_square_over_the_training_deviation():
    task, _ = counting()
    (batch,) = task.held_out(task.data, "test")
    outputs = np.random.default_rng(0).normal(size=batch.targets.shape)
    total, weight = metrics(task, jnp.asarray(outputs, float), batch)["nrmse"]
    gap = (outputs - np.asarray(batch.targets))[np.asarray(batch.mask) > 0]
    assert float(total / weight) == pytest.approx(np.sqrt((gap**2).mean()), rel=1e-5)


def test_the_last_value_of_a_line_is_wrong_by_the_horizon_and_a_line_by_nothing():
    spec = Forecasting(**SMALL)
    parts, columns = spec._parts(COUNT), spec._columns(COUNT)
    found = baselines(parts, *columns, 5)
    assert found.last == pytest.approx(3 / np.arange(280).std())
    assert found.linear < 1e-10 and found.autoregression < 1e-10


def test_quantiles_of_the_training_errors_are_chance_and_cover_what_they_say():
    task = table(quantiles=3, horizon=1)
    assert (task.loss, task.metric, task.outputs) == ("quantile", "quantile", 6)
    (batch,) = task.held_out(task.data, "test")
    normal = np.array([-0.6745, 0.0, 0.6745])  # both columns are noise
    outputs = jnp.broadcast_to(jnp.asarray(np.tile(normal, 2), float), (*batch.mask.shape, 6))
    found = {name: float(a / b) for name, (a, b) in metrics(task, outputs, batch).items()}
    assert found["quantile"] == pytest.approx(task.chance["quantile"], rel=0.1)
    assert 0.25 < found["coverage"] < 0.75 and found["nrmse"] == pytest.approx(1, abs=0.35)


def test_columns_are_those_asked_for(tmp_path):
    task = table(inputs=("load", "heat"), targets=("heat",), horizon=1)
    (batch,) = task.held_out(task.data, "test")
    assert batch.inputs.shape[-1] == 2 and batch.targets.shape[-1] == 1
    assert np.asarray(batch.inputs)[0, 1:, 1] == pytest.approx(np.asarray(batch.targets)[0, :-1, 0])
    with pytest.raises(DataError, match=r"column: 'heta' is no column here. Did you mean 'heat'"):
        table(inputs=("heta",))
    with pytest.raises(ValueError, match=r"targets: 'y' is no choice here.*x"):
        Forecasting(targets=("y",), steps=300).build()


def test_a_part_that_is_too_short_and_a_column_that_never_changes_are_named():
    with pytest.raises(DataError, match=r"valid has 45 of 300 steps; .* need 66"):
        Forecasting(steps=300, window=60).build()
    with pytest.raises(DataError, match=r"column 'x' never changes in training"):
        from_series(Forecasting(**SMALL), Series(("x",), np.ones((400, 1))))


LINES = ["day,load,heat", *(f"{k},{k % 7},{k % 5}" for k in range(300))]
HOLES = [
    (5, "4,,4", r"line 6, column 'load': '' is no number. Fill the hole"),
    (5, "4,nan,4", r"line 6, column 'load': 'nan' is no number"),
    (5, "4,4", r"line 6 has 2 cells, line 1 has 3"),
    (0, "day,load,load", r"line 1 gives two columns one name"),
    (9, "monday,1,2", r"line 10, column 'day': 'monday' is no number.*task.inputs"),
]


@pytest.mark.parametrize(("at", "line", "message"), HOLES)
def test_a_hole_in_a_table_is_named_by_line_and_column(at, line, message, tmp_path):
    path = tmp_path / "own.csv"
    path.write_text("\n".join([*LINES[:at], line, *LINES[at + 1 :]]))
    spec = {"series": "csv", "path": str(path), **SMALL}
    with pytest.raises(DataError, match=message):
        Forecasting(**spec).build()
    if line.startswith("monday"):
        assert Forecasting(**spec, inputs=("load", "heat")).build().features == 2
