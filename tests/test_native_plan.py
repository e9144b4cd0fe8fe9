"""Tiles that fill the registers, pieces that fill the whole, outputs that lie where an input was."""

import itertools

import pytest
from test_native_stages import specs

from lstm_research import native_plan
from lstm_research.native_plan import cost, laid, shared, split, tiled


@pytest.mark.parametrize(("count", "size"), [(10, 3), (12, 3), (2, 5), (1, 1)])
def test_pieces_make_the_whole(count, size):
    pieces = split(count, size)
    assert sum(each * many for each, many in pieces) == count
    assert all(each <= size for each, _ in pieces)


@pytest.mark.parametrize("rows", [1, 5, 32])
@pytest.mark.parametrize("units", [1, 4, 16])
@pytest.mark.parametrize("n", [1, 3, 4])
@pytest.mark.parametrize("team", [1, 2])
def test_the_tile_is_the_cheapest_that_fits(rows, units, n, team):
    m, p = tiled(rows, units, n, 12, team)
    assert m * p * n <= 12 and m <= rows and p <= units
    for a, b in itertools.product(range(1, rows + 1), range(1, units + 1)):
        if a * b * n <= 12:
            assert cost(rows, units, m, p, n, team) <= cost(rows, units, a, b, n, team)


def test_a_team_is_as_slow_as_its_busiest_thread():
    eleven, eight = (cost(64, 32, m, p, 1, 2) for m, p in ((4, 3), (3, 4)))
    assert tiled(64, 32, 1, 12, 2) == (3, 4) and eight < eleven  # panels, for two threads
    assert cost(64, 32, 4, 3, 1) < cost(64, 32, 3, 4, 1) == eight  # alone the other is as good


def test_more_sums_than_registers_take_several_passes(monkeypatch):
    forward, _ = specs("lstm", monkeypatch)
    few = forward._replace(registers=3)
    (stage,) = few.stages.stages
    found = native_plan.passes(few, stage, 0)
    assert [var for each in found for var in each.sums] == [each.made for each in stage.sums]
    assert all(len(each.sums) * each.rows * each.vectors <= 3 for each in found)
    assert [each.base for each in found] == sorted({each.base for each in found})


def test_nothing_in_the_scratch_overlaps(monkeypatch):
    for spec in specs("gru_before", monkeypatch):
        layout = laid(spec)
        ends = sorted([*layout.kept, *layout.turns.values(), layout.panel, layout.scratch])
        packed = sum(r.rows * r.width for r in spec.outputs if r.kind == "product")
        assert ends[0] >= packed and len(set(ends)) == len(ends)
        assert all(b - a >= spec.rows * spec.hidden for a, b in itertools.pairwise(ends))


def test_dz_lies_where_z_was_where_nothing_reads_z_later(monkeypatch):
    forward, back = specs("lstm", monkeypatch)
    assert [forward.outputs[j].width for j in shared(forward).values()] == [4 * forward.hidden]
    assert back.outputs[shared(back)[0]].width == 4 * back.hidden  # argument 0 is z
    forward, _ = specs("gru_before", monkeypatch)  # its second stage reads zx after z is written
    assert not shared(forward)


def test_a_panel_larger_than_the_first_cache_is_cut(monkeypatch):
    """Each block of a group holds half of the cache at most; one tile reads a panel once anyway."""
    forward, _ = specs("lstm", monkeypatch)
    (stage,) = forward.stages.stages
    for hidden, rows, cut in ((32, 64, False), (128, 64, True), (512, 64, True), (512, 1, False)):
        spec = forward._replace(hidden=hidden, rows=rows, lanes=8, registers=12)
        for each in native_plan.passes(spec, stage, 0):
            assert bool(each.blocks) == cut
            if cut:
                terms = max(len(found) for _, found in each.groups)
                block = hidden // each.blocks * terms * each.vectors * 8 * 4
                assert hidden % each.blocks == 0 and block <= native_plan.CLOSE
                assert each.tiles == -(-rows // each.rows)
