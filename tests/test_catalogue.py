"""Names mean one thing everywhere; one that is not there is answered with the nearest."""

import pytest

from lstm_research import catalogue
from lstm_research.catalogue import UnknownName
from lstm_research.cells import CELLS
from lstm_research.gated import GateSpec
from lstm_research.spelling import nearest, unknown


@pytest.mark.parametrize(
    ("name", "close"), [("lstn", "lstm"), ("gru_befor", "gru_before"), ("greff/nik", "greff/nig")]
)
def test_an_unknown_cell_is_answered_with_the_nearest_spelling(name, close):
    with pytest.raises(UnknownName, match=f"'{name}'.*Did you mean '{close}'.*Allowed: .*cifg"):
        catalogue.spec(CELLS, "cell", name, {})


def test_an_unknown_setting_is_answered_with_the_nearest_spelling():
    with pytest.raises(UnknownName, match=r"cell\.peepole.*Did you mean 'peephole'"):
        catalogue.spec(CELLS, "cell", "lstm", {"peepole": "i"})


def test_an_unknown_kind_is_answered_with_the_kinds():
    with pytest.raises(UnknownName, match=r"cell\.kind: 'gatd'.*Did you mean 'gated'"):
        catalogue.build(CELLS, "cell", {"kind": "gatd"})


def test_changes_go_on_top_of_a_name():
    assert catalogue.spec(CELLS, "cell", "cifg", {"peephole": "io"}) == catalogue.spec(
        CELLS, "cell", "greff/cifg", {}
    )


def test_a_kind_is_a_name_too():
    assert catalogue.spec(CELLS, "cell", "gated", {"coupled": True}) == GateSpec(coupled=True)


def test_a_contradiction_says_which_group_it_is_in():
    with pytest.raises(ValueError, match=r"^cell: shift=1\.0 .* coupled"):
        catalogue.spec(CELLS, "cell", "lstm", {"shift": 1.0})


def test_names_of_a_paper_stand_under_it():
    names = catalogue.names("cell")
    assert "greff/nig" in names and "lstm" in names and names == sorted(names)


def test_a_folder_without_a_run_is_refused_with_its_path(monkeypatch, tmp_path):
    monkeypatch.setenv("LSTM_RESEARCH_CONF", str(tmp_path))
    catalogue.folder.cache_clear()
    try:
        with pytest.raises(FileNotFoundError, match=str(tmp_path)):
            catalogue.folder()
    finally:
        monkeypatch.undo()
        catalogue.folder.cache_clear()


def test_nothing_near_is_nothing_said():
    assert nearest("zzz", ["lstm", "gru"]) is None
    assert "Did you mean" not in unknown("cell", "zzz", ["lstm", "gru"])
    assert "none" in unknown("cell", "zzz", [])
