"""The page on disk: as a whole, again when the store changes, and what a mistake is told."""

import os
import sys

import pytest
from studied import run, spec, study

pytest.importorskip("altair", reason="the report draws with altair: pip install -e '.[report]'")
pytest.importorskip(
    "vl_convert", reason="the report draws with vl-convert: pip install -e '.[report]'"
)

from lstm_research import cli
from lstm_research.disk import StoreError
from lstm_research.report import page, write
from lstm_research.report.write import Wanted, fingerprint, watch


@pytest.fixture(autouse=True)
def light(monkeypatch):
    """The libraries take seconds to bundle and are tested elsewhere."""
    monkeypatch.setattr(page, "bundle", lambda: "")


@pytest.fixture
def wanted(tmp_path):
    return Wanted(study(tmp_path / "runs"), tmp_path / "new" / "report.html")


def test_the_command_writes_one_file_and_says_its_size(wanted, tmp_path, capsys):
    out = tmp_path / "r.html"
    assert cli.main(["report", str(wanted.root), "--out", str(out), "--baseline", "lstm"]) == 0
    assert capsys.readouterr().out == f"{out}: 13 runs, {out.stat().st_size / 1e6:.2f} MB\n"
    assert sorted(os.listdir(tmp_path)) == ["r.html", "runs"]  # no draft beside it


def test_only_one_study_is_shown_where_one_is_asked_for(wanted):
    run(wanted.root, spec("lstm", seed=9) | {"study": "other"})
    assert write.write(wanted).runs == 14
    assert write.write(wanted._replace(study="other")).runs == 1
    with pytest.raises(StoreError, match="no runs of study 'none'"):
        write.write(wanted._replace(study="none"))


def test_a_mistake_is_one_line_and_no_file(wanted, tmp_path, capsys, monkeypatch):
    out = tmp_path / "r.html"
    assert cli.main(["report", str(wanted.root), "--out", str(out), "--baseline", "lstn"]) == 2
    assert "Did you mean 'lstm'?" in capsys.readouterr().err
    assert cli.main(["report", str(wanted.root), "--every", "0"]) == 2
    assert cli.main(["report", str(tmp_path / "none"), "--out", str(out)]) == 1
    assert "no such folder" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "altair", None)
    assert cli.main(["report", str(wanted.root), "--out", str(out)]) == 1
    assert "pip install 'lstm-research[report]'" in capsys.readouterr().err
    assert not out.exists()


def test_a_watched_page_is_written_when_the_store_changes_and_loads_itself_until_the_end(wanted):
    pages, sizes = [], []

    def sleep(_seconds):
        pages.append(wanted.out.read_text())
        if len(pages) == 2:
            run(wanted.root, spec("lstm", seed=8))
        if len(pages) == 4:
            raise KeyboardInterrupt

    watch(wanted, 5, lambda written: sizes.append(written.runs), sleep)
    assert sizes == [13, 14, 14]  # at first, after the change, at the end
    assert pages[0] == pages[1] != pages[2] == pages[3]
    assert all('"refresh":5' in text for text in pages)
    assert '"refresh":null' in wanted.out.read_text()


def test_an_empty_store_is_waited_for(tmp_path):
    wanted, seen = Wanted(tmp_path / "runs", tmp_path / "r.html"), []

    def sleep(_seconds):
        if seen:
            raise KeyboardInterrupt
        assert not wanted.out.exists()
        run(wanted.root, spec())

    watch(wanted, 5, lambda written: seen.append(written.runs), sleep)
    assert seen == [1, 1]


def test_the_fingerprint_changes_with_a_line_of_a_curve_and_not_with_the_page(wanted):
    before = fingerprint(wanted.root)
    assert before == fingerprint(wanted.root) != frozenset()
    (wanted.root / "report.html").write_text("page")
    assert before == fingerprint(wanted.root)
    with next(wanted.root.glob("*/*/metrics.jsonl")).open("a") as file:
        file.write("{}\n")
    assert before != fingerprint(wanted.root)
