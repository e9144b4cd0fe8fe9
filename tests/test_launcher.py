"""`hydra/launcher=packed` as Hydra sees it: jobs in order, folders kept, every failure told."""

import pytest
from hydra.core.plugins import Plugins
from hydra.core.utils import JobStatus
from hydra.plugins.launcher import Launcher
from small import WORDS

from lstm_research import cli, compose, hydra_launcher, store, sweep


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def returned(monkeypatch) -> list:
    """What the launcher gives back to Hydra."""
    kept: list = []
    launch = hydra_launcher.PackedLauncher.launch

    def heard(self, overrides, initial_job_idx):
        kept.extend(launch(self, overrides, initial_job_idx))
        return kept

    monkeypatch.setattr(hydra_launcher.PackedLauncher, "launch", heard)
    return kept


LINE = ["run", "-m", "hydra/launcher=packed", *WORDS]


def test_hydra_finds_the_launcher_among_its_plugins():
    hydra_launcher.register()
    hydra_launcher.register()
    assert hydra_launcher.PackedLauncher in Plugins.instance().discover(Launcher)
    assert f"{hydra_launcher.PackedLauncher.__module__}.PackedLauncher" == compose.PACKED


def test_jobs_come_back_in_order_with_their_metric(folder, inline, returned, capsys):
    assert cli.main([*LINE, "cell=elman,lstm", "seed=1,0"]) == 0
    assert "4 runs in runs: 4 finished" in capsys.readouterr().out
    asked = [[f"cell={cell}", f"seed={seed}"] for cell in ("elman", "lstm") for seed in (1, 0)]
    assert [job.overrides[-2:] for job in returned] == asked
    assert [job.hydra_cfg.hydra.job.num for job in returned] == [0, 1, 2, 3]
    for job in returned:
        spec = sweep.built(compose.plain(job.cfg))
        result = store.load_run(store.find("runs", spec.resolved())).result
        assert job.return_value == result["metrics"]["valid"]["mse"]
    assert (folder / "runs" / "default" / "multirun.yaml").is_file()


def test_hydras_own_folders_are_kept(folder, inline):
    theirs = [
        "hydra.sweep.dir=mine",
        "hydra.sweep.subdir='${hydra.job.num}'",
        "hydra.output_subdir=.h",
    ]
    assert cli.main([*LINE, *theirs, "seed=0,1"]) == 0
    for number in "01":
        assert (folder / "mine" / number / ".h" / "config.yaml").is_file()


def test_a_failing_job_stops_no_other_and_every_failure_is_told(
    folder, inline, returned, capsys, monkeypatch
):
    monkeypatch.setenv("LSTM_RESEARCH_DATA", str(folder))
    assert cli.main([*LINE[:3], "task=piano,adding", "seed=0,1", "budget=tiny", "tracker=none",
                     "budget.steps=2", "network.hidden=3"]) == 1  # fmt: skip
    out, err = capsys.readouterr()
    assert "2 failed" in out and "2 finished" in out
    assert err.count("failed: ") == 2 and "seed 0" in err and "seed 1" in err
    assert "Traceback" not in err
    statuses = [job.status for job in returned]
    assert statuses == [JobStatus.FAILED] * 2 + [JobStatus.COMPLETED] * 2
    with pytest.raises(hydra_launcher.RunFailed, match=r"Piano_midi\.mat"):
        returned[0].return_value  # noqa: B018 (Hydra raises when it is read)


def test_the_launcher_of_a_sweep_is_packed_unless_another_is_named(folder, capsys):
    assert cli.main(["run", "--cfg", "hydra", "-p", "hydra.launcher", "cell=lstm"]) == 0
    assert compose.PACKED in capsys.readouterr().out
