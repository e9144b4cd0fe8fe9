"""The comparison's figures: who is best, what was promised, who is absent; from lines, without a clock."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
from race import figures, gpu, launches, picture, sections, tables, turns

SHAPE = (64, 100, 2, 128)
AROUND = {
    "environment": {
        "commit": "0" * 40, "dirty": False, "versions": {"jax": "0.10.1", "torch": None},
        "started": "2026-01-01T00:00:00+00:00",
    },
    "machine": {"processor": "a processor", "cores": 2, "memory_gib": 8, "gpu": "a GPU", "load": [0.1, 1.9]},
    "took_s": 1.0,
}  # fmt: skip


def line(section, who, shape=SHAPE, **records):
    """A line in which each contestant takes as many ms as `who` gives him."""
    rivals = []
    for each in who:
        ms = records.get(each.name.replace(",", "").replace(" ", "_"), 10.0)
        one = {"name": each.name, "setting": each.setting, "job": each.job}
        rivals.append(one | {"status": "measured", "loss": 0.5, "ms": [ms, ms + 1, ms - 1]})
    return {"section": section, "shape": list(shape), **AROUND, "rivals": rivals}


def train(**records):
    return line("train", sections.train(SHAPE), **records)


def record(found, name, setting):
    return next(r for r in found["rivals"] if (r["name"], r["setting"]) == (name, setting))


def test_a_figure_is_the_median_of_the_best_setting():
    found = train()
    record(found, "haiku", "one core")["ms"] = [3.0, 9.0, 4.0]
    assert figures.best(found, "haiku") == (4.0, 3.0, 9.0, "one core")


def test_a_rival_that_we_split_is_not_the_best_rival():
    found = train(ours_auto=2.0)
    record(found, "haiku", sections.SPLIT)["ms"] = [1.0]
    assert figures.rivals(found, sections.PEERS) == 5.0
    assert "| haiku, split by us | 1 |" in tables.render([found])


@pytest.mark.parametrize(("ours", "met"), [(4.0, "yes"), (4.1, "**no**")])
def test_a_promise_is_held_to_the_best_rival_of_the_run(ours, met):
    text = tables.render([train(ours_auto=ours)])
    said = f"| train (64, 100, 2, 128): best rival | at least 2.5x | {10 / ours:.2f}x | {met} |"
    assert said in text


def test_the_limit_is_the_work_at_the_rate_of_the_square_product():
    found = train()
    record(found, "limit: 2048 cubed", "all cores")["ms"] = [100.0]
    assert figures.square(found) == pytest.approx(
        100.0 * 2 * 6400 * 512 * (2 * 130 + 128) / (2 * 2048**3)
    )


def test_the_largest_part_of_a_step_is_named_as_its_limit():
    found = train()
    record(found, "ours, auto", "all cores")["ms"] = [5.0]
    record(found, "limit: dz R', a step", "all cores")["ms"] = [0.5]
    for name in ("h R, a step", "dR, all steps", "all but R"):
        record(found, f"limit: {name}", "all cores")["ms"] = [0.1]
    assert figures.parts(found)["dz R', a step"] == pytest.approx(50.0)
    assert "Limiting term: dz R', a step." in tables.render([found])


def test_the_newest_line_of_a_shape_counts():
    text = tables.render([train(haiku=77.0), train(haiku=55.0)])
    assert "| haiku | 55 |" in text and "77" not in text


def test_a_rival_that_did_other_work_is_named():
    found = train()
    record(found, "equinox", "one core")["loss"] = 0.6
    assert "other work: equinox (0.6, not 0.5)" in tables.render([found])
    assert "other work" not in tables.render([train()])


@pytest.mark.parametrize("status", ["absent", "failed", "left out"])
def test_a_rival_without_a_figure_is_a_row_that_says_why(status):
    found = train()
    for each in found["rivals"]:
        if each["name"] == "haiku" and each.pop("ms"):
            each |= {"status": status, "reason": "not here"}
    assert f"| haiku | | | | {status}: not here |" in tables.render([found])


def test_gates_are_held_to_the_lstm_a_recurrent_block():
    found = line("variants", sections.variants(SHAPE), lstm=8.0, cifg=6.9)
    assert figures.per_block(found, "cifg") == pytest.approx(6.9 / 8 * 4 / 3)
    assert "slowest a block, janet" in tables.render([found])


def test_rivals_that_hold_their_memory_are_compared_with_ours_that_do():
    found = train()
    record(found, "ours, auto, memory held", "memory held")["ms"] = [4.0]
    record(found, "torch nn.LSTM, memory held", "memory held")["ms"] = [6.0]
    text = tables.render([found])
    assert "best rival, all with memory held | at least 2.5x | 1.50x | **no** |" in text
    assert "| torch nn.LSTM, memory held | 6 |" in text
    found["rivals"] = [r for r in found["rivals"] if not r["name"].endswith("memory held")]
    assert "memory held" not in tables.render([found])


def test_memory_grows_with_a_power_of_the_length():
    def one(steps, mib):
        job = {"shape": [8, steps, 2, 128]}
        here = {"name": "ours, auto", "job": job, "status": "measured", "loss": 0.1}
        return here | {"mib": mib, "before_mib": 100.0}

    found = {"section": "memory", "shape": None, **AROUND}
    found["rivals"] = [one(50_000, 300.0), one(100_000, 500.0)]
    assert figures.growth(found) == (500.0, pytest.approx(1.0))
    assert (
        "| growth of the memory, all h, power of T | at most 0.5 | 1.00 | **no** |"
        in tables.render([found])
    )


def test_a_launch_is_judged_by_the_later_ones():
    who = {"name": "run", "job": {"command": ["a=b"]}, "status": "measured"}
    who |= {"first_s": 9.0, "seconds": [2.0, 2.5, 4.0]}
    found = {"section": "start", "shape": None, **AROUND, "rivals": [who]}
    assert "at most 3 s | 2.50 s | yes" in tables.render([found])


def test_a_stream_is_held_to_torch_and_onnxruntime():
    shape = sections.STREAM[0]
    found = line("stream", sections.stream(shape), shape, onnxruntime=5.0)
    text = tables.render([found])
    assert "a step a call, (1, 100, 2, 32): onnxruntime | at least 1x | 0.50x | **no** |" in text
    assert "a sequence a call, (1, 100, 2, 32): torch nn.LSTM | at least 1x | 1.00x | yes |" in text


def test_the_gpu_is_held_to_cudnn_and_cites_flashrnn():
    shape = gpu.SHAPES[-1]
    found = line(
        "gpu train", gpu.train(shape, ["fused", "scan", "newton", "pallas"]), shape, ours_pallas=5.0
    )
    text = tables.render([found])
    assert "bfloat16: cuDNN | at least 1x | 2.00x | yes |" in text
    assert "FlashRNN, CUDA fused* | published | 13.61 |" in text and "newton" not in text


def test_a_pack_is_held_to_three_times_one_run():
    found = line("gpu pack", gpu.pack(gpu.PACK, []), gpu.PACK)
    found["rivals"][1]["ms"], found["rivals"][2]["ms"] = [2.0], [16.0]
    said = "(64, 100, 2, 128): 64 runs beside one | at most 3x | 8.00x | **no** |"
    assert said in tables.render([found])


def test_a_process_that_gives_no_answer_is_ended_and_the_next_is_a_new_one(monkeypatch):
    monkeypatch.setattr(turns, "LIMIT_S", 0.01)
    with turns.Workers() as workers:
        first = workers["all cores"]
        assert "no answer within" in first.ask(do="facts")["reason"]
        assert workers["all cores"] is not first


def test_every_section_of_the_plan_has_a_table():
    planned = {*sections.CONTESTANTS, "memory", "start", *(name for name, _, _ in gpu.PLAN)}
    assert planned == set(tables.TABLES) == set(tables.TITLES)


class Fake:
    """Workers that answer at once and remember who ran."""

    def __init__(self):
        self.ran = []

    def __getitem__(self, setting):
        return self

    def ask(self, do, **asked):
        if do == "make":
            absent = asked["job"]["package"] == "absent"
            return {"status": "absent", "reason": "not installed"} if absent else {"loss": 0.5}
        if do == "run":
            self.ran.append(asked["key"])
            return {"ms": 1.0, "loss": 0.5}
        return {}

    def drop(self):
        pass


def who(*packages):
    job = {"work": "train", "shape": SHAPE}
    return [turns.Contestant(name, "all cores", job | {"package": name}) for name in packages]


def test_the_order_of_turns_rotates_and_the_absent_do_not_run():
    workers = Fake()
    found = turns.compete(workers, who("a", "absent", "b", "c"), rounds=3, seconds=0.01)
    first, *rounds = (workers.ran[i : i + 3] for i in range(0, 12, 3))
    assert first == [0, 2, 3]  # sets the count
    assert rounds == [[0, 2, 3], [2, 3, 0], [3, 0, 2]]
    assert [r["status"] for r in found] == ["measured", "absent", "measured", "measured"]
    assert all(len(r["ms"]) == 3 and r["count"] == 10 for r in found if r["status"] == "measured")


def test_nobody_is_made_once_the_time_is_up():
    found = turns.compete(Fake(), who("a"), rounds=3, seconds=0.01, deadline=0.0)
    assert found[0]["status"] == "left out"


def test_a_picture_shows_every_shape(tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    path = tmp_path / "speed.jsonl"
    path.write_text("\n".join(json.dumps(each) for each in (train(), train(haiku=3.0))))
    drawn = picture.draw(path)
    assert drawn is not None and drawn.read_bytes()[:4] == b"\x89PNG"


def test_the_comparison_imports_without_hydra_pydantic_and_wandb():
    root = Path(__file__).parents[1] / "experiments"
    code = f"""
