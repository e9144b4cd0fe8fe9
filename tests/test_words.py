"""Words of groups against permutations composed one by one, and groups against their axioms."""

from functools import cache, partial

import jax
import numpy as np
import pytest

from lstm_research.evaluate import evaluate, metrics
from lstm_research.tasks.task import Batch
from lstm_research.tasks.words import Words, elements, generators, products

MANY = 240
SPECS = {
    "s5": Words(length=6, held_out=MANY),
    "s4 moves": Words(order=4, tokens="generators", length=5, variable=True, test_length=9),
    "a5 last": Words(group="alternating", answer="last", length=6, variable=True, held_out=MANY),
    "z5": Words(group="cyclic", length=6, test_length=9, held_out=MANY),
}
GROUPS = [
    ("cyclic", 2),
    ("cyclic", 60),
    ("symmetric", 2),
    ("symmetric", 5),
    ("alternating", 3),
    ("alternating", 5),
]
SIZES = (2, 60, 2, 120, 3, 60)


@cache
def held_out(name: str) -> list[Batch]:
    return [jax.tree.map(np.asarray, batch) for batch in _batches(name)]


def _batches(name: str) -> tuple[Batch, ...]:
    task = SPECS[name].build()
    return task.held_out(task.data, "test")


def after(spec: Words, token: int, state: tuple[int, ...]) -> tuple[int, ...]:
    """Return g * s by the definition: number by number, s first, then g."""
    moves = range(len(elements(spec.group, spec.order)))
    if spec.tokens == "generators":
        moves = generators(spec.group, spec.order)
    g = elements(spec.group, spec.order)[moves[token]]
    if spec.group == "cyclic":
        return ((g[0] + state[0]) % spec.order,)
    return tuple(g[state[i]] for i in range(spec.order))


@pytest.mark.parametrize("name", SPECS)
def test_states_are_those_of_permutations_composed_one_by_one(name):
    spec = SPECS[name]
    every = elements(spec.group, spec.order)
    for batch in held_out(name):
        for row, word in enumerate(batch.inputs):
            state, states = every[0], []
            for token in word[: batch.lengths[row]]:
                state = after(spec, token, state)
                states.append(every.index(state))
            if spec.answer == "last":
                assert batch.targets[row] == states[-1] and batch.extent[row] == len(states)
            else:
                assert batch.targets[row][: len(states)].tolist() == states
                assert batch.mask[row].sum() == len(states)


@pytest.mark.parametrize(("group", "order"), GROUPS)
def test_tables_are_groups_with_the_identity_first(group, order):
    table = products(group, order)
    every = np.arange(len(table))
    assert len(table) == SIZES[GROUPS.index((group, order))]
    assert (table[0] == every).all() and (table[:, 0] == every).all()
    assert (np.sort(table, axis=0) == every[:, None]).all()
    a, b, c = np.random.default_rng(0).integers(0, len(table), (3, 500))
    assert (table[table[a, b], c] == table[a, table[b, c]]).all()


@pytest.mark.parametrize(("group", "order"), GROUPS)
def test_generators_make_the_whole_group(group, order):
    table, moves = products(group, order), generators(group, order)
    assert moves[0] == 0 and len(set(moves)) == len(moves) and len(moves) <= order
    reached = {0}
    while (more := reached | {int(table[move, state]) for move in moves for state in reached}) != (
        reached
    ):
        reached = more
    assert len(reached) == len(table)


def test_the_alternating_group_of_five_is_its_own_commutator_and_the_cyclic_one_commutes():
    table = products("alternating", 5)
    inverse = (table == 0).argmax(axis=1)
    found = {
        int(table[table[a, b], table[inverse[a], inverse[b]]]) for a in range(60) for b in range(60)
    }
    assert len(found) == 60
    assert (products("cyclic", 60) == products("cyclic", 60).T).all()
    assert (products("symmetric", 5) != products("symmetric", 5).T).any()


def test_seeing_the_present_token_alone_gets_the_stated_chance():
    spec = Words(order=3, tokens="generators", length=3, variable=True, held_out=6000)
    task = spec.build()
    batches = [jax.tree.map(np.asarray, batch) for batch in task.held_out(task.data, "test")]
    counts = np.zeros((3, 6))
    for batch in batches:
        np.add.at(counts, (batch.inputs.ravel(), batch.targets.ravel()), batch.mask.ravel())
    right = counts.max(axis=1).sum() / counts.sum()
    shares = counts / counts.sum(axis=1, keepdims=True)
    nll = -(counts * np.log(np.maximum(shares, 1e-9))).sum() / counts.sum()
    assert task.chance["accuracy"] == pytest.approx(right, abs=0.02)
    assert task.chance["nll"] == pytest.approx(nll, abs=0.03)


def test_the_right_states_reach_the_ceiling():
    task = SPECS["s4 moves"].build()
    measure = jax.jit(partial(metrics, task))
    score = lambda batch: measure(20 * np.eye(24, dtype=np.float32)[batch.targets], batch)
    found = evaluate(score, held_out("s4 moves"))
    assert found["accuracy"] == 1.0 == found["sequence_accuracy"] and found["nll"] < 1e-6
    assert found["accuracy@length=1-5"] == found["accuracy@length=9"] == 1.0


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"group": "symetric"}, r"group.*'symetric'.*'symmetric'"),
        ({"order": 7}, r"order=7: must be at most 6"),
        ({"group": "alternating", "order": 2}, r"order=2: .*>= 3"),
        ({"length": 9, "test_length": 9}, r"test_length=9: .*>= 10"),
    ],
)
def test_impossible_fields_are_refused_by_name_value_and_remedy(fields, message):
    with pytest.raises(ValueError, match=message):
        Words(**fields)
