"""The numerics of a device: what is switched on or off so that a trial's bits follow from its declaration.

On a CPU nothing is switched. On a GPU fp32 means IEEE fp32: torch would else let cuDNN's convolutions round to TF32,
and the probe, which is always fp32, would not be. Algorithms are deterministic ones only; a trial whose encoder has an
operation without such a form says so in a note and is computed all the same.
"""

import contextlib
import os
import warnings
from collections.abc import Iterator

import torch

CUBLAS_WORKSPACE = ":4096:8"  # without it cuBLAS refuses to be deterministic
DECLARED: dict[str, str | int | None] = {
    "tf32": False,
    "reduced_precision_reductions": False,
    "cudnn_benchmark": False,
    "cudnn_deterministic": True,
    "cublas_workspace": CUBLAS_WORKSPACE,
}


def declared(device_type: str, *, strict: bool = True) -> dict[str, str | int | None]:
    """What is set for a device of that type, for digests; nothing for a CPU."""
    if device_type != "cuda":
        return {}
    return {**DECLARED, "deterministic_algorithms": "strict" if strict else "where there are any"}


@contextlib.contextmanager
def declared_numerics(device: torch.device, *, strict: bool = True) -> Iterator[None]:
    """Set what is declared; the caller's settings come back afterwards.

    Args:
        device: of the trial.
        strict: whether an operation without a deterministic form is an error, see ``lacks_determinism``.
    """
    if device.type != "cuda":
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", CUBLAS_WORKSPACE)
    matmul, cudnn, memory = torch.backends.cuda.matmul, torch.backends.cudnn, torch.utils.deterministic
    with contextlib.ExitStack() as stack:
        for place, name, value in (
            (matmul, "allow_tf32", False),
            (matmul, "allow_bf16_reduced_precision_reduction", False),
            (cudnn, "allow_tf32", False),
            (cudnn, "benchmark", False),
            (cudnn, "deterministic", True),
            (memory, "fill_uninitialized_memory", False),  # deterministic mode would fill each new tensor with NaN
        ):
            stack.callback(setattr, place, name, getattr(place, name))
            setattr(place, name, value)
        enabled = torch.are_deterministic_algorithms_enabled()
        only_warned = torch.is_deterministic_algorithms_warn_only_enabled()
        stack.callback(torch.use_deterministic_algorithms, enabled, warn_only=only_warned)
        torch.use_deterministic_algorithms(True, warn_only=not strict)
        stack.enter_context(warnings.catch_warnings())
        if not strict:
            warnings.filterwarnings("ignore", message=".*deterministic")  # the outcome says it in a note
        yield


def lacks_determinism(error: BaseException) -> bool:
    """Whether ``error`` says that an operation has no deterministic form on this device."""
    return isinstance(error, RuntimeError) and "does not have a deterministic implementation" in str(error)
