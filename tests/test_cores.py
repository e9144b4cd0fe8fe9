"""The cores of this process: a container's share of them too."""

import os

import pytest

from lstm_research import cores


@pytest.mark.parametrize(
    ("told", "wanted"), [("max 100000", 8), ("150000 100000", 2), ("1000 100000", 1), ("9 x", 8)]
)
def test_a_containers_share(told, wanted, tmp_path, monkeypatch):
    (tmp_path / "cpu.max").write_text(f"{told}\n")
    monkeypatch.setattr(cores, "QUOTA", tmp_path / "cpu.max")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert cores.usable() == wanted


def test_without_a_share_it_is_what_the_system_allows(tmp_path, monkeypatch):
    monkeypatch.setattr(cores, "QUOTA", tmp_path / "absent")
    assert cores.usable() == len(os.sched_getaffinity(0))
    monkeypatch.delattr(os, "sched_getaffinity")
    assert cores.usable() == os.cpu_count()
