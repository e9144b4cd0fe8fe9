"""Every task keeps the contract of `tasks/task.py`, whatever its own tests say."""

import dataclasses
import math
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import yaml
from sampled import first
from small_data import REFUSED as REFUSED_DATA
from tiny import BUILDS, once_a_kind

from lstm_research.evaluate import metrics
from lstm_research.tasks import TASKS
from lstm_research.tasks.adding import Adding
from lstm_research.tasks.anbn import AnBn
from lstm_research.tasks.continual_reber import ContinualReber
from lstm_research.tasks.continual_temporal_order import ContinualTemporalOrder
from lstm_research.tasks.copying import Copying
from lstm_research.tasks.long_lag import LongLag
from lstm_research.tasks.multiplication import Multiplication
from lstm_research.tasks.music import Music
from lstm_research.tasks.parity import Parity
from lstm_research.tasks.periodic import Periodic
from lstm_research.tasks.reber import Reber
from lstm_research.tasks.spike_delay import SpikeDelay
from lstm_research.tasks.task import Batch, Success, Task
from lstm_research.tasks.temporal_order import TemporalOrder
from lstm_research.tasks.two_sequence import TwoSequence

CONF = Path(__file__).parents[1] / "conf" / "task"
SIZE = 6
FIXED = "periodic"  # has no input, hence one sequence only


@cache
def built(name: str) -> tuple[Task, Callable[..., Batch]]:
    task = BUILDS[name]()
    return task, jax.jit(task.draw, static_argnums=2)


def on_host(batch: Batch) -> Batch:
    """Return the batch as NumPy arrays, whose checks compile nothing."""
    return jax.tree.map(np.asarray, batch)


@cache
def drawn(name: str, seed: int) -> Batch:
    task, draw = built(name)
    return on_host(draw(task.data, jax.random.key(seed), SIZE))


@cache
def held_out(name: str, split: str) -> Batch:
    task, _ = built(name)
    (batch,) = task.held_out(task.data, split)
    return on_host(batch)


def batches(name: str) -> list[Batch]:
    return [drawn(name, 0), held_out(name, "valid"), held_out(name, "test")]


