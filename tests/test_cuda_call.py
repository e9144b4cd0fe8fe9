"""A kernel's text compiles for a GPU that is not there, and its handler is valid machine code."""

import pytest
from test_cuda import described

from lstm_research import cuda_call, cuda_driver


@pytest.mark.parametrize("hidden", [128, pytest.param(1024, marks=pytest.mark.slow)])
def test_a_handler_is_valid_and_says_what_cuda_refused(hidden, monkeypatch):
    monkeypatch.setattr(cuda_driver, "address", lambda name: 4096)
    for call in described(hidden):
        code = cuda_call.handler(call, 77)
        assert cuda_call.assembled(code).get_function_address("handle")
        assert f"i32 {call.spec.blocks}, i32 1, i32 1, i32 {call.spec.spread.threads}" in code
        assert ("%cleared" in code) == (call.spec.spread.joined == "flags")


@pytest.mark.skipif(cuda_driver.compiler() is None, reason="nvidia-cuda-nvrtc is not installed")
@pytest.mark.parametrize("hidden", [128, 1024])
def test_kernels_compile_for_an_h100_and_are_kept(hidden, tmp_path, monkeypatch):
    monkeypatch.setattr("lstm_research.kept_code.place", lambda name: tmp_path / name)
    text = cuda_call.text(described(hidden)[-1].spec)
    code = cuda_driver.compiled(text, "90")
    assert code[:4] == b"\x7fELF" and len(list(tmp_path.iterdir())) == 1
    monkeypatch.setattr(cuda_driver, "compiler", lambda: None)  # nothing is compiled again
    assert cuda_driver.compiled(text, "90") == code


@pytest.mark.skipif(cuda_driver.compiler() is None, reason="nvidia-cuda-nvrtc is not installed")
def test_a_text_that_is_no_kernel_is_refused_with_what_the_compiler_says(tmp_path, monkeypatch):
    monkeypatch.setattr("lstm_research.kept_code.place", lambda name: tmp_path / name)
    with pytest.raises(RuntimeError, match=r"not compiled.*error"):
        cuda_driver.compiled("this is no kernel", "90")


class Driver:
    """What a driver answers about one device."""

    def __init__(self, *numbers):
        self.numbers = iter(numbers)

    def cuDeviceGet(self, which, index):  # noqa: N802 (the name of the driver)
        return 0

    def cuDeviceGetAttribute(self, value, attribute, which):  # noqa: N802 (the same)
        value._obj.value = next(self.numbers)
        return 0


@pytest.mark.parametrize(
    ("numbers", "found"),
    [
        ((9, 0, 132, 232448), cuda_driver.Device("90", 132)),
        ((8, 0, 108, 166912), None),  # no clusters
        ((12, 0, 170, 101376), None),  # too little shared memory
    ],
)
def test_a_gpu_without_clusters_or_with_little_shared_memory_is_left_to_others(
    numbers, found, monkeypatch
):
    monkeypatch.setattr(cuda_driver, "driver", lambda: Driver(*numbers))
    monkeypatch.setattr(cuda_driver, "compiler", lambda: object())
    assert cuda_driver.device.__wrapped__() == found
