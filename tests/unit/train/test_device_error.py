"""Errors as torch 2.x raises them, in the words of its sources and of users' reports."""

import pytest
import torch

from ablate.errors import OutOfMemory
from ablate.train.device_error import is_dead_context, is_short_of_memory
from ablate.train.machine import Machine, memory_errors

HINT = "\nCUDA kernel errors might be asynchronously reported at some other API call"
MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.1 GiB"),
    torch.AcceleratorError(f"CUDA error: out of memory{HINT}"),
    RuntimeError(f"CUDA error: out of memory{HINT}"),
    RuntimeError("CUDA driver error: out of memory"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
    RuntimeError("FIND was unable to find an engine to execute this computation"),
    RuntimeError("Unable to find an engine to execute this computation"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:119] err == 0. DefaultCPUAllocator: can't allocate memory"),
    MemoryError(),
]
DEAD = [
    torch.AcceleratorError(f"CUDA error: unspecified launch failure{HINT}"),
    torch.AcceleratorError(f"CUDA error: device-side assert triggered{HINT}"),
    RuntimeError(f"CUDA error: an illegal memory access was encountered{HINT}"),
    RuntimeError("CUDA error: uncorrectable ECC error encountered"),
    RuntimeError("CUDA error: the launch timed out and was terminated"),
    RuntimeError("CUDA error: all CUDA-capable devices are busy or unavailable"),
    RuntimeError("CUDA error: unknown error"),
]
NEITHER = [
    RuntimeError("mat1 and mat2 shapes cannot be multiplied (2x3 and 2x3)"),
    RuntimeError("CUDA error: invalid argument"),
    ValueError("unspecified launch failure"),
    RuntimeError("unknown error"),
]


def line(error: BaseException) -> str:
    return f"{type(error).__name__} {str(error)[:60]}"


@pytest.mark.parametrize("error", MEMORY, ids=line)
def test_every_way_of_running_out_of_memory_is_one_error(error: BaseException) -> None:
    assert is_short_of_memory(error) and not is_dead_context(error)
    with pytest.raises(OutOfMemory, match=r"micro_batch = 32") as caught, memory_errors(Machine(micro_batch=32)):
        raise error
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("error", DEAD, ids=line)
def test_a_dead_context_is_known_also_behind_the_errors_that_follow_it(error: RuntimeError) -> None:
    assert is_dead_context(error) and not is_short_of_memory(error)
    with pytest.raises(RuntimeError) as caught:
        try:
            raise error
        except RuntimeError:
            raise RuntimeError("the random state cannot be put back")  # noqa: B904 - as a context manager's end does
    assert is_dead_context(caught.value)


@pytest.mark.parametrize("error", NEITHER, ids=line)
def test_other_errors_pass_as_they_are(error: Exception) -> None:
    assert not is_dead_context(error) and not is_short_of_memory(error)
    with pytest.raises(type(error)), memory_errors(Machine()):
        raise error


def test_a_gpu_that_gives_no_sign_of_life_is_dead_whatever_the_error_says(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_answer() -> None:
        raise torch.AcceleratorError("CUDA error: unspecified launch failure")

    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    assert not is_dead_context(KeyError("a bug"))
    monkeypatch.setattr(torch.cuda, "synchronize", no_answer)
    assert is_dead_context(KeyError("a bug"))
