"""One run in a terminal."""

import io
import math

from records import record
from rich.console import Console

from lstm_research.detail import WIDTH, drawing, line, parts, spelled
from lstm_research.sparkline import ASCII, BARS


def told(of, curves=None) -> str:
    console = Console(width=200, file=io.StringIO(), record=True)
    console.print(drawing(list(parts(of, curves or {}, "a run"))))
    return console.export_text()


def test_result_settings_and_versions_are_all_there():
    text = told(record(value=0.25), {"valid mse": {10: 2.0, 20: 1.0}})
    assert text.startswith("a run\n")
    for words in ("status", "finished", "0.25", "forget_bias", "rate", "versions.jax", "0.10.1"):
        assert words in text
    assert "█▁  2 to 1, steps 10 to 20" in text


def test_an_unfinished_and_a_failed_run_say_what_is_known():
    assert "unfinished" in told(record(status="unfinished"))
    assert "MemoryError" in told(record(status="failed"))


def test_a_curve_is_as_wide_as_it_may_be_and_no_wider():
    long = line("x", {step: float(step) for step in range(1000)}, BARS)
    assert len(long.split("  ")[0]) == WIDTH and long.startswith("▁")
    assert line("x", {1: 1.0, 2: math.nan}, ASCII) == "_  1 to nan, steps 1 to 2"


def test_values_are_spelled_as_in_a_yaml():
    assert [spelled(value) for value in (True, None, "", 1e-8, 3, [1])] == [
        *("true", "null", '""', "1e-08", "3", "[1]"),
    ]
