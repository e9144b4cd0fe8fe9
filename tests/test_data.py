"""A file is used only when it is whole, wherever it came from; the message says what to do."""

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lstm_research.tasks.data import DataError, Source, fetch

CONTENT = bytes(range(256)) * 40
GOOD = hashlib.sha256(CONTENT).hexdigest()


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder and says nothing."""

    def log_message(self, format: str, *args: object) -> None:
        """Print no line."""


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, str]]:
    """A folder, and the loopback address under which it is served."""
    folder = tmp_path / "served"
    folder.mkdir()
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def source(url: str = "http://127.0.0.1:9/rolls.mat", sha256: str | None = GOOD) -> Source:
    return Source("rolls.mat", ("polymusic",), url, sha256)


@pytest.mark.parametrize("under", [".", "polymusic"])
def test_the_users_folder_comes_first(tmp_path, under):
    place = tmp_path / under / "rolls.mat"
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(CONTENT)
    assert fetch(source(), {"LSTM_RESEARCH_DATA": str(tmp_path)}).samefile(place)


@pytest.mark.parametrize("damage", [CONTENT[:-1], CONTENT[:-1] + b"x", b""])
def test_a_damaged_file_is_refused_with_both_checksums_and_kept(tmp_path, damage):
    place = tmp_path / "rolls.mat"
    place.write_bytes(damage)
    with pytest.raises(DataError) as caught:
        fetch(source(), {"LSTM_RESEARCH_DATA": str(tmp_path)})
    found, error = hashlib.sha256(damage).hexdigest(), caught.value
    assert (error.file, error.expected, error.found) == (str(place), GOOD, found)
    message = str(error)
    assert str(place) in message and GOOD in message and found in message
    assert "Delete it" in message and "LSTM_RESEARCH_DATA" in message
    assert place.read_bytes() == damage  # another's file: neither replaced nor removed


def test_a_download_is_verified_kept_and_not_repeated(tmp_path, served):
    folder, url = served
    (folder / "rolls.mat").write_bytes(CONTENT)
    environ = {"LSTM_RESEARCH_CACHE": str(tmp_path / "cache"), "LSTM_RESEARCH_DATA": str(tmp_path)}
    path = fetch(source(f"{url}/rolls.mat"), environ)
    assert path == tmp_path / "cache" / "rolls.mat" and path.read_bytes() == CONTENT
    (folder / "rolls.mat").unlink()
    assert fetch(source(f"{url}/rolls.mat"), environ) == path


def test_a_damaged_download_is_refused_and_leaves_nothing_behind(tmp_path, served):
    folder, url = served
    (folder / "rolls.mat").write_bytes(CONTENT[:-5])
    with pytest.raises(DataError) as caught:
        fetch(source(f"{url}/rolls.mat"), {"LSTM_RESEARCH_CACHE": str(tmp_path / "cache")})
    found = hashlib.sha256(CONTENT[:-5]).hexdigest()
    assert (caught.value.expected, caught.value.found) == (GOOD, found)
    assert f"{url}/rolls.mat" in str(caught.value) and found in str(caught.value)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_damaged_file_in_the_cache_is_downloaded_anew(tmp_path, served):
    folder, url = served
    (folder / "rolls.mat").write_bytes(CONTENT)
    (tmp_path / "rolls.mat").write_bytes(CONTENT[:100])
    path = fetch(source(f"{url}/rolls.mat"), {"LSTM_RESEARCH_CACHE": str(tmp_path)})
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("cached", [None, CONTENT[:100]])
def test_without_a_network_the_error_names_address_checksum_and_variable(tmp_path, served, cached):
    _, url = served  # serves nothing: a 404
    if cached is not None:
        (tmp_path / "rolls.mat").write_bytes(cached)
    for address in (f"{url}/rolls.mat", "http://127.0.0.1:9/rolls.mat"):  # port 9 refuses
        with pytest.raises(DataError) as caught:
            fetch(source(address), {"LSTM_RESEARCH_CACHE": str(tmp_path)})
        message = str(caught.value)
        assert address in message and GOOD in message and "LSTM_RESEARCH_DATA" in message


def test_a_file_without_a_known_checksum_asks_for_one(tmp_path):
    with pytest.raises(DataError, match=r"rolls.mat: this package pins no checksum.*task.sha256"):
        fetch(source(sha256=None), {})
    (tmp_path / "rolls.mat").write_bytes(CONTENT)
    with pytest.raises(DataError, match=f"task.sha256={GOOD}"):
        fetch(source(sha256=None), {"LSTM_RESEARCH_DATA": str(tmp_path)})