def check_shapes(task: Task, batch: Batch) -> None:
    rows, time = batch.inputs.shape[:2]
    if task.vocabulary is None:
        assert batch.inputs.shape == (rows, time, task.features)
        assert jnp.issubdtype(batch.inputs.dtype, jnp.floating)
    else:
        assert batch.inputs.shape == (rows, time)
        assert jnp.issubdtype(batch.inputs.dtype, jnp.integer)
        assert batch.inputs.min() >= 0 and batch.inputs.max() < task.vocabulary
    asked = (rows, time) if task.readout == "step" else (rows,)
    assert batch.mask.shape == asked and jnp.issubdtype(batch.mask.dtype, jnp.floating)
    if task.loss == "cross_entropy":
        assert batch.targets.shape == asked
        assert jnp.issubdtype(batch.targets.dtype, jnp.integer)
        assert batch.targets.min() >= 0 and batch.targets.max() < task.outputs
    else:
        each = 3 if task.loss == "quantile" else 1  # outputs a target
        assert batch.targets.shape == (*asked, task.outputs // each)
        assert jnp.issubdtype(batch.targets.dtype, jnp.floating)


def same(one: Batch, other: Batch) -> bool:
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(a.shape == b.shape and bool((a == b).all()) for a, b in pairs)


def test_every_kind_has_a_build_here_and_says_its_own_name():
    assert {spec.kind for spec in (kind() for kind in TASKS.values())} == set(TASKS)
    names = {name.split()[0] for name in BUILDS} - {"temporal"} | {"temporal_order"}
    assert names == set(TASKS)


@pytest.mark.parametrize("name", once_a_kind())
def test_batches_have_the_shapes_and_types_that_the_task_promises(name):
    for batch in batches(name):
        check_shapes(built(name)[0], batch)
    assert drawn(name, 0).inputs.shape[0] == SIZE


@pytest.mark.parametrize("name", once_a_kind())
def test_one_key_makes_one_batch_and_another_key_another(name):
    task, draw = built(name)
    assert same(drawn(name, 0), on_host(draw(task.data, jax.random.key(0), SIZE)))
    differ = any(not same(drawn(name, 0), drawn(name, seed)) for seed in range(1, 6))
    assert differ != name.startswith(FIXED)


@pytest.mark.parametrize("name", once_a_kind())
def test_mask_asks_something_of_every_row_and_nothing_of_the_padding(name):
    for batch in batches(name):
        rows = batch.mask.reshape(batch.mask.shape[0], -1)
        assert (rows >= 0).all() and (rows.sum(axis=1) > 0).all()
        if batch.scored is not None:
            assert (batch.scored <= batch.mask).all() and batch.scored.sum() > 0
        padding = np.zeros(batch.inputs.shape[:2], bool)
        if batch.lengths is not None:
            time = batch.inputs.shape[1]
            assert (batch.lengths >= 1).all() and (batch.lengths <= time).all()
            padding = np.arange(time) >= batch.lengths[:, None]
            if batch.mask.ndim == 2:
                assert not (padding & (batch.mask > 0)).any()
        if batch.resets is not None:
            assert batch.resets[:, 0].all() and not (batch.resets & padding).any()


@pytest.mark.parametrize("name", once_a_kind())
def test_held_out_batches_are_the_same_each_time_and_no_other_split(name):
    task, _ = built(name)
    for split in ("valid", "test"):
        (again,) = task.held_out(task.data, split)
        assert same(held_out(name, split), on_host(again))
    valid, test = (held_out(name, split).inputs for split in ("valid", "test"))
    differ = valid.shape != test.shape or not (valid == test).all()
    assert differ != name.startswith(FIXED)


@pytest.mark.parametrize("name", once_a_kind())
def test_unknown_split_is_refused_with_those_that_exist(name):
    task, _ = built(name)
    with pytest.raises(ValueError, match=r"'tset'.*'test'.*valid"):
        task.held_out(task.data, "tset")


@pytest.mark.parametrize("name", first(["reber corpus", "adding 1997", "music crop", "words"]))
def test_seeds_may_be_an_axis_of_vmap(name):
    task, draw = built(name)
    keys = jax.random.split(jax.random.key(3), 2)
    packed = jax.jit(jax.vmap(lambda key: task.draw(task.data, key, SIZE)))(keys)
    assert same(
        on_host(jax.tree.map(lambda leaf: leaf[1], packed)), on_host(draw(task.data, keys[1], SIZE))
    )


@pytest.mark.parametrize("name", ["reber", "music crop", "listops"])
def test_two_builds_of_one_spec_make_the_same_held_out_batch(name):
    task = BUILDS[name]()
    assert same(held_out(name, "test"), on_host(task.held_out(task.data, "test")[0]))


@pytest.mark.parametrize("name", once_a_kind())
def test_metrics_hold_what_the_task_names(name):
    task, batch = built(name)[0], drawn(name, 0)
    outputs = np.zeros((*batch.mask.shape, task.outputs), np.float32)
    found = jax.eval_shape(partial(metrics, task), outputs, batch)
    named = {task.metric, *task.chance, *([task.success.metric] if task.success else [])}
    assert named <= set(found)
    assert all(math.isfinite(value) for value in task.chance.values())


@pytest.mark.parametrize("name", once_a_kind())
def test_chance_does_not_solve_the_task(name):
    task, _ = built(name)
    if task.success is not None and "smallest" not in name:
        assert not task.success.holds({task.success.metric: math.nan, **task.chance})


REFUSED = [
    (Adding, {"length": 1}, r"length=1: .*>= 2"),
    (Adding, {"length": 19, "form": "hochreiter1997"}, r"length=19: .*>= 20"),
    (Adding, {"length": 10.5}, r"length=10.5: must be a whole number"),
    (Adding, {"length": True}, r"length=True: must be a whole number"),
    (Adding, {"form": "archovsky"}, r"form.*'archovsky'.*'arjovsky'"),
    (Adding, {"held_out": 0}, r"held_out=0: .*>= 1"),
    (Copying, {"delay": 0}, r"delay=0: .*>= 1"),
    (Copying, {"symbols": 0}, r"symbols=0: .*>= 1"),
    (Copying, {"alphabet": 1}, r"alphabet=1: .*>= 2"),
    (Copying, {"form": "tnc"}, r"form.*'tnc'.*'tcn'"),
    (TemporalOrder, {"length": 9}, r"length=9: .*>= 10"),
    (TemporalOrder, {"symbols": 4}, r"symbols.*4.*2, 3"),
    (Reber, {"longest": 8}, r"longest=8: .*>= 9"),
    (Reber, {"corpus": 0}, r"corpus=0: .*>= 1"),
    (Parity, {"length": 0}, r"length=0: .*>= 1"),
    (Parity, {"answer": "lats"}, r"answer.*'lats'.*'last'"),
    (Parity, {"length": 7, "test_length": 7}, r"test_length=7: .*>= 8"),
    (LongLag, {"form": "2d"}, r"form.*'2d'.*2a"),
    (LongLag, {"delay": 1}, r"delay=1: .*>= 2"),
    (LongLag, {"delay": 8, "distractors": 5}, r"distractors=5: form 2a.*7"),
    (LongLag, {"form": "2b", "distractors": 0}, r"distractors=0: .*>= 1"),
    (LongLag, {"form": "2c", "tail": -1}, r"tail=-1: .*>= 0"),
    (TwoSequence, {"form": "4"}, r"form.*'4'.*3a"),
    (TwoSequence, {"length": 3}, r"length=3: .*>= 4"),
    (TwoSequence, {"informative": 0}, r"informative=0: .*>= 1"),
    (Multiplication, {"length": 19}, r"length=19: .*>= 20"),
    (Multiplication, {"wrong": 0}, r"wrong=0: .*>= 1"),
    (Multiplication, {"wrong": 2001}, r"wrong=2001: .*at most 2000"),
    (ContinualReber, {"stream": 0}, r"stream=0: .*>= 1"),
    (ContinualTemporalOrder, {"length": 9}, r"length=9: .*>= 10"),
    (ContinualTemporalOrder, {"symbols": 4}, r"symbols.*4.*2, 3"),
    (ContinualTemporalOrder, {"train": 0}, r"train=0: .*>= 1"),
    (AnBn, {"letters": 4}, r"letters.*4.*2, 3"),
    (AnBn, {"test": 10}, r"test=10: .*>= 11"),
    (SpikeDelay, {"form": "mesure"}, r"form.*'mesure'.*'measure'"),
    (SpikeDelay, {"form": "generate", "shortest": 1}, r"shortest=1: .*>= 2"),
    (SpikeDelay, {"largest": 0}, r"largest=0: .*>= 1"),
    (Periodic, {"wave": "cosin"}, r"wave.*'cosin'.*'cosine'"),
    (Periodic, {"period": 2}, r"period=2: .*>= 3"),
    (Music, {"name": "jbs"}, r"name.*'jbs'.*'jsb'"),
    (Music, {"crop": 0}, r"crop=0: .*>= 1"),
    (Music, {"transpose": -1}, r"transpose=-1: .*>= 0"),
    (Music, {"sha256": "xyz"}, r"sha256='xyz': .*64"),
    *REFUSED_DATA,
]


@pytest.mark.parametrize(("spec", "fields", "message"), REFUSED)
def test_impossible_fields_are_refused_by_name_value_and_remedy(spec, fields, message):
    with pytest.raises(ValueError, match=message):
        spec(**fields)


@pytest.mark.parametrize("kind", TASKS)
def test_specs_are_frozen_with_their_kind_first(kind):
    fields = dataclasses.fields(TASKS[kind])
    assert fields[0].name == "kind" and fields[0].default == kind
    with pytest.raises(dataclasses.FrozenInstanceError):
        TASKS[kind]().kind = "other"


@pytest.mark.parametrize("path", sorted(CONF.rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_yaml_is_short_says_what_it_is_and_makes_a_spec(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("# ") and len(lines) <= 12
    fields = yaml.safe_load("\n".join(lines))
    assert dataclasses.asdict(TASKS[fields["kind"]](**fields)).items() >= fields.items()


def test_success_holds_inside_its_bounds_and_never_for_a_nan():
    assert Success("mse", at_most=0.01).holds({"mse": 0.01})
    assert not Success("mse", at_most=0.01).holds({"mse": 0.02})
    assert Success("accuracy", at_least=1.0).holds({"accuracy": 1.0})
    assert not Success("accuracy", at_least=1.0).holds({"accuracy": 0.999})
    assert not Success("mse", at_most=0.01).holds({"mse": math.nan})
    with pytest.raises(KeyError, match=r"'mse'.*accuracy"):
        Success("mse").holds({"accuracy": 1.0})


def test_a_task_has_either_features_or_a_vocabulary():
    task, _ = built("parity")
    with pytest.raises(ValueError, match="parity: exactly one"):
        dataclasses.replace(task, features=3)
