"""Machine code between processes: kept, checked, thrown away; and called by its name."""

import jax
import numpy as np
import pytest
from contract import problem
from test_cells import SPECS

from lstm_research import kept_code, native_call
from lstm_research.engines import unroll

TEXT = "define float @one() {\n  ret float 1.0\n}\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(kept_code, "place", lambda name: tmp_path / "kernels" / name)
    return tmp_path / "kernels"


def test_machine_code_is_kept_and_read_again(folder, monkeypatch):
    assert native_call.compiled(lambda: TEXT, "mark").get_function_address("one")
    (file,) = folder.iterdir()
    assert kept_code.held(file)
    monkeypatch.setattr(native_call.llvm, "create_pass_builder", None)  # nothing is compiled again
    assert native_call.compiled(lambda: TEXT, "mark").get_function_address("one")


def test_a_changed_byte_is_not_run(folder):
    native_call.compiled(lambda: TEXT, "mark")
    (file,) = folder.iterdir()
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(bytes(data))
    assert kept_code.held(file) is None
    assert native_call.compiled(lambda: TEXT, "mark").get_function_address("one")
    assert kept_code.held(file)


def test_the_oldest_of_many_files_go(folder):
    for i in range(4):
        kept_code.keep(folder / f"{i}.o", b"code", most=2)
    assert len(list(folder.iterdir())) == 2 and (folder / "3.o").exists()


def test_a_folder_that_cannot_be_written_stops_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    kept_code.keep(tmp_path / "file" / "mark.o", b"code")
    kept_code.keep(None, b"code")
    assert kept_code.held(tmp_path / "file" / "mark.o") is None


@pytest.mark.parametrize(("on", "place"), [(False, "here"), (True, None)])
def test_nothing_is_kept_where_jax_keeps_nothing(on, place, monkeypatch):
    class Config:
        jax_enable_compilation_cache, jax_compilation_cache_dir = on, place

    monkeypatch.setattr(kept_code.jax, "config", Config)
    assert kept_code.place("mark.o") is None


def test_a_program_holds_one_call_forward_and_one_back():
    weights, carry, x, seen = problem(SPECS["lstm"], 6, 3, 2, 8, dtype=np.float32)
    run = lambda w: (unroll(SPECS["lstm"].build(), w, carry, x, engine="native")[1] * seen).sum()
    text = jax.jit(jax.grad(run)).lower(weights).compile().as_text()
    assert text.count('custom_call_target="lstm_research_') == 2
    assert " while(" not in text  # nothing else runs over time


def test_the_interface_has_a_version():
    major, minor = native_call.version()
    assert major == 0 and minor >= 1
