"""A run in a pack is the run alone: beside whom it stands, on how many devices, and by which road."""

import dataclasses

import jax
import numpy as np
import pytest

from lstm_research import catalogue, program
from lstm_research.config import RunSpec, build
from lstm_research.life import Result, Run
from lstm_research.pack import Pack, fitting, memory
from lstm_research.program import Program
from lstm_research.run import finished, fit, fit_many
from lstm_research.signature import Signature, member, signature, task, united
from lstm_research.train import train

GREFF = ("v", "nig", "nfg", "nog", "niaf", "noaf", "np", "cifg")
SMALL = {"task": {"kind": "adding", "length": 12, "held_out": 20}, "network": {"hidden": 5}}


def spec(cell: str = "greff/v", seed: int = 0, steps: int = 100, **parts) -> RunSpec:
    budget = {"steps": steps, "batch": 4, "evaluate_every": 50} | parts.pop("budget", {})
    rule = {"name": "adam", "rate": 0.01} | parts.pop("optimizer", {})
    settings = catalogue.settings("cell", cell) | parts.pop("change", {})
    return build(
        {"cell": settings, "optimizer": rule, "budget": budget, "seed": seed} | SMALL | parts
    )


def made(static: Signature) -> Program:
    return Program(static.cell, static.network, task(static.task), static.optimizer, static.budget)


def curves(pack: Pack, specs: list[RunSpec], over=None) -> tuple[list[list[dict]], list[Result]]:
    events, ended = [[] for _ in specs], {}
    runs = [
        Run(member(each, over), events[k].append, lambda result, k=k: ended.__setitem__(k, result))
        for k, each in enumerate(specs)
    ]
    train(pack, runs)
    return events, [ended[k] for k in range(len(specs))]


def gap(one: list[list[dict]], two: list[list[dict]]) -> float:
    """Return the largest difference of any logged number, relative to numbers above 1."""
    worst = 0.0
    for ours, theirs in zip(one, two, strict=True):
        assert [(e["step"], e["split"]) for e in ours] == [(e["step"], e["split"]) for e in theirs]
        for a, b in zip(ours, theirs, strict=True):
            keys = a.keys() - {"split"}
            worst = max([worst, *(abs(a[k] - b[k]) / max(1.0, abs(b[k])) for k in keys)])
    return worst


@pytest.fixture(scope="module")
def rows() -> list[RunSpec]:
    return [
        spec(f"greff/{row}", seed, optimizer={"rate": 0.01 / (1 + k), "clip_norm": 1.0 + k})
        for k, row in enumerate(GREFF)
        for seed in (k,)
    ]


@pytest.fixture(scope="module")
def packed(rows):
    """The eight rows as one program of which three slots are refilled as runs end."""
    static = united(rows)
    pack = Pack(made(static), 3)
    return pack, static.cell.over, *curves(pack, rows, static.cell.over)


def test_every_row_of_a_superset_is_the_row_alone(rows, packed):
    """All eight alone are eight compilations: here the ends of the list, the rest under slow."""
    *_, many, _ = packed
    for k in (1, 7):
        alone, _ = curves(Pack(made(signature(rows[k])), 1), [rows[k]])
        assert gap(alone, [many[k]]) < 1e-5


def test_beside_whom_a_run_stands_and_in_which_order_changes_no_bit(rows, packed):
    pack, over, many, _ = packed
    some = [5, 2]
    again, _ = curves(pack, [rows[k] for k in some], over)
    assert again == [many[k] for k in some]


def test_side_by_side_is_one_after_another(rows, packed):
    """`vmap`, the road of accelerators, against `lax.map`."""
    pack, over, many, _ = packed
    beside = Pack(pack.program, len(rows), serial=False)
    assert gap(curves(beside, rows, over)[0], many) < 1e-5


def test_a_pack_is_compiled_once(rows, monkeypatch):
    traced = []
    real = Program.steps
    monkeypatch.setattr(
        Program, "steps", lambda self, *args: (traced.append(1), real(self, *args))[1]
    )
    pack = Pack(made(united(rows)), 2)
    curves(pack, rows[:3], united(rows).cell.over)
    curves(pack, rows[3:5], united(rows).cell.over)
    assert len(traced) == 1 and len(pack.measures) == 1


def test_weights_that_a_row_does_not_own_get_a_gradient_of_exactly_zero(rows):
    static = united(rows)
    program = made(static)
    grads = jax.jit(
        lambda state, key: program.step(state, None, key)[0].optimizer,
        compiler_options={"xla_backend_optimization_level": 0},
    )
    width = 5
    for each in rows:
        state = program.begin(member(each, static.cell.over))
        moments = [leaf for leaf in jax.tree.leaves(grads(state, jax.random.key(0)))]
        dead = {"nig": "i", "nfg": "f", "nog": "o", "cifg": "f"}.get(name(each))
        shapes = [(leaf, "ifgo") for leaf in moments if leaf.shape[-1:] == (4 * width,)]
        assert len(shapes) == 6  # w, r and b, the first and the second moment
        for leaf, blocks in shapes:
            for k, block in enumerate(np.split(np.asarray(leaf), 4, -1)):
                assert (not block.any()) == (blocks[k] == dead), (name(each), blocks[k])


def name(each: RunSpec) -> str:
    return next(row for row in GREFF if spec(f"greff/{row}").cell == each.cell)


