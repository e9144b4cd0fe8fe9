"""What the seeds of a variant say together: what is counted, averaged, bold, and compared."""

import math

import pytest
from records import against, at, made, only, record, seeds

from lstm_research.render import FORMATS
from lstm_research.stats import mean_interval
from lstm_research.table import Table
from lstm_research.terminal import terminal


def test_the_mean_and_the_interval_are_those_of_the_seeds():
    values = [0.1, 0.2, 0.4]
    entry = only(made(seeds(values)))
    expected = mean_interval(values)
    assert (entry.mean, entry.low, entry.high) == expected[:3] and entry.n == 3
    assert entry.values == ((0, 0.1), (1, 0.2), (2, 0.4))
    assert only(made(seeds(values), split="valid")).mean == pytest.approx(2 * expected.mean)


def test_a_single_seed_has_a_number_and_no_interval():
    found = made(seeds([0.125]))
    entry = only(found)
    assert (entry.mean, entry.low, entry.high, entry.best) == (0.125, None, None, True)
    assert "0.125 *" in terminal(found) and "[" not in terminal(found)
    assert "1 run. commit" in terminal(found)
    assert any("single seed has no interval" in note for note in found.notes)


def test_diverged_and_failed_runs_are_counted_and_not_averaged():
    runs = [
        *seeds([0.1, 0.3], status="solved"),
        record(seed=2, value=math.nan, status="diverged", metrics={}),
        record(seed=3, status="diverged", value=9e9),
        record(seed=4, status="failed"),
    ]
    found = made(runs)
    entry = only(found)
    assert (entry.n, entry.solved, entry.diverged, entry.failed) == (5, 2, 2, 1)
    assert entry.mean == pytest.approx(0.2) and len(entry.values) == 2
    text = terminal(found)
    assert "n=5 · solved 2" in text and "2 of 5 diverged" in text and "1 of 5 failed" in text
    assert "5 runs, 2 diverged, 1 failed." in text


def test_sequences_until_success_are_the_median_over_solved_runs():
    solved = [
        record(seed=seed, status="solved", solved_at=steps, budget={"batch": 32})
        for seed, steps in enumerate((100, 4000, 400))
    ]
    found = made([*solved, record(seed=3, budget={"batch": 32})])
    assert only(found).sequences == 12_800
    text = terminal(found)
    assert "n=4 · solved 3" in text and "after 12.8k sequences" in text
    assert any("median over the solved runs" in note for note in found.notes)
    later = [record(seed=0, status="finished", solved_at=5), record(seed=1)]
    assert only(made(later)).sequences == 40  # 8 a batch; went on training


def test_without_a_solved_run_no_sequences_are_told():
    found = made(seeds([0.1, 0.2]))
    assert only(found).sequences is None and "sequences" not in terminal(found)


def test_a_variant_that_only_diverged_is_a_row_without_a_number():
    found = made(seeds([math.nan] * 3, status="diverged", metrics={}), seeds([0.1], cell="gru"))
    entry = at(found, 0)
    assert entry.mean is None and entry.diverged == entry.n == 3 and not entry.best
    assert "—" in terminal(found) and "3 of 3 diverged" in terminal(found)


def test_a_number_that_is_not_finite_counts_as_diverged_and_a_missing_one_as_failed():
    entry = only(made(seeds([0.1, math.nan, math.inf, None])))
    assert (entry.n, entry.diverged, entry.failed, len(entry.values)) == (4, 2, 1, 1)


def test_a_table_of_failures_alone_can_still_be_shown():
    found = made([record(status="failed", seed=seed) for seed in range(2)])
    for write in FORMATS.values():
        assert write(found)
    assert "2 of 2 failed" in terminal(found)


def test_a_task_without_a_criterion_counts_no_solved_runs():
    assert "solved" not in terminal(made(seeds([0.1], success=None))).split("Mean on")[0]
    assert "solved 0" in terminal(made(seeds([0.1])))


def bold(found: Table) -> list[str]:
    return [row.label for index, row in enumerate(found.rows) if at(found, index).best]


def test_the_best_is_bold_in_the_direction_of_the_metric():
    low, high = [0.1, 0.1001], [0.9, 0.9001]
    pair = [("lstm", low), ("gru", high)]
    assert bold(made(*(seeds(v, cell=c) for c, v in pair))) == ["lstm"]
    assert bold(made(*(seeds(v, cell=c, task="copying") for c, v in pair))) == ["gru"]


def test_every_row_whose_interval_overlaps_with_the_best_is_bold():
    near, far = [0.15, 0.25, 0.35], [5.0, 5.1, 5.2]
    found = made(seeds([0.1, 0.2, 0.3]), seeds(near, cell="cifg"), seeds(far, cell="gru"))
    assert bold(found) == ["lstm", "cifg"]


def test_a_mean_over_survivors_is_never_bold():
    found = made(
        [*seeds([0.001, 0.001]), record(seed=2, status="diverged")], seeds([0.2] * 3, cell="gru")
    )
    assert bold(found) == ["gru"]


def test_rows_are_compared_with_the_baseline_seed_by_seed():
    base = [0.5, 0.1, 0.9, 0.3, 0.7]
    found = made(
        seeds([value - 0.01 for value in base], cell="gru"),
        seeds(base),
        seeds([value + 0.01 for value in base], cell="cifg"),
        baseline="lstm",
    )
    assert [row.label for row in found.rows] == ["lstm", "cifg", "gru"]
    plus, minus = against(found, 1), against(found, 2)
    assert at(found, 0).versus is None
    assert plus.delta == pytest.approx(0.01) and minus.delta == pytest.approx(-0.01)
    assert plus.p == minus.p == 2 * 0.0625 and plus.pairs == 5  # Holm over two
    text = terminal(found)
    assert "Δ -0.0100 · p=0.125" in text and "5 seeds cannot reach p < 0.0625" in text


def test_only_seeds_that_both_have_are_paired():
    found = made(
        seeds([0.1, 0.2, 0.3]),
        [record("gru", seed=2, value=0.5), record("gru", seed=7, value=0.1)],
        baseline="lstm",
    )
    assert against(found, 1).pairs == 1
    assert against(found, 1).delta == pytest.approx(0.2)
