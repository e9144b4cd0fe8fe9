"""Threads that share a call compute what one computes, whoever comes late or never.

Not to the bit: LLVM fuses other products and sums where a panel has another number of vectors.
"""

import resource

import jax
import numpy as np
import pytest
from agreement import agree, same
from sampled import first
from test_native import LENGTHS, RESETS, SPECS, D, T, gradients, problem, small

from lstm_research import native, native_team, native_threads


def shared(monkeypatch, team, name, data, *masks, reverse=False):
    """Return ((carry, h), gradients) of a team."""
    monkeypatch.setattr(native_threads, "size", lambda products, steps: team)
    jax.clear_caches()
    return gradients(SPECS[name], "native", reverse)(*data, *masks)


@pytest.mark.parametrize("name", first(["lstm", "gru", "greff/fgr", "elman", "peephole", "mgu"], 3))
@pytest.mark.parametrize("near", [True, False])
def test_a_team_computes_what_one_does(name, near, monkeypatch):
    """Masks, time backwards, stages without a product, products over steps inside the kernel and after it."""
    if not near:
        monkeypatch.setattr(native, "NEAR", 0)
    data = small(name, 24)
    want = shared(monkeypatch, 1, name, data, LENGTHS, RESETS, reverse=True)
    for team in (2, 3):
        agree(shared(monkeypatch, team, name, data, LENGTHS, RESETS, reverse=True), want, 3e-6)


@pytest.mark.parametrize("hidden", [40, 1, 12])
def test_any_width_and_many_steps(hidden, monkeypatch):
    """Panels with a rest, fewer panels than threads; long enough for the second thread to be there."""
    data = problem(SPECS["lstm"], 600, 7, D, hidden, dtype=np.float32)
    want = shared(monkeypatch, 1, "lstm", data)
    got = shared(monkeypatch, 2, "lstm", data)
    agree(got, want, 1e-5)
    for _ in range(3):  # whoever computes it, it is computed in the same way
        same(gradients(SPECS["lstm"], "native")(*data), got)


def test_others_sleep_where_the_first_has_waited(monkeypatch):
    """The first thread never waits, and the others sleep after each of a few tickets."""
    data = problem(SPECS["lstm"], 900, 9, D, 40, dtype=np.float32)
    want = shared(monkeypatch, 1, "lstm", data)
    for name, value in {"PATIENCE": 1, "LONG": 0, "SLACK": 0, "AGAIN": 3, "NAP": 1}.items():
        monkeypatch.setattr(native_team, name, value)
    agree(shared(monkeypatch, 4, "lstm", data), want, 1e-5)


def test_a_thread_that_cannot_be_had_is_not_waited_for(monkeypatch):
    data = problem(SPECS["lstm"], T, 11, D, 16, dtype=np.float32)
    want = shared(monkeypatch, 1, "lstm", data)
    monkeypatch.setattr(native_threads, "ASKED", 8)  # too short for XLA, which says so
    agree(shared(monkeypatch, 3, "lstm", data), want, 3e-6)


def test_threads_that_come_too_late_do_nothing_and_nothing_is_lost(monkeypatch):
    """More than XLA has, in calls that are over before the last of them begins."""
    data = problem(SPECS["lstm"], 3, 5, D, 16, dtype=np.float32)
    want = shared(monkeypatch, 1, "lstm", data)
    monkeypatch.setattr(native_threads, "size", lambda products, steps: 12)
    jax.clear_caches()
    run = jax.jit(gradients(SPECS["lstm"], "native"))
    agree(run(*data), want, 3e-6)
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(3000):
        found = run(*data)
    agree(found, want, 3e-6)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - held
    assert grown < 8 * 1024, f"{grown} KiB are not given back"  # 6,000 calls share 12 MiB


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_blocks_of_a_panel_that_is_larger_than_the_first_cache(name, monkeypatch):
    data = small(name, 320)
    want = shared(monkeypatch, 1, name, data, LENGTHS, RESETS)
    agree(shared(monkeypatch, 2, name, data, LENGTHS, RESETS), want, 3e-6)
    agree(want, gradients(SPECS[name], "scan")(*data, LENGTHS, RESETS), 1e-5)


def test_how_many_share_a_call(monkeypatch):
    monkeypatch.setattr(native_threads, "usable", lambda: 8)
    monkeypatch.setattr(native_threads.jax, "local_device_count", lambda: 1)
    monkeypatch.setenv("XLA_FLAGS", "")
    least = native_threads.LEAST
    assert native_threads.size(2 * least - 1, 1000) == 1
    assert native_threads.size(3 * least, 1000) == 3
    assert native_threads.size(30 * least, 1000) == 8
    assert native_threads.size(3 * least, 1) == 1  # over before a thread is there
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")
    assert native_threads.size(30 * least, 1000) == 1
    monkeypatch.setenv("XLA_FLAGS", "")
    monkeypatch.setattr(native_threads.jax, "local_device_count", lambda: 2)
    assert native_threads.size(30 * least, 1000) == 1  # each device has a core, and work of its own
