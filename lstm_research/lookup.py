"""Which stored run is meant, and the network that it trained."""

from pathlib import Path

from lstm_research import store
from lstm_research.catalogue import UnknownName
from lstm_research.config import ConfigError, build
from lstm_research.disk import StoreError
from lstm_research.interop import safetensors
from lstm_research.network import Network
from lstm_research.spelling import nearest
from lstm_research.wrappers import wrapped

SHOWN = 5  # most runs that a message lists


def find_run(name: str, root: str | Path = "runs") -> Path:
    """Return the folder of a run: a folder, the start of a hash, or study/hash under `root`.

    Raises UnknownName with runs that look like it where none is meant, or more than one.
    """
    if (Path(name) / "spec.yaml").is_file():
        return Path(name)
    known = {
        f"{mark.parent.parent.name}/{mark.parent.name}": mark.parent
        for mark in sorted(Path(root).glob("*/*/spec.yaml"))
    }
    meant = [
        title
        for title in known
        if title.startswith(name) or (name and title.rpartition("/")[2].startswith(name))
    ]
    if len(meant) == 1:
        return known[meant[0]]
    if meant:
        raise UnknownName(f"{name!r} is the start of {len(meant)} runs: {listed(meant)}.")
    hashes = {title.rpartition("/")[2]: title for title in known}
    close = nearest(name, known) or hashes.get(nearest(name, hashes) or "")
    hint = f" Did you mean {close!r}?" if close else ""
    raise UnknownName(f"{name!r} is no run in {root}.{hint} Runs: {listed(list(known)) or 'none'}.")


def listed(titles: list[str]) -> str:
    """Return the first titles and how many more there are."""
    more = f" and {len(titles) - SHOWN} more" if len(titles) > SHOWN else ""
    return ", ".join(titles[:SHOWN]) + more


def load_network(path: str | Path) -> Network:
    """Return the network of a run as it gave the test metrics, in evaluation mode.

    path: the folder of a run that has ended as finished or solved. Raises StoreError where it has
    not, where its weights are absent, damaged, or those of another run.
    """
    record, file = store.load_run(path), Path(path) / store.WEIGHTS
    if record.status not in ("finished", "solved"):
        raise StoreError(f"{path}: this run is {record.status} and has no trained network")
    if not file.is_file():
        raise StoreError(
            f"{path}: no {store.WEIGHTS}; runs stored before 0.1.0 kept none. --force runs it again."
        )
    try:
        network, spec = safetensors.load(file), build(record.spec)
    except (safetensors.DamagedFile, ConfigError) as error:
        raise StoreError(f"{path}: {error}") from error
    if (network.cell, network.settings) != (wrapped(spec.cell, spec.wrap), spec.network):
        raise StoreError(f"{file}: the weights of another run; spec.yaml beside it says otherwise")
    return network
