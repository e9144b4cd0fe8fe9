"""`lstm-research export`: the network of a stored run in the format of others."""

import argparse
import os
import sys
from importlib import import_module
from pathlib import Path

from lstm_research.disk import StoreError
from lstm_research.lookup import find_run, load_network
from lstm_research.network import Network

ENDINGS = {
    "onnx": ".onnx",  # a graph for any runtime
    "safetensors": ".safetensors",  # weights, and what rebuilds the network here
    "stablehlo": ".stablehlo",  # a function for JAX without this package
    "torch": ".pt",  # the state dict of `interop.torch.to_torch`
}


def main(arguments: list[str]) -> int:
    """Write the trained network of a run for others: safetensors, PyTorch, ONNX, StableHLO."""
    parser = argparse.ArgumentParser("lstm-research export", description=main.__doc__)
    parser.add_argument("run", help="folder of a run, the start of its hash, or study/hash")
    parser.add_argument("--to", choices=sorted(ENDINGS), required=True)
    parser.add_argument("--out", type=Path, help="file (default: <hash> and the format's ending)")
    parser.add_argument("--runs", default="runs", help="folder of the store (default: runs)")
    options = parser.parse_args(arguments)
    try:
        print(exported(find_run(options.run, options.runs), options.to, options.out))
    except (ValueError, ImportError) as error:
        print(error, file=sys.stderr)
        return 1 if isinstance(error, ImportError) else 2
    return 0


def exported(run: Path, to: str, out: Path | None) -> Path:
    """Write the network of a run in one step; return the file, by default <hash>.<ending> here."""
    path = Path(run.resolve().name + ENDINGS[to]) if out is None else out
    draft = path.with_name(f".{path.name}.{os.getpid()}{ENDINGS[to]}")
    network = load_network(run)
    try:
        write(network, to, draft)
        os.replace(draft, path)
    except OSError as error:
        raise StoreError(f"{path}: cannot write ({error.strerror or error})") from error
    finally:
        draft.unlink(missing_ok=True)
    return path


def write(network: Network, to: str, path: Path) -> None:
    """Write a network in one of the formats; only the packages of that format are loaded."""
    form = import_module(f"lstm_research.interop.{to}")
    form.save(path, network) if to == "safetensors" else form.export(network, path)
