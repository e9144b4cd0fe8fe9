"""The optimizer of a run: clip, then an optax rule, then a schedule; off is null."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

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
    input_noise: float = (
        dataclasses.field(  # deviation of what is added to float inputs in training
            default=0.0, metadata={"later": True}
        )
    )

    def __post_init__(self) -> None:
        for name in ("rate", "clip_norm", "clip_value", "epsilon"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(
                    f"{name}={value} must be positive"
                    + (", or null for off" if "clip" in name else "")
                )
        for name in ("weight_noise", "input_noise"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name}={getattr(self, name)} must not be negative")
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


Numbers = Mapping[str, Any]  # name -> float, or an array that holds one


def numbers(spec: OptimizerSpec) -> dict[str, float]:
    """Return the numbers of a spec that a compiled rule may take as data: those that are read and on."""
    bounds = [name for name in ("clip_norm", "clip_value") if getattr(spec, name) is not None]
    noises = [name for name in ("weight_noise", "input_noise") if getattr(spec, name)]
    return {name: getattr(spec, name) for name in ("rate", *OWNED[spec.name], *bounds, *noises)}


def schedule(spec: OptimizerSpec, steps: int, rate: float | jax.Array) -> optax.Schedule:
    """Return the rate as a function of the step, over a budget of `steps`, from `rate` on."""
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
    spec: OptimizerSpec, steps: int, given: Numbers | None = None
) -> optax.GradientTransformation:
    """Return the optax rule of a spec for a budget of `steps`.

    given: arrays in place of the spec's `numbers`, by name; which parts there are the spec alone says.
    """
    n = {field.name: getattr(spec, field.name) for field in dataclasses.fields(spec)}
    n |= given or {}
    pace = schedule(spec, steps, n["rate"])
    rules = {
        "adam": lambda: optax.adam(pace, n["b1"], n["b2"], n["epsilon"]),
        "adamw": lambda: optax.adamw(
            pace, n["b1"], n["b2"], n["epsilon"], weight_decay=n["weight_decay"]
        ),
        "rmsprop": lambda: optax.rmsprop(pace, n["decay"], n["epsilon"]),
        "sgd": lambda: optax.sgd(pace),
        "momentum": lambda: optax.sgd(pace, n["momentum"]),
        "nesterov": lambda: optax.sgd(pace, n["momentum"], nesterov=True),
    }
    parts = [optax.clip(n["clip_value"])] if spec.clip_value is not None else []
    parts += [optax.clip_by_global_norm(n["clip_norm"])] if spec.clip_norm is not None else []
    return optax.chain(*parts, rules[spec.name]())


def shaken(tree: Tree, key: Seed, deviation: float | jax.Array) -> Tree:
    """Return weights or inputs plus Gaussian noise, fresh for each key; a deviation of 0.0 draws none.

    On weights: Graves 2011; Jim, Giles & Horne 1996. On inputs: Greff et al. 2015 (arXiv:1503.04069).
    """
    if isinstance(deviation, float) and not deviation:
        return tree
    leaves, structure = jax.tree.flatten(tree)
    keys = jax.random.split(key, len(leaves))
    noisy = [
        leaf + deviation * jax.random.normal(key, leaf.shape, leaf.dtype)
        for key, leaf in zip(keys, leaves, strict=True)
    ]
    return jax.tree.unflatten(structure, noisy)
