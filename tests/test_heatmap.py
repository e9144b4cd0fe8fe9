"""A heat map shows every number once, under the names of its steps; what does not fit is said."""

import numpy as np
import pytest

from lstm_research.heatmap import MOST, Heading, Panel, heatmap, kept

pytest.importorskip("altair", reason="needs the extra `report`")


def test_every_number_is_drawn_at_its_step_and_row():
    values = np.arange(6.0).reshape(3, 2) / 10
    made = heatmap([Panel("one", values)], "title").to_dict()
    cells = made["vconcat"][0]["data"]["values"]
    assert {(c["step"], c["unit"]): c["value"] for c in cells} == {
        (step, unit): values[step, unit] for step in range(3) for unit in range(2)
    }


def test_steps_have_names_above_and_marked_ones_a_frame_through_every_panel():
    heading = Heading("abX", frozenset({2}))
    panels = [Panel("one", np.zeros((3, 2))), Panel("two", np.zeros((3, 4)), signed=True)]
    names, *drawn = heatmap(panels, "title", heading=heading).to_dict()["vconcat"]
    assert [c["name"] for c in names["data"]["values"]] == ["a", "b", "X"]
    assert [c["marked"] for c in names["data"]["values"]] == [False, False, True]
    for one in drawn:
        assert one["layer"][1]["data"]["values"] == [{"step": 2}]


def test_the_lowest_panel_alone_has_the_axis_of_steps():
    upper, lower = heatmap([Panel("one", np.zeros((3, 2)))] * 2, "t").to_dict()["vconcat"]
    assert upper["encoding"]["x"]["axis"] is None
    assert lower["encoding"]["x"]["axis"]["title"] == "step"


def test_of_more_units_than_fit_those_that_move_stay_and_the_title_says_so():
    values = np.zeros((100, MOST // 100 + 5))
    values[::2, 7] = 1.0
    (one,) = kept([Panel("memory", values)])
    assert one.values.shape == (100, MOST // 100) and one.values.std(0).max() == 0.5
    assert one.title == f"memory ({MOST // 100} of {MOST // 100 + 5})"


def test_a_bound_that_is_given_holds():
    made = heatmap([Panel("one", np.ones((2, 2)), True, 4.0)], "t").to_dict()
    assert made["vconcat"][0]["encoding"]["color"]["scale"]["domain"] == [-4.0, 0, 4.0]
