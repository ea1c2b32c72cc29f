"""What a device's error means: too little memory, or a context that is dead and fails every later call.

Torch and the libraries below it say so in words of their own; some arrive as plain ``RuntimeError``.
"""

from collections.abc import Iterator

import torch

_SHORT_OF_MEMORY = (
    "out of memory",  # the caching allocator's, the runtime's and the driver's
    "alloc_failed",  # cuBLAS, cuDNN, cuSOLVER, cuFFT
    "allocation_failed",  # cuDNN 9, for the device and for the host
    "unable to find an engine",  # cuDNN has no plan whose workspace fits
    "insufficient_resources",  # cuSPARSE
    "can't allocate memory",  # torch on the processor
    "not enough memory",
)

# After these every call of the process fails; CUDA calls such errors sticky. An Xid shows as one of them.
_DEAD_CONTEXT = (
    "device-side assert",
    "illegal memory access",
    "illegal address",
    "illegal instruction",
    "misaligned address",
    "invalid address space",
    "invalid program counter",
    "invalid pc",
    "hardware stack error",
    "unspecified launch failure",
    "launch timed out",
    "uncorrectable",  # ECC and NVLink
    "context is destroyed",
    "busy or unavailable",
    "no cuda-capable device",
    "driver shutting down",
    "mps server",
    "mps client",
    "unknown error",
)


def is_short_of_memory(error: BaseException) -> bool:
    """Whether ``error`` says that the device or the machine has too little memory."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and _says(error, _SHORT_OF_MEMORY)


def is_dead_context(error: BaseException) -> bool:
    """Whether this process can use its GPU no more after ``error``, so that it has to end and be replaced.

    What ``error`` came from counts too. An error of another kind is not believed: the GPU is asked for a sign of life.
    """
    for cause in _with_causes(error):
        if isinstance(cause, RuntimeError) and not is_short_of_memory(cause) and _is_of_device(cause):
            return True
    return bool(torch.cuda.is_initialized()) and not _answers()  # type: ignore[no-untyped-call]


def _is_of_device(error: RuntimeError) -> bool:
    is_cuda = isinstance(error, torch.AcceleratorError) or any(word in str(error) for word in ("CUDA", "cuDNN", "NVML"))
    return is_cuda and _says(error, _DEAD_CONTEXT)


def _answers() -> bool:
    try:
        torch.cuda.synchronize()
    except RuntimeError:
        return False
    return True


def _says(error: BaseException, words: tuple[str, ...]) -> bool:
    text = str(error).lower()
    return any(word in text for word in words)


def _with_causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__
