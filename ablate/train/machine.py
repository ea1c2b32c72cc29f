"""The machine a trial is trained on: device, precision, threads, memory; what decides bits is part of its digest."""

import contextlib
import os
import re
import resource
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from ablate.errors import OutOfMemory, SpecError
from ablate.model.catalogue import Precision
from ablate.train.device_error import is_short_of_memory


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where and how a trial is computed; none of it is searched.

    Attributes:
        device: "cpu", "cuda" or "cuda:N".
        precision: of fine-tuning's forward pass; the probe and its features are always fp32.
        micro_batch: most records in memory at once; larger batches are accumulated. None is no limit.
        n_threads: of torch on the CPU. One thread each for as many trials as there are cores is the fastest.
        hold_data: keep the trial's records on the device when that is a GPU and they fit.
    """

    device: str = "cpu"
    precision: Precision = "fp32"
    micro_batch: int | None = None
    n_threads: int = 1
    hold_data: bool = True

    def __post_init__(self) -> None:
        if not re.fullmatch(r"cpu|cuda(:\d+)?", self.device):
            raise SpecError(f"device = {self.device!r}: expected cpu, cuda or cuda:N")
        if self.precision not in ("fp32", "bf16"):
            raise SpecError(f"precision = {self.precision!r}: expected fp32 or bf16")
        if self.n_threads < 1 or (self.micro_batch is not None and self.micro_batch < 1):
            raise SpecError("n_threads and micro_batch: expected whole numbers from 1")

    @property
    def torch_device(self) -> torch.device:
        """The device, checked to be there.

        Raises:
            SpecError: this machine has no such device.
        """
        device = torch.device(self.device)
        if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
            raise SpecError(
                f"device = {self.device!r}: torch sees {torch.cuda.device_count()} CUDA devices here; use cpu"
            )
        return device

    def identity(self) -> dict[str, str | int | None]:
        """What may change the bits of a result.

        The threads do: oneDNN splits sums by them. Measured with one and two: other bits after an epoch of net1d_small
        and of vit_small, the same ones each time.
        """
        kind = self.device.partition(":")[0]
        return {
            "device": kind,
            "precision": self.precision,
            "micro_batch": self.micro_batch,
            "n_threads": self.n_threads,
        }


@contextlib.contextmanager
def prepared(machine: Machine) -> Iterator[torch.device]:
    """Threads, deterministic algorithms and random state as one trial needs them; the caller's come back afterwards.

    Raises:
        OutOfMemory: the device or the machine had too little memory inside.
    """
    device = machine.torch_device
    n_threads = torch.get_num_threads()
    cuda = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda), _deterministic(device), memory_errors(machine):
        if machine.n_threads != n_threads:
            torch.set_num_threads(machine.n_threads)
        try:
            yield device
        finally:
            if machine.n_threads != n_threads:
                torch.set_num_threads(n_threads)


@contextlib.contextmanager
def _deterministic(device: torch.device) -> Iterator[None]:
    """Only a GPU has algorithms whose sums change their order from call to call."""
    if device.type != "cuda":
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS refuses to be deterministic
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.backends.cudnn.deterministic,
        torch.backends.cudnn.benchmark,
        torch.utils.deterministic.fill_uninitialized_memory,  # type: ignore[attr-defined]
    )
    torch.use_deterministic_algorithms(True, warn_only=True)  # not every encoder's every operation has one
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*deterministic")
            yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = before[2:4]
        torch.utils.deterministic.fill_uninitialized_memory = before[4]  # type: ignore[attr-defined]


@contextlib.contextmanager
def memory_errors(machine: Machine) -> Iterator[None]:
    """Every way in which torch, its libraries, numpy and Python say that memory is short becomes ``OutOfMemory``."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_short_of_memory(error):
            raise
        size = "the whole batch" if machine.micro_batch is None else machine.micro_batch
        said = str(error).strip().partition("\n")[0] or "no reason given"
        raise OutOfMemory(
            f"{machine.device}: out of memory with micro_batch = {size}; a smaller one needs less ({said})"
        ) from error


class MemoryPeak:
    """The most memory that this process, or its tensors on a GPU, took since the peak was made."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        else:
            with contextlib.suppress(OSError):
                Path("/proc/self/clear_refs").write_text("5")  # a warm trainer's earlier trials do not count

    def n_bytes(self) -> int:
        """Resident memory on a CPU, allocated tensors on a GPU."""
        if self._device.type == "cuda":
            return int(torch.cuda.max_memory_allocated(self._device))
        with contextlib.suppress(OSError):
            found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
            if found:
                return int(found[1]) * 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def device_memory(device: torch.device) -> tuple[int, int]:
    """Bytes that are free for whomever on ``device``, and all that it has; a CPU has the machine's."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)
    found = dict(re.findall(r"(\w+):\s+(\d+) kB", Path("/proc/meminfo").read_text()))
    return int(found["MemAvailable"]) * 1024, int(found["MemTotal"]) * 1024
