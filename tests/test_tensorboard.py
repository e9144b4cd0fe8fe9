"""TensorBoard reads back what the store holds; no TensorFlow, no host name."""

import socket
import sys

import mirrored
import pytest
from mirrored import SPEC, pictured, trained

from lstm_research import store
from lstm_research.trackers.mirror import replay
from lstm_research.trackers.tensorboard import TensorBoard

pytest.importorskip("tensorboard", reason="the extra `tensorboard` is not installed")


@pytest.fixture
def board(monkeypatch, tmp_path):
    mirrored.at_home(monkeypatch, tmp_path)
    return TensorBoard(tmp_path / "tensorboard")


def read(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder))
    found.Reload()
    return found


def send(board, root) -> list[str]:
    return [each.verdict for each in replay(store.load_runs(root), board, lambda spec: "a | b")]


def test_a_run_reads_back_with_its_curve_its_pictures_and_its_settings(board, tmp_path):
    point = pictured(trained(tmp_path / "runs", SPEC))
    assert send(board, tmp_path / "runs") == ["sent"]
    (folder,) = (tmp_path / "tensorboard" / "gates").iterdir()
    assert folder.name.startswith("a___b-s3-") and [f.name for f in folder.iterdir()] == [
        "run.tfevents"
    ]
    found = read(folder)
    curve = [(each.step, each.value) for each in found.Scalars("train/loss")]
    assert curve == [(1, 1.0), (2, 0.5), (3, pytest.approx(1 / 3))]
    assert found.Scalars("valid/mse")[0].value != found.Scalars("valid/mse")[0].value
    assert found.Scalars("final/test/mse")[0].value == 0.25
    image = found.Images("inspect/gates")[0]
    assert image.encoded_image_string == point and (image.width, image.height) == (1, 1)
    data = found.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    from tensorboard.plugins.hparams import metadata

    start = metadata.parse_session_start_info_plugin_data(data)
    assert start.hparams["cell.kind"].string_value == "gated"
    assert start.hparams["task.length"].number_value == 100
    assert start.hparams["optimizer.api_key"].string_value == "[redacted]"
    assert "tensorflow" not in sys.modules


def test_a_run_that_is_sent_again_replaces_itself(board, tmp_path):
    path = trained(tmp_path / "runs", SPEC)
    assert send(board, tmp_path / "runs") == ["sent"] and send(board, tmp_path / "runs") == [
        "there"
    ]
    pictured(path)
    assert send(board, tmp_path / "runs") == ["sent"]
    (folder,) = (tmp_path / "tensorboard" / "gates").iterdir()
    assert len(read(folder).Scalars("train/loss")) == 3


def test_the_table_of_a_study_is_a_text(board, tmp_path):
    board.table("gates", ["variant", "mean"], [["lstm", 0.25], ["gru", None]])
    found = read(tmp_path / "tensorboard" / "gates" / "table")
    text = found.Tensors("table")[0].tensor_proto.string_val[0].decode()
    assert text == "| variant | mean |\n| --- | --- |\n| lstm | 0.25 |\n| gru |  |"


def test_no_file_names_the_host(board, tmp_path):
    trained(tmp_path / "runs", SPEC)
    send(board, tmp_path / "runs")
    files = [file for file in (tmp_path / "tensorboard").rglob("*") if file.is_file()]
    host = socket.gethostname()
    assert files and not any(
        host in file.name or host.encode() in file.read_bytes() for file in files
    )
