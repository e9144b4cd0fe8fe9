"""Keys whose draws are machine code draw what JAX's own keys draw, bit for bit."""

import os
import subprocess
import sys
import threading
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from lstm_research import foreign, initial, native_call, native_random, threefry

RAW = jax.random.key_data
DRAWS = {
    "bits of a byte": lambda key: jax.random.bits(key, (9,), "uint8"),
    "bits of two": lambda key: jax.random.bits(key, (2, 3), "uint16"),
    "bits": lambda key: jax.random.bits(key, (40, 3)),
    "choice": lambda key: jax.random.choice(key, 10, (4,), replace=False),
    "fold_in": lambda key: RAW(jax.random.fold_in(key, 7)),
    "none": lambda key: jax.random.uniform(key, (0, 3)),
    "normal": lambda key: jax.random.normal(key, (33,)),
    "one": lambda key: jax.random.bernoulli(key, 0.3, ()),
    "permutation": lambda key: jax.random.permutation(key, 100),
    "randint": lambda key: jax.random.randint(key, (3, 1), 0, 17),
    "split": lambda key: RAW(jax.random.split(key, (2, 3))),
    "uniform": lambda key: jax.random.uniform(key, (5, 7)),
    "of many keys": lambda key: jax.vmap(partial(jax.random.uniform, shape=(5,)))(
        jax.random.split(key, 4)
    ),
    "of one key": lambda key: jax.vmap(partial(jax.random.normal, shape=(5,)))(
        jax.random.split(key, 1)
    ),
    "many of a key": lambda key: jax.vmap(lambda n: RAW(jax.random.fold_in(key, n)))(jnp.arange(5)),
}  # fmt: skip


def test_this_process_draws_by_machine_code():
    assert threefry.generator() is not None and threefry.key(0).dtype != jax.random.key(0).dtype


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("name", DRAWS)
def test_draws_are_those_of_jax(name, jit):
    draw = jax.jit(DRAWS[name]) if jit else DRAWS[name]
    for seed in (0, 1, -5, 2**31 - 1):
        wanted, found = draw(jax.random.key(seed)), draw(threefry.key(seed))
        assert wanted.dtype == found.dtype
        np.testing.assert_array_equal(wanted, found)


@pytest.mark.parametrize("count", [1, 2, 15, 16, 17, 1000])
def test_every_length_is_hashed_to_its_end(count):
    wanted, found = (jax.random.bits(key(3), (count,)) for key in (jax.random.key, threefry.key))
    np.testing.assert_array_equal(wanted, found)


def test_doubles_are_those_of_jax():
    with jax.enable_x64(True):
        for draw in (
            jax.random.uniform,
            jax.random.normal,
            partial(jax.random.bits, dtype="uint64"),
        ):
            wanted, found = (draw(key(5), (3, 7)) for key in (jax.random.key, threefry.key))
            assert wanted.dtype == found.dtype and wanted.dtype.itemsize == 8
            np.testing.assert_array_equal(wanted, found)


def test_a_width_that_there_is_none_of_is_refused():
    with pytest.raises(TypeError, match="width=7"):
        threefry.bits(RAW(jax.random.key(0)), 7, (3,))


def test_more_numbers_than_a_count_can_tell_are_refused():
    with pytest.raises(NotImplementedError, match="2\\^32"):
        threefry.counts((2**16, 2**16))


def test_without_its_compiler_or_under_another_count_keys_are_those_of_jax(monkeypatch):
    monkeypatch.setattr(threefry, "find_spec", lambda name: None)
    assert threefry.key(0).dtype == jax.random.key(0).dtype
    monkeypatch.undo()
    with jax.threefry_partitionable(False):
        assert threefry.key(0).dtype == jax.random.key(0).dtype


def test_keys_turn_into_jaxs_and_back():
    ours, theirs = threefry.key(4), jax.random.key(4)
    assert threefry.plain(ours).dtype == theirs.dtype == threefry.plain(theirs).dtype
    assert threefry.fast(theirs).dtype == ours.dtype == threefry.fast(ours).dtype
    np.testing.assert_array_equal(RAW(threefry.fast(theirs)), RAW(ours))
    other = jax.random.key(4, impl="rbg")
    assert threefry.fast(other) is other is threefry.plain(other)


def test_a_block_of_weights_is_the_same_of_either_key():
    draw = lambda key: initial.matrix("orthogonal", key, (8, 8), 8)
    np.testing.assert_array_equal(draw(threefry.key(2)), draw(jax.random.key(2)))


def test_a_platform_without_the_function_has_jaxs_hash():
    draw = jax.jit(lambda seed: jax.random.bits(threefry.key(seed), (5,)))
    name = native_random.registered(True)
    here = export.DisabledSafetyCheck.custom_call(name)
    for platform, checks in (("cpu", [here]), ("cuda", []), ("tpu", [])):
        text = export.export(draw, platforms=[platform], disabled_checks=checks)(0).mlir_module()
        assert (f"@{name}" in text) == (platform == "cpu")


def test_threads_that_ask_at_once_are_given_one_function(monkeypatch):
    """A second engine in the place of the first would free what is called: a segmentation fault."""
    registered, made, gate = [], [], threading.Barrier(4)
    real = native_call.compiled

    def compiled(text, mark):
        engine = real(text, mark)
        made.append(engine)
        gate.wait(60)
        return engine

    monkeypatch.setattr(foreign, "PASSED", {})
    monkeypatch.setattr(native_call, "compiled", compiled)
    given = lambda name, *rest, **more: registered.append(name)
    monkeypatch.setattr(foreign.jax.ffi, "register_ffi_target", given)
    threads = [threading.Thread(target=native_random.registered, args=(True,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 4 and len(registered) == 1
    assert next(iter(foreign.PASSED.values())) in made


APART = """
import sys, jax
from lstm_research import threefry
sys.stdout.write(jax.random.key_data(jax.random.split(threefry.key(11), 2)).tolist().__repr__())
"""


def test_another_process_draws_the_same():
    done = subprocess.run(
        [sys.executable, "-c", APART], capture_output=True, text=True, check=True, timeout=120,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
    )  # fmt: skip
    assert done.stdout == repr(RAW(jax.random.split(jax.random.key(11), 2)).tolist())
