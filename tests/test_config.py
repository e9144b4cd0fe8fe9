"""The border: what a run may say, and what a mistake is told."""

import dataclasses

import pytest

from lstm_research import catalogue, config
from lstm_research.cells import CELLS
from lstm_research.config import ConfigError, build
from lstm_research.gated import GateSpec
from lstm_research.tasks import TASKS

SOUND = {"cell": {"kind": "gated"}, "task": {"kind": "adding"}}


def faults(**changes) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        build(SOUND | changes)
    return str(caught.value).splitlines()


def test_a_sound_mapping_becomes_a_frozen_spec():
    spec = build(SOUND | {"network": {"hidden": 3}, "seed": 2})
    assert spec.cell == GateSpec() and spec.network.hidden == 3 and spec.seed == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec.seed = 3


def test_a_resolved_spec_builds_itself_again():
    spec = build(
        SOUND | {"cell": {"kind": "gated", "peephole": "oi", "chrono": 50.0}, "study": "mine"}
    )
    assert build(spec.resolved()) == spec


def test_a_whole_number_is_a_number():
    assert build(SOUND | {"optimizer": {"rate": 1}}) == build(SOUND | {"optimizer": {"rate": 1.0}})


@pytest.mark.parametrize(("changes", "parts"), [
    ({"budgt": {}}, ["budgt", "'budget'"]),
    ({"cell": {"kind": "gate"}}, ["cell.kind", "'gate'", "'gated'", "elman"]),
    ({"cell": {"kind": "gated", "forget_bia": 1}}, ["cell.forget_bia", "'forget_bias'", "peephole"]),
    ({"cell": {"kind": "gated", "coupled": "yes"}}, ["cell.coupled", "'yes'", "boolean"]),
    ({"cell": {"kind": "gated", "kernel": "orthogonl"}}, ["cell.kernel", "'orthogonal'", "lecun"]),
    ({"task": {"kind": "adding", "lenth": 5}}, ["task.lenth", "'length'"]),
    ({"task": {"kind": "adding", "length": 0}}, ["task.length", "0", ">= 2"]),
    ({"optimizer": {"name": "adm"}}, ["optimizer.name", "'adm'", "'adam'", "sgd"]),
    ({"optimizer": {"rate": "fast"}}, ["optimizer.rate", "'fast'", "number"]),
    ({"optimizer": {"clip_norm": -1.0}}, ["optimizer.clip_norm", "-1.0", "null"]),
    ({"network": {"hidden": 1.5}}, ["network.hidden", "1.5", "integer"]),
    ({"network": {"hidden": True}}, ["network.hidden", "True", "integer"]),
    ({"network": {"dropout": 1.0}}, ["network.dropout", "1.0", "[0, 1)"]),
    ({"budget": {"steps": 0}}, ["budget.steps", "0", "at least 1"]),
    ({"network": 3}, ["network", "3", "group"]),
    ({"seed": -1}, ["seed", "-1", "0"]),
    ({"seed": True}, ["seed", "True"]),
    ({"study": "a/b"}, ["study", "a/b", "folder"]),
])  # fmt: skip
def test_a_mistake_names_path_value_and_what_is_allowed(changes, parts):
    (line,) = faults(**changes)
    assert all(part in line for part in parts), line


def test_every_mistake_is_told_at_once():
    said = faults(
        optimizer={"name": "adm", "rate": "x"}, seed=-1, network={"hidden": "x", "dropout": "y"}
    )
    assert len(said) == 5


def test_a_missing_cell_lists_the_cells():
    with pytest.raises(ConfigError, match=r"cell: missing.*greff/v.*lstm"):
        build({"task": {"kind": "adding"}})


def test_contradictory_rows_are_refused():
    (line,) = faults(cell={"kind": "gated", "coupled": True, "forget_gate": False})
    assert "coupled" in line and "forget_gate=False" in line


@pytest.mark.parametrize("name", catalogue.names("cell"))
def test_every_cell_yaml_is_a_sound_spec_with_a_caption(name):
    assert config.named("cell")[name]["kind"] in CELLS
    assert len(catalogue.caption("cell", name)) > 20


@pytest.mark.parametrize("name", catalogue.names("task"))
def test_every_task_yaml_is_a_sound_spec_with_a_caption(name):
    assert config.named("task")[name]["kind"] in TASKS
    assert len(catalogue.caption("task", name)) > 20


@pytest.mark.parametrize("kind", [*CELLS, *TASKS])
def test_every_kind_has_a_yaml(kind):
    group = "cell" if kind in CELLS else "task"
    assert kind in {settings["kind"] for settings in config.named(group).values()}


@pytest.mark.parametrize("engine", ["parallel", "newton"])
def test_an_engine_that_cannot_run_the_cell_is_a_mistake_before_any_run(engine):
    values = {
        "cell": {"kind": "gated"},
        "task": {"kind": "adding"},
        "network": {"engine": engine},
    }
    with pytest.raises(ConfigError, match=f"network.engine='{engine}' needs"):
        build(values)


def test_a_list_becomes_the_tuple_that_a_frozen_spec_can_hold():
    task = {"kind": "forecasting", "series": "csv", "inputs": ["load", "heat"]}
    spec = build({"cell": {"kind": "elman"}, "task": task})
    assert spec.task.inputs == ("load", "heat") and hash(spec.task)
    assert build(spec.resolved()) == spec
    with pytest.raises(ConfigError, match=r"task.inputs: 'load' .*tuple"):
        build({"cell": {"kind": "elman"}, "task": task | {"inputs": "load"}})
