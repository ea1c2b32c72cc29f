"""The machine a trial is trained on: device, precision, threads, memory; what decides bits is part of its digest."""

import contextlib
import gc
import re
import resource
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ablate.errors import OutOfMemory, SpecError
from ablate.model.catalogue import Precision
from ablate.train import signals
from ablate.train.device_error import is_short_of_memory
from ablate.train.numerics import declared, declared_numerics


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

    def identity(self) -> dict[str, Any]:
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
            **declared(kind),
        }


@contextlib.contextmanager
def prepared(machine: Machine, *, strict: bool = True) -> Iterator[torch.device]:
    """Threads, numerics and random state as one trial needs them; the caller's come back afterwards.

    Args:
        machine: where to compute.
        strict: whether an operation without a deterministic form is an error.
    """
    device = machine.torch_device
    n_threads = torch.get_num_threads()
    cuda = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda), declared_numerics(device, strict=strict):
        if machine.n_threads != n_threads:
            torch.set_num_threads(machine.n_threads)
        try:
            yield device
        finally:
            if machine.n_threads != n_threads:
                torch.set_num_threads(n_threads)


@contextlib.contextmanager
def memory_errors(machine: Machine) -> Iterator[None]:
    """Raise ``OutOfMemory`` for every error by which torch, its libraries, numpy or Python report too little memory.

    What was called inside is over by then, so all its tensors are released: the next attempt needs their place, and
    the traceback of the error would keep them alive.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_short_of_memory(error):
            raise
        size = "the whole batch" if machine.micro_batch is None else machine.micro_batch
        reason = str(error).strip().partition("\n")[0] or "no reason given"
        short = OutOfMemory(
            f"{machine.device}: out of memory with micro_batch = {size}; a smaller one needs less ({reason})"
        )
        traceback.clear_frames(error.__traceback__)
    else:
        return
    _release(machine)
    raise short from None


def _release(machine: Machine) -> None:
    signals.release()
    gc.collect()
    if machine.device.startswith("cuda"):
        torch.cuda.empty_cache()


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
            peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
            if peak:
                return int(peak[1]) * 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def device_memory(device: torch.device) -> tuple[int, int]:
    """Free and total bytes of ``device``, whichever process asks; for a CPU those of the machine."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)
    kilobytes = dict(re.findall(r"(\w+):\s+(\d+) kB", Path("/proc/meminfo").read_text()))
    return int(kilobytes["MemAvailable"]) * 1024, int(kilobytes["MemTotal"]) * 1024
