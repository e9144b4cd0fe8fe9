"""Rules equal their updates by hand, schedules end where they say, nonsense is refused."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from agreement import agree

from lstm_research import catalogue
from lstm_research.optimizer import OptimizerSpec, Rule, optimizer, schedule, shaken

CURVATURE, BEGIN = np.array([1.0, 3.0, 0.2]), np.array([1.0, -2.0, 0.5])


def walk(spec, steps=5):
    """Return the points that a spec visits on the quadratic sum(CURVATURE p^2) / 2."""
    rule, p = optimizer(spec, steps), jnp.asarray(BEGIN)
    state, points = rule.init(p), []
    for _ in range(steps):
        step, state = rule.update(CURVATURE * p, state, p)
        p = optax.apply_updates(p, step)
        points.append(p)
    return np.stack(points)


def adam(p, g, m, t, decay=0.0):
    """One step of Kingma & Ba 2015, with the decoupled decay of Loshchilov & Hutter 2019."""
    m["m"], m["v"] = 0.8 * m["m"] + 0.2 * g, 0.95 * m["v"] + 0.05 * g * g
    return p - 0.1 * (m["m"] / (1 - 0.8**t) / (np.sqrt(m["v"] / (1 - 0.95**t)) + 1e-3) + decay * p)


def momentum(p, g, m, t):
    """Heavy ball: the velocity remembers 0.7 of itself."""
    m["m"] = 0.7 * m["m"] + g
    return p - 0.1 * m["m"]


def nesterov(p, g, m, t):
    """The gradient looks one velocity ahead."""
    m["m"] = 0.7 * m["m"] + g
    return p - 0.1 * (g + 0.7 * m["m"])


def rmsprop(p, g, m, t):
    """Hinton's running mean of squares; optax adds epsilon inside the root."""
    m["v"] = 0.8 * m["v"] + 0.2 * g * g
    return p - 0.1 * g / np.sqrt(m["v"] + 1e-3)


BY_HAND = {
    "adam": ({"b1": 0.8, "b2": 0.95, "epsilon": 1e-3}, adam),
    "adamw": (
        {"b1": 0.8, "b2": 0.95, "epsilon": 1e-3, "weight_decay": 0.3},
        lambda p, g, m, t: adam(p, g, m, t, decay=0.3),
    ),
    "sgd": ({}, lambda p, g, m, t: p - 0.1 * g),
    "momentum": ({"momentum": 0.7}, momentum),
    "nesterov": ({"momentum": 0.7}, nesterov),
    "rmsprop": ({"decay": 0.8, "epsilon": 1e-3}, rmsprop),
}


def test_every_rule_is_written_by_hand_and_has_a_yaml():
    assert set(BY_HAND) == set(Rule.__args__) == set(catalogue.names("optimizer"))


@pytest.mark.parametrize("name", BY_HAND)
def test_a_rule_is_its_update_by_hand(float64, name):
    numbers, by_hand = BY_HAND[name]
    p, memory, points = BEGIN, {"m": np.zeros(3), "v": np.zeros(3)}, []
    for t in range(1, 6):
        p = by_hand(p, CURVATURE * p, memory, t)
        points.append(p)
    agree(walk(OptimizerSpec(name=name, rate=0.1, clip_norm=None, **numbers)), np.stack(points))


def test_clip_norm_bounds_the_norm_and_keeps_the_direction(float64):
    spec = OptimizerSpec(name="sgd", rate=1.0, clip_norm=0.5)
    step = BEGIN - walk(spec, 1)[0]
    agree(step, 0.5 * CURVATURE * BEGIN / np.linalg.norm(CURVATURE * BEGIN))
    agree(
        walk(dataclasses.replace(spec, clip_norm=100.0)),
        walk(dataclasses.replace(spec, clip_norm=None)),
    )


