"""An example of every task can be read and drawn, and says what the batch says."""

import numpy as np
import pytest

from lstm_research import catalogue
from lstm_research.example import FEW, classes, drawn, example, heading, said, text
from lstm_research.tasks import TASKS

SMALL = {
    "temporal_order_6a": {"length": 12},
    "copying": {"delay": 4, "symbols": 2},
    "adding": {"length": 6},
    "reber": {},
}


def built(name):
    return catalogue.spec(TASKS, "task", name, SMALL[name]).build()


def words(text, name):
    """Return all cells of the rows of one name."""
    lines = [line for line in text.splitlines() if line.startswith(name)]
    return [cell for line in lines for cell in line[len(name) :].split()]


def test_tokens_are_read_by_their_names_and_the_answer_too():
    task = built("temporal_order_6a")
    batch = drawn(task)
    length = int(batch.lengths[0])
    got = words(text(task), "input")
    assert "".join(got) == "".join("EBabcdXY"[t] for t in np.asarray(batch.inputs)[0, :length])
    order = "".join(each for each in got if each in "XY")
    assert said(task, batch) == f"target: {order}" and text(task).endswith(f"target: {order}\n")


def test_what_carries_the_message_is_marked():
    task = built("temporal_order_6a")
    head = heading(task, drawn(task), 0)
    assert head is not None
    assert [head.names[at] for at in sorted(head.marked)] == [n for n in head.names if n in "XY"]


def test_answers_at_each_step_stand_under_their_inputs():
    task = built("copying")
    batch, shown = drawn(task), text(built("copying"))
    assert len(words(shown, "target")) == batch.inputs.shape[1]
    recalled = words(shown, "input")[:2]
    assert words(shown, "target")[-2:] == recalled and ":" in words(shown, "input")
    assert shown.count("*") == 2


def test_floats_are_printed_a_feature_a_line():
    task = built("adding")
    shown, values = text(task), np.asarray(drawn(task).inputs)[0]
    np.testing.assert_allclose([float(v) for v in words(shown, "input 0")], values[:, 0], atol=6e-3)
    assert [float(v) for v in words(shown, "input 1")] == values[:, 1].tolist()
    assert values.shape[1] <= FEW


def test_a_class_without_a_name_is_its_number():
    assert classes(catalogue.spec(TASKS, "task", "parity", {}).build(), np.array([0, 1])) == [
        "0",
        "1",
    ]


@pytest.mark.parametrize("name", SMALL)
def test_every_example_can_be_drawn(name):
    pytest.importorskip("altair", reason="needs the extra `report`")
    made = example(built(name)).to_dict()
    assert len(made["vconcat"]) >= 1 and made["title"]["text"].startswith("One example of")
