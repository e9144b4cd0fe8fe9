"""What a resolved setting is called."""

from records import CELLS, LSTM, TASKS

from lstm_research.label import label, nearest


def test_an_exact_entry_is_called_by_its_shortest_name():
    assert label(LSTM, CELLS) == "lstm"  # and not `vanilla`, which is the same
    assert label(LSTM | {"forget_bias": 1}, CELLS) == "lstm"
    assert label(dict(reversed(LSTM.items())), CELLS) == "lstm"
    assert label(LSTM | {"peephole": "io"}, CELLS) == "greff/np"


def test_another_setting_is_called_by_the_nearest_name_and_its_differing_keys():
    assert label(LSTM | {"forget_bias": 2.0}, CELLS) == "lstm(forget_bias=2)"
    both = LSTM | {"coupled": True, "peephole": "io", "forget_bias": 0.5}
    assert label(both, CELLS) == "cifg(forget_bias=0.5, peephole=io)"
    assert label({"kind": "gru", "reset": {"after": False}}, CELLS) == "gru(reset.after=false)"
    assert label(TASKS["adding"] | {"length": [1, 2]}, TASKS) == "adding(length=[1,2])"
    assert label(TASKS["adding"] | {"length": None}, TASKS) == "adding(length=null)"


def test_a_key_that_only_one_side_has_is_named():
    assert label(LSTM | {"zoneout": 0.1}, CELLS) == "lstm(zoneout=0.1)"
    less = {key: value for key, value in LSTM.items() if key != "peephole"}
    assert label(less, CELLS) == "lstm(peephole=absent)"


def test_a_name_of_the_same_kind_is_nearer_than_any_other():
    assert nearest({"kind": "elman", "squash": "relu"}, CELLS).name == "elman"


def test_without_a_catalogue_the_kind_is_the_name():
    assert label({"kind": "gru", "reset": {"after": True}}, {}) == "gru(reset.after=true)"
    assert label({"kind": "odd"}, CELLS) == "odd"
