"""The speed of generation: batches are those of training, and the table flags what takes too long."""

import generation
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import solve
from ledger import lines

from lstm_research.signature import program, signature

TINY = "task.length=4 task.held_out=16 network.hidden=4 budget.batch=2 budget.steps=4"


@pytest.fixture
def tiny(monkeypatch):
    settings = {"adding": TINY}
    monkeypatch.setattr(solve, "SETTINGS", settings)
    monkeypatch.setattr(generation, "SETTINGS", settings)
    monkeypatch.setattr(generation, "TURNS", 2)
    return lines.specs(solve.setting("adding"), "generation", 1)[0]


def test_what_is_timed_is_the_batch_of_the_step(tiny):
    made, key = program(signature(tiny)), jax.random.key(3)
    got = generation.drawing(made, made.task.data, key)(5, 2)
    want = made.batch(made.task.data, key, jnp.int32(6))
    np.testing.assert_array_equal(got.inputs, want.inputs)


def test_a_line_has_both_times_and_the_table_flags_a_slow_draw(tiny, tmp_path):
    line = generation.measured("adding", 0.01)
    assert line["draw_s"] > 0 and line["step_s"] > 0 and line["batch"] == 2
    path = tmp_path / "generation.jsonl"
    slow = line | {"row": "slow", "draw_s": 0.2, "step_s": 1.0}
    lines.write(path, [slow, line | {"draw_s": 0.05, "step_s": 1.0}])
    text = generation.rendered(path)
    assert "1 of 2 rows are at or under 10%; above it: slow (20 %)" in text
    assert "| slow | 2 | 10 | 200,000 | 1,000 | 20.0 % |" in text
