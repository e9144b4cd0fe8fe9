"""A file of weights rebuilds what it holds, and is refused where one bit of it is another."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agreement import same
from flax import nnx
from safetensors import safe_open
from sampled import sampled

import lstm_research as lr
from lstm_research import catalogue
from lstm_research.interop import safetensors as ours
from lstm_research.network import Network, NetworkSpec
from lstm_research.nnx_cell import cell_spec

FULL = NetworkSpec(hidden=3, layers=2, bidirectional=True, dropout=0.3, layer_norm=True)
EMBEDDED = dataclasses.replace(FULL, embed=4)


def network(cell="gru", settings=FULL, outputs=2, readout="step", seed=3, **sizes):
    sizes = sizes or {"features": 2}
    return Network(cell, settings, outputs=outputs, readout=readout, rngs=nnx.Rngs(seed), **sizes)


@pytest.mark.parametrize(("model", "x"), [
    (lambda: network(), np.ones((2, 4, 2), np.float32)),
    (lambda: network("peephole", outputs=None, readout="last"), np.ones((2, 4, 2), np.float32)),
    (lambda: network("lstm", vocabulary=5), np.ones((2, 4), np.int32)),
    (lambda: network("gru_before", EMBEDDED, vocabulary=5), np.ones((2, 4), np.int32)),
])  # fmt: skip
def test_a_network_comes_back_from_the_file_alone(model, x, tmp_path):
    before = model()
    before.eval()
    after = ours.load(ours.save(tmp_path / "w.safetensors", before))
    assert (after.cell, after.settings) == (before.cell, before.settings)
    same(nnx.state(after, nnx.Param), nnx.state(before, nnx.Param))
    same(after(x), before(x))


@pytest.mark.parametrize("name", sampled(catalogue.names("cell")))
def test_the_weights_of_every_cell_come_back(name, tmp_path):
    spec = cell_spec(name)
    weights = spec.build().init(jax.random.key(0), 8, 8)
    back, again = ours.load(ours.save(tmp_path / "w.safetensors", (spec, weights)))
    assert back == spec and jax.tree.structure(again) == jax.tree.structure(weights)
    same(again, weights)


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
def test_every_precision_keeps_its_bits(dtype, tmp_path, float64):
    spec = cell_spec("peephole")
    rng = np.random.default_rng(0)
    drawn = jax.tree.map(
        lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), dtype),
        spec.build().init(jax.random.key(0), 2, 3),
    )
    _, again = ours.load(ours.save(tmp_path / "w.safetensors", (spec, drawn)))
    same(again, drawn)
    assert {str(leaf.dtype) for leaf in jax.tree.leaves(again)} == {dtype}


def test_names_are_readable_and_other_tools_read_the_file(tmp_path):
    path = ours.save(tmp_path / "w.safetensors", network())
    with safe_open(path, "np") as file:
        assert set(file.keys()) == {
            *(f"layers.{n}.{way}.{part}" for n in (0, 1) for way in ("forward", "backward")
              for part in ("w", "r0", "b", "b_hg")),
            *(f"norms.{n}.{part}" for n in (0, 1) for part in ("scale", "bias")),
            "out.kernel", "out.bias",
        }  # fmt: skip
        told = json.loads(file.metadata()["lstm_research"])
        assert told["cell"]["kind"] == "gated" and told["network"]["hidden"] == 3
        same(file.get_tensor("out.kernel"), network().out.kernel[...])


def test_the_same_weights_are_the_same_bytes_and_notes_are_kept(tmp_path):
    assert ours.encode(network()) == ours.encode(network())
    assert ours.encode(network()) != ours.encode(network(seed=4))
    path = ours.save(tmp_path / "w.safetensors", network(), {"data": "JSB"})
    assert ours.notes(path) == {"data": "JSB"}


def test_no_bit_of_a_file_can_change_unseen(tmp_path):
    path = ours.save(tmp_path / "w.safetensors", (cell_spec("elman"), elman()), {"a": "b"})
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for at in [*range(8), *rng.choice(len(whole), 60, replace=False).tolist(), len(whole) - 1]:
        damaged = bytearray(whole)
        damaged[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            back, weights = ours.load(path)
        except ours.DamagedFile as error:
            assert str(path) in str(error)
        else:  # a space of padding may become another space: nothing that is read has changed
            assert back == cell_spec("elman")
            same(weights, elman())


def elman():
    return cell_spec("elman").build().init(jax.random.key(0), 2, 3)


def test_a_file_cut_anywhere_is_refused_by_name(tmp_path):
    path = ours.save(tmp_path / "w.safetensors", (cell_spec("elman"), elman()))
    whole = path.read_bytes()
    for length in (0, 1, 7, 8, 9, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ours.DamagedFile, match=r"w\.safetensors"):
            ours.load(path)


def test_files_of_others_and_absent_files_are_told_apart(tmp_path):
    from safetensors.numpy import save_file

    save_file({"a": np.ones(2)}, tmp_path / "other.safetensors")
    with pytest.raises(ours.DamagedFile, match="not one of lstm_research"):
        ours.load(tmp_path / "other.safetensors")
    with pytest.raises(FileNotFoundError):
        ours.load(tmp_path / "absent.safetensors")


def test_a_setting_of_another_version_is_named(tmp_path, monkeypatch):
    told = ours.header((cell_spec("elman"), elman()))
    told["cell"]["colour"] = "red"
    monkeypatch.setattr(ours, "header", lambda held: told)
    path = ours.save(tmp_path / "w.safetensors", (cell_spec("elman"), elman()))
    with pytest.raises(ours.DamagedFile, match=r"cell\.colour"):
        ours.load(path)


def test_tensors_that_do_not_fit_the_header_are_refused(tmp_path, monkeypatch):
    told = ours.header((cell_spec("lstm"), elman()._replace(w=jnp.ones((2, 12)))))
    monkeypatch.setattr(ours, "header", lambda held: told)
    path = ours.save(tmp_path / "w.safetensors", (cell_spec("elman"), elman()))
    with pytest.raises(ours.DamagedFile, match="has shape"):
        ours.load(path)


def test_a_wrapped_cell_keeps_its_wrapper(tmp_path):
    from lstm_research.wrappers import Wrapped, WrapSpec

    spec = Wrapped(cell_spec("lstm"), WrapSpec(norm="layer", zoneout_c=0.1))
    before = network(spec)
    before.eval()
    after = ours.load(ours.save(tmp_path / "w.safetensors", before))
    assert after.cell == spec
    same(nnx.state(after, nnx.Param), nnx.state(before, nnx.Param))
    x = np.ones((2, 4, 2), np.float32)
    same(after(x), before(x))


def test_it_is_found_from_the_face():
    assert lr.interop.safetensors is ours
    with pytest.raises(AttributeError, match="torch"):
        _ = lr.interop.tensorflow
