"""`lstm-research inspect` writes numbers and pictures into the run, and refuses by name."""

import json
import sys

import pytest
from small import small

from lstm_research import store
from lstm_research.cli import main
from lstm_research.run import run

RUN = small(seed=7)
PICTURES = ("histograms", "timescales", "traces", "gradient_flow", "spectrum")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A store with one run in it."""
    folder = tmp_path_factory.mktemp("store")
    run(RUN, folder)
    return folder


@pytest.fixture
def path(root):
    return store.find(root, RUN.resolved())


def test_a_run_is_inspected_into_its_folder(root, path, capsys):
    pytest.importorskip("vl_convert", reason="needs the extra `report`")
    code = main(["inspect", path.name[:6], "--runs", str(root), "--examples", "4"])
    out = capsys.readouterr().out
    assert code == 0 and "forget gate f" in out and "timescales" in out
    wanted = {f"{name}.{ending}" for name in PICTURES for ending in ("svg", "png")}
    assert {each.name for each in (path / "inspect").iterdir()} == wanted | {"numbers.json"}
    assert store.load_run(path).status in ("finished", "solved")


def test_json_prints_the_numbers_that_are_written(root, path, capsys, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "altair", None)
    line = ["inspect", str(path), "--examples", "4", "--split", "test", "--json"]
    assert main([*line, "--out", str(tmp_path / "here")]) == 1
    out, err = capsys.readouterr()
    data = json.loads(out)
    assert data == json.loads((tmp_path / "here" / "numbers.json").read_text())
    assert data["split"] == "test" and data["examples"] == 4
    assert "lstm-research[report]" in err


def test_an_unknown_run_is_refused_by_name(root, capsys):
    assert main(["inspect", "zzz", "--runs", str(root)]) == 2
    assert "no run" in capsys.readouterr().err


@pytest.mark.parametrize("examples", ["0", "many"])
def test_examples_are_whole_numbers_from_one_on(examples, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["inspect", "x", "--examples", examples])
    assert stop.value.code == 2 and "--examples" in capsys.readouterr().err