import sys
sys.path[:0] = [{str(root)!r}, {str(root.parent)!r}]
for name in ("hydra", "omegaconf", "pydantic", "wandb", "scipy", "pooch", "torch", "keras", "haiku"):
    sys.modules[name] = None
import speed, race.worker, race.jax_jobs, race.products
assert race.jax_jobs.RIVALS
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


@pytest.mark.slow
def test_processes_of_two_settings_take_turns():
    asked = [
        sections.jax("ours, auto", s, "train", (2, 5, 3, 4)) for s in ("one core", sections.SPLIT)
    ]
    absent = asked[0]._replace(name="x", job=asked[0].job | {"package": "no_such_package"})
    with turns.Workers() as workers:
        found = turns.compete(workers, [*asked, absent], rounds=3, seconds=0.001)
    assert [r["status"] for r in found] == ["measured", "measured", "absent"]
    assert found[0]["loss"] == pytest.approx(found[1]["loss"], rel=1e-5)
    assert all(len(r["ms"]) == 3 and min(r["ms"]) > 0 for r in found[:2])


@pytest.mark.slow
def test_the_comparison_for_a_gpu_runs_from_end_to_end_where_there_is_none(
    tmp_path, monkeypatch, capsys
):
    import speed

    monkeypatch.setitem(turns.SETTINGS, "gpu", {"JAX_PLATFORMS": "cpu"})
    monkeypatch.setattr(gpu, "SQUARE", (64, 64, 64))
    argv = ["speed.py", "--gpu", "--rounds", "1", "--seconds", "0.001", "--shapes", "8,3,4,4"]
    monkeypatch.setattr("sys.argv", [*argv, "--only", "train", "pack", "--out", str(tmp_path)])
    plan = [("gpu train", gpu.SHAPES[0], gpu.train), ("gpu pack", gpu.PACK, gpu.pack)]
    monkeypatch.setattr(gpu, "PLAN", plan)
    speed.main()
    text = (tmp_path / "speed_gpu.md").read_text()
    assert "| ours, fused | bfloat16 |" in text and "64 runs, for each" in text
    assert "GEMM limit" in text and "| absent: " in text  # PyTorch, or its GPU
    assert "ours, auto" in capsys.readouterr().out


@pytest.mark.slow
def test_the_memory_of_one_step_and_a_launch_are_measured():
    (found, *_) = launches.memory(((2, 20, 2, 4),), ())
    assert found["mib"] > found["before_mib"] > 10
    if importlib.util.find_spec("hydra") is not None:
        (run,) = launches.launches(1)
        assert run["status"] == "measured" and run["first_s"] > 0 and len(run["seconds"]) == 1