def test_clip_value_bounds_each_entry(float64):
    spec = OptimizerSpec(name="sgd", rate=1.0, clip_norm=None, clip_value=0.4)
    agree(BEGIN - walk(spec, 1)[0], np.clip(CURVATURE * BEGIN, -0.4, 0.4))


def test_entries_are_clipped_before_the_norm(float64):
    clipped = np.clip(CURVATURE * BEGIN, -0.4, 0.4)
    spec = OptimizerSpec(name="sgd", rate=1.0, clip_norm=0.1, clip_value=0.4)
    agree(BEGIN - walk(spec, 1)[0], 0.1 * clipped / np.linalg.norm(clipped))


@pytest.mark.parametrize(
    ("name", "middle", "end"),
    [
        ("constant", 2.0, 2.0),
        ("linear", 1.1, 0.2),
        ("cosine", 1.1, 0.2),
        ("exponential", 0.4**0.5, 0.2),
    ],
)
@pytest.mark.parametrize("warmup", [0, 10])
def test_a_schedule_falls_from_the_rate_to_its_final_share(float64, name, middle, end, warmup):
    spec = OptimizerSpec(schedule=name, final=0.1, warmup=warmup)
    pace = schedule(spec, 100 + warmup, 2.0)
    agree(
        [pace(t + warmup) for t in (0, 50, 100)], [2.0, middle, end], 1e-6
    )  # optax counts in float32


def test_warmup_rises_in_a_line_from_zero():
    pace = schedule(OptimizerSpec(warmup=4), 100, 2.0)
    agree([pace(t) for t in range(6)], [0.0, 0.5, 1.0, 1.5, 2.0, 2.0], 1e-6)


def test_a_rate_that_is_an_array_takes_the_place_of_the_spec(float64):
    rule, p = (
        optimizer(OptimizerSpec(name="sgd", clip_norm=None), 10, {"rate": jnp.asarray(0.25)}),
        jnp.asarray(BEGIN),
    )
    agree(rule.update(p, rule.init(p), p)[0], -0.25 * BEGIN)


@pytest.mark.parametrize(
    "fields",
    [
        {"rate": 0.0},
        {"rate": float("nan")},
        {"clip_norm": -1.0},
        {"clip_norm": 0.0},
        {"clip_value": -1.0},
        {"epsilon": 0.0},
        {"momentum": 1.0},
        {"decay": 1.5},
        {"b1": -0.1},
        {"b2": 1.0},
        {"warmup": -1},
        {"final": 2.0},
        {"weight_decay": -1.0, "name": "adamw"},
        {"weight_decay": 0.1, "name": "adam"},
        {"schedule": "exponential"},
    ],
    ids=str,
)
def test_a_number_without_meaning_is_refused_by_name_and_value(fields):
    with pytest.raises(ValueError) as refusal:
        OptimizerSpec(**fields)
    name, value = next(iter(fields.items()))
    assert f"{name}={value}" in str(refusal.value)


@pytest.mark.parametrize(
    "fields", [{"momentum": 0.5}, {"decay": 0.5}, {"b1": 0.5}, {"b2": 0.5}], ids=str
)
def test_a_number_of_another_rule_is_refused(fields):
    """`OptimizerSpec` says that numbers of a rule that does not use them are refused."""
    with pytest.raises(ValueError, match=next(iter(fields))):
        OptimizerSpec(name="sgd", **fields)


def test_weight_noise_has_its_deviation_and_is_off_at_zero():
    weights = {"w": jnp.zeros((200, 50)), "b": jnp.zeros(30)}
    assert shaken(weights, jax.random.key(0), 0.0) is weights
    moved = shaken(weights, jax.random.key(0), 0.075)
    assert float(moved["w"].std()) == pytest.approx(0.075, rel=0.05)
    assert abs(float(moved["w"].mean())) < 0.005
    again = shaken(weights, jax.random.key(1), 0.075)
    assert not np.array_equal(moved["w"], again["w"])
