"""The optimizer of a run: clip, then an optax rule, then a schedule; off is null."""

import dataclasses
from typing import Literal

import jax
import optax

from lstm_research.axes import Seed, Tree

Rule = Literal["adam", "adamw", "rmsprop", "sgd", "momentum", "nesterov"]
Schedule = Literal["constant", "cosine", "linear", "exponential"]


OWNED = {
    "adam": ("b1", "b2", "epsilon"),
    "adamw": ("b1", "b2", "epsilon", "weight_decay"),
    "rmsprop": ("decay", "epsilon"),
    "sgd": (),
    "momentum": ("momentum",),
    "nesterov": ("momentum",),
}  # the numbers that each rule reads


@dataclasses.dataclass(frozen=True)
class OptimizerSpec:
    """What a run's `optimizer` settings say; numbers of a rule that does not use them are refused."""

    name: Rule = "adam"
    rate: float = 1e-3
    schedule: Schedule = "constant"  # over the whole budget, down to `final`
    final: float = 0.0  # last rate as a share of the first, for a schedule that falls
    warmup: int = 0  # steps of a linear rise from zero
    clip_norm: float | None = 1.0  # largest global norm of the gradient
    clip_value: float | None = None  # largest absolute value of an entry of the gradient
    weight_noise: float = 0.0  # standard deviation of what is added to the weights at every step
    momentum: float = 0.9  # momentum and nesterov
    weight_decay: float = 0.0  # adamw
    decay: float = 0.9  # rmsprop: of the running mean of squares
    b1: float = 0.9  # adam, adamw
    b2: float = 0.999
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        for name in ("rate", "clip_norm", "clip_value", "epsilon"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(
                    f"{name}={value} must be positive"
                    + (", or null for off" if "clip" in name else "")
                )
        if self.weight_noise < 0:
            raise ValueError(f"weight_noise={self.weight_noise} must not be negative")
        for name in ("momentum", "decay", "b1", "b2"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must lie in [0, 1)")
        if self.warmup < 0 or not 0 <= self.final <= 1 or self.weight_decay < 0:
            raise ValueError(
                f"warmup={self.warmup} and weight_decay={self.weight_decay} must not be negative, "
                f"and final={self.final} is a share of the rate in [0, 1]"
            )
        numbers = sorted(
            {name for names in OWNED.values() for name in names} - set(OWNED[self.name])
        )
        fields = {field.name: field.default for field in dataclasses.fields(self)}
        for name in numbers:
            if getattr(self, name) != fields[name]:
                users = ", ".join(rule for rule, names in OWNED.items() if name in names)
                raise ValueError(
                    f"{name}={getattr(self, name)} is read by {users} and not by name={self.name}"
                )
        if self.schedule == "exponential" and not self.final:
            raise ValueError(
                "schedule=exponential falls to final times the rate and needs final > 0; got final=0.0"
            )


def schedule(
    spec: OptimizerSpec, steps: int, rate: float | jax.Array | None = None
) -> optax.Schedule:
    """Return the rate as a function of the step, over a budget of `steps`."""
    rate = spec.rate if rate is None else rate
    rest = max(steps - spec.warmup, 1)
    falls = {
        "constant": lambda: optax.constant_schedule(rate),
        "cosine": lambda: optax.cosine_decay_schedule(rate, rest, spec.final),
        "linear": lambda: optax.linear_schedule(rate, rate * spec.final, rest),
        "exponential": lambda: optax.exponential_decay(rate, rest, spec.final),
    }
    if not spec.warmup:
        return falls[spec.schedule]()
    rise = optax.linear_schedule(0.0, rate, spec.warmup)
    return optax.join_schedules([rise, falls[spec.schedule]()], [spec.warmup])


def optimizer(
    spec: OptimizerSpec, steps: int, rate: float | jax.Array | None = None
) -> optax.GradientTransformation:
    """Return the optax rule of a spec for a budget of `steps`; `rate` may be an array in place of
    the spec's.
    """
    pace = schedule(spec, steps, rate)
    rules = {
        "adam": lambda: optax.adam(pace, spec.b1, spec.b2, spec.epsilon),
        "adamw": lambda: optax.adamw(
            pace, spec.b1, spec.b2, spec.epsilon, weight_decay=spec.weight_decay
        ),
        "rmsprop": lambda: optax.rmsprop(pace, spec.decay, spec.epsilon),
        "sgd": lambda: optax.sgd(pace),
        "momentum": lambda: optax.sgd(pace, spec.momentum),
        "nesterov": lambda: optax.sgd(pace, spec.momentum, nesterov=True),
    }
    parts = [optax.clip(spec.clip_value)] if spec.clip_value is not None else []
    parts += [optax.clip_by_global_norm(spec.clip_norm)] if spec.clip_norm is not None else []
    return optax.chain(*parts, rules[spec.name]())


def shaken(params: Tree, key: Seed, deviation: float) -> Tree:
    """Return weights plus Gaussian noise, fresh at every step (Graves 2011; Jim, Giles & Horne 1996)."""
    if not deviation:
        return params
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(key, len(leaves))
    noisy = [
        leaf + deviation * jax.random.normal(key, leaf.shape, leaf.dtype)
        for key, leaf in zip(keys, leaves, strict=True)
    ]
    return jax.tree.unflatten(tree, noisy)
