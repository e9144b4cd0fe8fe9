"""A finished run keeps the network that gave its test metrics, and writes it for others."""

import dataclasses
import json
import os
import shutil

import jax.numpy as jnp
import numpy as np
import pytest
from agreement import agree, same
from flax import nnx
from small import small
from stored import RESULT, SPEC, finished

import lstm_research as lr
from lstm_research import cli, store
from lstm_research.catalogue import UnknownName
from lstm_research.disk import StoreError
from lstm_research.interop import safetensors
from lstm_research.lookup import find_run, load_network
from lstm_research.run import run
from lstm_research.signature import member, network, program, signature

RUN = small(seed=5)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A store with one run in it."""
    folder = tmp_path_factory.mktemp("store")
    run(RUN, folder)
    return folder


@pytest.fixture
def path(root, tmp_path):
    """A copy of the run, to be damaged."""
    return shutil.copytree(store.find(root, RUN.resolved()), tmp_path / "runs" / "small" / "copy")


def batch():
    made = program(signature(RUN))
    return next(iter(made.task.held_out(made.task.data, "test")))


def test_the_network_of_a_run_is_the_one_that_gave_its_test_metrics(root):
    path = store.find(root, RUN.resolved())
    trained, result = lr.load_network(path), lr.fit(RUN)
    same(nnx.state(trained, nnx.Param), result.params)
    made = program(signature(RUN))
    params = nnx.state(trained, nnx.Param)
    record = store.load_run(path).result
    assert made.evaluate(params, result.rest, "test") == record["metrics"]["test"]
    same(trained(batch().inputs), network(RUN, made, result.params, result.rest)(batch().inputs))


def test_the_best_step_is_kept_and_not_the_last(tmp_path):
    rule = dataclasses.replace(RUN.optimizer, name="sgd", rate=3.0, clip_norm=None)
    spec = dataclasses.replace(RUN, optimizer=rule)  # so hot that the second evaluation is worse
    path = run(spec, tmp_path).path
    result = store.load_run(path).result
    assert (result["best_step"], result["steps"]) == (2, 4)
    params = nnx.state(load_network(path), nnx.Param)
    made = program(signature(spec))
    two = made.steps(made.begin(member(spec)), made.task.data, jnp.int32(5), jnp.int32(2))[0]
    agree(params, two.params)


def test_the_same_run_keeps_the_same_bytes(root, tmp_path):
    again = run(RUN, tmp_path).path / store.WEIGHTS
    assert again.read_bytes() == (store.find(root, RUN.resolved()) / store.WEIGHTS).read_bytes()


def test_a_kill_before_the_result_leaves_no_network(path):
    (path / "result.json").unlink()
    with pytest.raises(StoreError, match="unfinished"):
        load_network(path)


def test_a_draft_that_a_kill_left_is_never_read_and_is_wiped(root, tmp_path):
    with store.open_run(tmp_path, SPEC) as folder:
        folder.keep(store.WEIGHTS, b"whole")
        (folder.path / f".{store.WEIGHTS}.1").write_bytes(b"ha")
    assert (folder.path / store.WEIGHTS).read_bytes() == b"whole"
    assert store.status(folder.path) == "unfinished"
    with store.open_run(tmp_path, SPEC) as folder:
        assert sorted(os.listdir(folder.path)) == ["environment.json", "lock", "spec.yaml"]
        folder.finish(RESULT)
    with pytest.raises(StoreError):
        folder.keep(store.WEIGHTS, b"late")


def test_a_run_without_weights_says_so(tmp_path):
    with pytest.raises(StoreError, match=r"no weights\.safetensors"):
        load_network(finished(tmp_path))
    with pytest.raises(StoreError, match="absent"):
        load_network(tmp_path / "nowhere")


def test_damaged_weights_and_those_of_another_run_are_refused(path):
    whole = (path / store.WEIGHTS).read_bytes()
    (path / store.WEIGHTS).write_bytes(whole[:-5])
    with pytest.raises(StoreError, match=r"weights\.safetensors: cut or damaged"):
        load_network(path)
    other = lr.Network("gru", lr.NetworkSpec(hidden=3), outputs=1, features=2, rngs=nnx.Rngs(0))
    safetensors.save(path / store.WEIGHTS, other)
    with pytest.raises(StoreError, match="another run"):
        load_network(path)


def test_a_diverged_run_keeps_no_weights(tmp_path):
    resolved = RUN.resolved()
    resolved["optimizer"] |= {"name": "sgd", "rate": 1e30, "clip_norm": None}
    resolved["cell"] |= {"squash_input": False, "squash_output": False}
    outcome = run(lr.build(resolved), tmp_path)
    assert outcome.status == "diverged" and not (outcome.path / store.WEIGHTS).exists()
    with pytest.raises(StoreError, match="diverged"):
        load_network(outcome.path)


def test_a_run_is_found_by_folder_by_hash_and_by_study(root, tmp_path):
    path = store.find(root, RUN.resolved())
    name = path.name
    for meant in (str(path), name, name[:4], f"small/{name}", f"small/{name[:3]}"):
        assert find_run(meant, root) == path
    with pytest.raises(UnknownName, match=f"Did you mean 'small/{name}'"):
        find_run(f"smal/{name}", root)
    wrong = name[:-1] + ("0" if name[-1] != "0" else "1")
    with pytest.raises(UnknownName, match=f"Did you mean 'small/{name}'"):
        find_run(wrong, root)
    with pytest.raises(UnknownName, match="Runs: none"):
        find_run(name, tmp_path)
    for seed in range(8):
        finished(tmp_path, SPEC | {"seed": seed})
    with pytest.raises(UnknownName, match=r"start of 8 runs: .* and 3 more"):
        find_run("gates", tmp_path)


def test_export_writes_safetensors(root, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    name = store.find(root, RUN.resolved()).name
    assert cli.main(["export", name, "--to", "safetensors", "--runs", str(root)]) == 0
    assert capsys.readouterr().out == f"{name}.safetensors\n"
    assert os.listdir(tmp_path) == [f"{name}.safetensors"]
    back, kept = safetensors.load(f"{name}.safetensors"), load_network(find_run(name, root))
    same(nnx.state(back, nnx.Param), nnx.state(kept, nnx.Param))


def test_export_writes_what_pytorch_reads(root, tmp_path):
    torch = pytest.importorskip("torch", reason="needs PyTorch")
    path, out = store.find(root, RUN.resolved()), tmp_path / "model.pt"
    assert cli.main(["export", str(path), "--to", "torch", "--out", str(out)]) == 0
    state, kept = torch.load(out, weights_only=True), load_network(path)
    module = lr.interop.torch.to_torch(kept)
    for leaf in module.parameters():
        torch.nn.init.zeros_(leaf)
    module.load_state_dict(state)
    with torch.no_grad():
        got = module(torch.tensor(np.asarray(batch().inputs))).numpy()
    agree(got, kept(batch().inputs), 1e-5)


@pytest.mark.parametrize("to", ["onnx", "stablehlo"])
def test_export_hands_the_network_to_the_other_formats(to, root, tmp_path):
    if to == "onnx":
        pytest.importorskip("onnx", reason="needs the package onnx")
    out = tmp_path / f"model.{to}"
    path = store.find(root, RUN.resolved())
    assert cli.main(["export", str(path), "--to", to, "--out", str(out)]) == 0
    assert out.stat().st_size > 100 and os.listdir(tmp_path) == [out.name]


def test_a_mistake_is_one_line_and_nothing_is_written(root, path, tmp_path, capsys):
    def said(*words):
        code = cli.main(["export", *words, "--runs", str(root)])
        err = capsys.readouterr().err
        assert err.count("\n") == 1 and "Traceback" not in err
        return code, err

    assert said("zzzz", "--to", "torch")[0] == 2
    (path / store.WEIGHTS).unlink()
    code, err = said(str(path), "--to", "safetensors", "--out", str(tmp_path / "a"))
    assert code == 1 and "no weights.safetensors" in err
    code, err = said(small().study, "--to", "safetensors", "--out", str(tmp_path / "no" / "a"))
    assert code == 1 and "cannot write" in err
    assert not (tmp_path / "a").exists()
    with pytest.raises(SystemExit) as stop:
        cli.main(["export", "x", "--to", "keras"])
    assert stop.value.code == 2


def test_a_cell_that_pytorch_lacks_is_a_mistake_in_one_line(tmp_path, capsys):
    pytest.importorskip("torch", reason="needs PyTorch")
    path = run(small(coupled=True), tmp_path).path
    out = tmp_path / "model.pt"
    assert cli.main(["export", str(path), "--to", "torch", "--out", str(out)]) == 2
    assert "PyTorch has no such cell" in capsys.readouterr().err and not out.exists()


def test_the_result_on_disk_holds_no_weights(root):
    text = (store.find(root, RUN.resolved()) / "result.json").read_text()
    assert not {"params", "rest"} & set(json.loads(text))
