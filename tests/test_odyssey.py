"""The search space odyssey: draws shared by all variants, and verdicts that follow from the numbers."""

import functools
import math

import odyssey
import pytest
from greff import claims, draws, outcome, tables

AROUND = {
    "commit": "0" * 40, "dirty": False, "device": "cpu", "cores": 2,
    "versions": dict.fromkeys(("jax", "flax", "optax", "python"), "1"),
}  # fmt: skip
SHARES = {"rate": 0.5, "variant": 0.1, "hidden size": 0.2, "input noise": 0.1, "momentum": 0.02}


@functools.cache
def resolved(variant, number):
    return draws.spec(variant, draws.draw(number)).resolved()


def record(variant, number, valid, test=None):
    """A run that came to these numbers; None: it diverged."""
    test = valid if test is None else test
    found = {} if valid is None else {"valid": {"nll": valid}, "test": {"nll": test}}
    result = dict.fromkeys(odyssey.RESULT, 1) | {"metrics": found, "parameters": 100 + number}
    result["status"] = "finished" if valid is not None else "diverged"
    return {"spec": resolved(variant, number), "environment": AROUND, "result": result}


def records(shifts, count=20):
    """Every variant at `count` draws: bad draws get worse by their number, and by the variant's shift."""
    return [
        record(variant, number, 8 + number / 20 + shift * (1 + number % 3 / 10))
        for variant, shift in shifts.items()
        for number in range(count)
    ]


def test_a_draw_depends_on_its_number_alone_and_stays_in_the_ranges():
    found = [draws.draw(number) for number in range(200)]
    assert found[7] == draws.draw(7) and len({each.rate for each in found}) > 190
    assert {each.hidden for each in found} == set(draws.SIZES)
    assert all(6e-5 <= each.rate <= 0.6 and 0 <= each.noise <= 1 for each in found)
    assert all(0 <= each.momentum <= 0.99 for each in found)
    slow = sum(each.rate < math.sqrt(6e-5 * 0.6) for each in found)
    assert 70 < slow < 130  # half of them, in the logarithm


def test_variants_share_everything_but_their_cell():
    first = resolved("v", 3)
    for variant in draws.VARIANTS:
        spec = resolved(variant, 3)
        assert spec | {"cell": None} == first | {"cell": None}
        assert spec["cell"]["kernel"] == spec["cell"]["recurrent"] == "normal"
        assert spec["cell"]["forget_bias"] == (None if variant == "nfg" else 0.0)
        assert outcome.trial(record(variant, 3, 9.0)).variant == variant


def test_more_trials_keep_the_runs_that_are_there():
    few, more = odyssey.wanted(["v"], 2, 30), odyssey.wanted(["v"], 3, 30)
    assert more[:2] == few and len({spec.seed for spec in more}) == 3


def test_the_best_tenth_is_chosen_by_validation_and_rounded_up():
    made = [record("v", n, 9 - n / 10, test=8 + n) for n in range(11)] + [record("v", 11, None)]
    trials = outcome.by_variant(made)["v"]
    assert [each.draw.number for each in outcome.best(trials)] == [10, 9]
    (group,) = outcome.groups(made)
    assert (group.trials, group.diverged, group.best) == (12, 1, (18, 17))
    assert group.best_welch is None and group.paired is None


def test_pairs_are_of_draws_that_both_have_a_number_for():
    made = [record("v", n, 9.0) for n in range(5)]
    made += [record("nfg", n, None if n == 2 else 9.5) for n in range(1, 6)]
    group = {each.variant: each for each in outcome.groups(made)}["nfg"]
    assert group.paired is not None and group.paired.n == 3
    assert group.paired.mean == pytest.approx(0.5)


@pytest.mark.parametrize(("hurts", "delta", "significant", "word"), [
    (True, 0.3, True, "held"), (True, -0.3, True, "contradicted"), (True, 0.3, False, "not shown"),
    (False, 0.3, True, "contradicted"), (False, 0.3, False, "not contradicted"),
])  # fmt: skip
def test_a_verdict_follows_from_the_difference_and_its_test(hurts, delta, significant, word):
    assert claims.verdict(hurts, delta, significant) == word


def test_the_papers_conclusions_are_held_to_the_numbers():
    made = records({"v": 0.0, "noaf": 2.0, "nfg": 0.0, "cifg": -0.0001, "nog": 1.0})
    told = claims.claims(outcome.groups(made), outcome.by_variant(made), SHARES)
    words = {each.said: each.verdict for each in told}
    assert words["NOAF is worse on music: best tenth"] == "held"
    assert words["NOAF is worse on music: all draws"] == "held"
    assert words["NFG is worse on music: best tenth"] == "not shown"
    assert words["NOG changes nothing significant on music: all draws"] == "contradicted"
    assert words["CIFG changes nothing significant on music: best tenth"] == "not contradicted"
    assert words["the best music result of CIFG is slightly better than that of V"] == "held"
    assert words["the rate matters most"] == words["momentum matters least"] == "held"
    worse = SHARES | {"momentum": 0.9, "rate": 0.01}
    again = {each.said: each.verdict for each in claims.of_shares(worse)}
    assert again["the rate matters most"] == again["momentum matters least"] == "contradicted"


def test_a_page_renders_from_its_lines(tmp_path, monkeypatch):
    monkeypatch.setattr(odyssey, "importance", lambda records, most=0: SHARES)
    monkeypatch.setattr(odyssey.pictures, "draw", lambda *given: [])
    made = [*records({"v": 0.0, "np": 0.1}, count=4), record("np", 4, None)]
    odyssey.save(made, tmp_path)
    page = (tmp_path / "odyssey.md").read_text()
    assert odyssey.rendered(tmp_path / "odyssey.jsonl") == page
    assert "9 runs, 1 diverged" in page and "| NP | 5 | 1 |" in page and "| rate | 50.0% |" in page
    kept = odyssey.known(tmp_path / "none", tmp_path / "odyssey.jsonl")
    assert list(kept.values()) == made


def test_a_page_of_few_runs_has_no_variance_and_no_crash(tmp_path):
    page = tables.render(
        [record("v", 0, None), record("fgr", 0, 9.0)],
        {
            "importance": None,
            "capped": None,
            "took_s": 60.0,
            "machine": {"processor": "a processor", "cores": 2},
        },
        "title",
        "text",
    )
    assert "Too few trials." in page and "| V | " in page


def test_pictures_are_small_and_of_every_variant(tmp_path):
    reason = "the pictures' packages are not installed"
    pytest.importorskip("altair", reason=reason)
    pytest.importorskip("vl_convert", reason=reason)
    made = records({"v": 0.0, "noaf": 9.0}, count=4)
    for path in odyssey.pictures.draw(made, SHARES, tmp_path):
        assert path.read_bytes()[:4] == b"\x89PNG" and path.stat().st_size < 300_000