def test_what_differs_in_numbers_shares_a_program_and_each_run_keeps_its_own():
    specs = [
        spec(seed=1, optimizer={"rate": 0.02, "input_noise": 0.1}, network={"hidden": 5, "dropout": 0.2}),
        spec(seed=1, optimizer={"rate": 0.02, "input_noise": 0.3}, network={"hidden": 5, "dropout": 0.2}),
        spec(seed=1, optimizer={"rate": 0.02, "input_noise": 0.1}, network={"hidden": 5, "dropout": 0.5}),
        spec(
            seed=1,
            optimizer={"rate": 0.02, "input_noise": 0.1},
            network={"hidden": 5, "dropout": 0.2},
            change={"chrono": 12.0},
        ),
    ]  # fmt: skip
    assert len({signature(each) for each in specs}) == 1
    events: list[list[dict]] = [[] for _ in specs]
    results = fit_many(specs, lambda which, event: events[which].append(event))
    losses = [each[0]["loss"] for each in events]
    assert len(set(losses)) == 4
    alone: list[dict] = []
    result = fit(specs[1], alone.append)
    assert gap([alone], [events[1]]) < 1e-6
    assert result.metrics["test"]["mse"] == pytest.approx(results[1].metrics["test"]["mse"], 1e-5)


def test_what_is_on_in_one_run_and_off_in_another_is_another_program():
    off = spec()
    for change in ({"clip_norm": None}, {"weight_noise": 0.1}, {"input_noise": 0.1}):
        assert signature(spec(optimizer=change)) != signature(off)
    assert signature(spec(seed=7)) == signature(off)


def test_input_noise_needs_inputs_that_are_floats():
    spec = build(
        {"cell": {"kind": "gated"}, "task": {"kind": "parity"}, "optimizer": {"input_noise": 0.1}}
    )
    with pytest.raises(ValueError, match=r"optimizer\.input_noise needs float inputs.*parity"):
        made(signature(spec))


def test_the_network_of_a_packed_run_is_that_of_the_run_alone(rows, packed):
    pack, _, _, results = packed
    for k in (1, 7):
        alone = fit(rows[k])
        mine, model = finished(rows[k], pack.program, results[k], shared=True)
        assert (mine.parameters, mine.step_ms) == (alone.parameters, None)
        assert model.cell == rows[k].cell
        for one, other in zip(
            jax.tree.leaves(mine.params), jax.tree.leaves(alone.params), strict=True
        ):
            np.testing.assert_allclose(one, other, atol=1e-5)


def test_runs_that_end_leave_and_the_next_take_their_slots():
    """Patience ends each run at another step; a pack of two holds five runs."""
    specs = [
        spec(seed=seed, steps=400, budget={"evaluate_every": 10, "patience": 2}, optimizer={"rate": 0.05})
        for seed in range(5)
    ]  # fmt: skip
    pack = Pack(made(signature(specs[0])), 2)
    events, results = curves(pack, specs)
    assert len({result.steps for result in results}) > 1
    for each, result, mine in zip(specs[3:], results[3:], events[3:], strict=True):
        again, (alone,) = curves(pack, [each])
        assert again == [mine]
        assert (alone.steps, alone.metrics) == (result.steps, result.metrics)


def test_a_pack_that_does_not_fit_the_memory_is_cut(rows):
    class Device:
        platform = "gpu"

        def memory_stats(self):
            return {"bytes_limit": 10 * sum(memory(program))}

    program = made(signature(rows[0]))
    assert fitting(program, Device(), serial=False) == 6
    assert memory(made(signature(spec(network={"hidden": 50}))))[0] > memory(program)[0]


@pytest.mark.slow
def test_in_float64_a_packed_run_is_the_run_alone_at_every_logged_step_of_a_thousand(float64):
    specs = [
        spec(f"greff/{row}", 3, 1000, budget={"evaluate_every": 20}, optimizer={"rate": 0.003})
        for row in GREFF
    ]
    specs = [dataclasses.replace(each, task=specs[0].task) for each in specs]
    program.held_out.cache_clear()
    static = united(specs)
    many, _ = curves(Pack(made(static), len(specs)), specs, static.cell.over)
    worst = 0.0
    for k, each in enumerate(specs):
        alone, _ = curves(Pack(made(signature(each)), 1), [each])
        steps = min(len(alone[0]), len(many[k]))
        assert steps == len(alone[0]) == len(many[k])
        worst = max(worst, gap(alone, [many[k]]))
    program.held_out.cache_clear()
    print(f"worst relative difference over {len(specs)} rows: {worst:.2e}")
    assert worst < 1e-9


def test_preparing_a_pack_compiles_and_runs_nothing_on_its_devices(monkeypatch):
    """Two programs that share devices wait for each other for ever where each has begun on one of them."""
    pack = Pack(made(signature(spec())), 2)
    ran = []
    real = jax.stages.Compiled.__call__
    monkeypatch.setattr(
        jax.stages.Compiled,
        "__call__",
        lambda self, *a, **k: ran.append(self) or real(self, *a, **k),
    )
    pack.prepare()
    assert pack.measures and not ran
    (compiled,) = pack.measures.values()
    nobody = np.zeros(pack.width, bool)
    state = pack.place(
        jax.tree.map(
            lambda leaf: np.zeros((pack.width, *leaf.shape), leaf.dtype), pack.program.state
        )
    )
    pack.evaluate((state.params, state.rest), nobody, "valid")
    assert compiled in ran and len(pack.measures) == 1  # what was compiled is what measures


def test_states_drawn_while_a_pack_compiles_are_those_of_its_runs():
    program = made(signature(spec()))
    members = [program.member(seed) for seed in (4, 5, 6)]
    pack = Pack(program, 2).prepare(iter(members))
    assert [member.seed for member, _ in pack.beginnings.drawn] == [4, 5], "as many as it holds"
    for one in (members[1], members[0], members[2]):
        got, want = pack.begin(one), program.begin(one)
        for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
            np.testing.assert_array_equal(a, b)
    assert not pack.beginnings.drawn
