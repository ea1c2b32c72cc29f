"""Records on their way from the mapped array to the device.

There is no DataLoader: slicing the array is faster than any of its workers, and a GPU gathers from what it holds.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ablate.train.device_error import is_short_of_memory

FREE_SHARE = 0.5  # of a GPU's free memory that records may take; the rest is for the network
COPIED_AT_ONCE = 4096  # records


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """``tensor`` on ``device``; to a GPU by way of pinned memory, so that the host does not wait for the copy."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


@dataclass(frozen=True)
class Rows:
    """Rows of an array, twice: the host slices mapped arrays with them, the device gathers with them.

    A slice of them costs no copy, so an epoch's rows travel to the device at once.
    """

    host: Int[np.ndarray, "row"]
    device: Int[Tensor, "row"]

    @classmethod
    def on(cls, device: torch.device, rows: Int[np.ndarray, "row"]) -> "Rows":
        """``rows`` on ``device``; any view will do, a reversed one too, which torch refuses."""
        rows = np.ascontiguousarray(rows)
        return cls(rows, to_device(torch.from_numpy(rows), device))

    def __len__(self) -> int:
        return len(self.host)

    def __getitem__(self, part: slice) -> "Rows":
        return Rows(self.host[part], self.device[part])

    def pieces(self, size: int) -> "Iterator[Rows]":
        """In their order, ``size`` at a time; the last piece may be shorter."""
        for start in range(0, len(self), size):
            yield self[start : start + size]


def n_pieces(n_records: int, size: int) -> int:
    """How many pieces of ``size`` so many records make."""
    return -(-n_records // size)


class Signals:
    """Records as float32 batches on the device.

    On a GPU the whole cohort lies there in float16 where it fits, and stays there for the next trial. On a CPU it
    stays in the mapped array, whose pages all trainers of a machine share.

    Args:
        signals: float16, mapped.
        hold: whether a GPU may hold them.
    """

    def __init__(
        self, signals: Float[np.ndarray, "record lead sample"], *, device: torch.device, hold: bool = True
    ) -> None:
        self.note: str | None = None
        self._signals, self._device = signals, device
        self._held = self._hold() if device.type == "cuda" and hold else None

    def __len__(self) -> int:
        return len(self._signals)

    def rows(self, rows: Int[np.ndarray, "row"]) -> Rows:
        """``rows`` as ``batch`` takes them."""
        return Rows.on(self._device, rows)

    def batch(self, rows: Rows) -> Float[Tensor, "piece lead sample"]:
        """The records of ``rows``, in their order."""
        if self._held is not None:
            return self._held[rows.device].float()
        return to_device(torch.from_numpy(self._signals[rows.host]), self._device).float()

    def _hold(self) -> Tensor | None:
        key = (_content(self._signals), str(self._device))
        if _held is None or _held.key != key:
            release()  # the cohort of an earlier trial, whose place this one may need
            torch.cuda.empty_cache()
            self._copy_to_device(key)
        return None if _held is None else _held.tensor

    def _copy_to_device(self, key: tuple[object, ...]) -> None:
        global _held  # noqa: PLW0603 - one cohort lies on a GPU for all trials of this process
        free, _ = torch.cuda.mem_get_info(self._device)
        try:
            if self._signals.nbytes <= FREE_SHARE * free:
                _held = _Held(key, self._signals, _copied(self._signals, self._device))
                return
        except RuntimeError as error:  # another process was faster
            if not is_short_of_memory(error):
                raise
        needed_gib, free_gib = self._signals.nbytes / 2**30, free / 2**30
        self.note = (
            f"{needed_gib:.1f} GiB of records do not fit beside the network on {self._device}, which has "
            f"{free_gib:.1f} GiB free; batches are copied from the machine's memory"
        )


@dataclass(frozen=True)
class _Held:
    """A cohort on a GPU; ``source`` is kept, so that no other array gets its address while the key has it."""

    key: tuple[object, ...]
    source: Float[np.ndarray, "record lead sample"]
    tensor: Tensor


_held: _Held | None = None


def release() -> None:
    """Give the GPU back the memory of the cohort that it holds."""
    global _held  # noqa: PLW0603
    _held = None


def _content(signals: Float[np.ndarray, "record lead sample"]) -> tuple[object, ...]:
    """What ``signals`` holds, as far as a key needs to tell: the part of which file, or which memory."""
    layout = (signals.shape, signals.strides, signals.dtype.str)
    address = signals.__array_interface__["data"][0]
    if not isinstance(signals, np.memmap) or signals.filename is None:
        return (id(signals), address, *layout)
    file = Path(signals.filename)
    status = file.stat()
    mapped_at = _base_of(signals).__array_interface__["data"][0]
    return (file, status.st_ino, status.st_mtime_ns, signals.offset, address - mapped_at, *layout)


def _base_of(signals: np.memmap) -> np.memmap:
    """The whole mapping that a view was taken from."""
    while isinstance(signals.base, np.memmap):
        signals = signals.base
    return signals


def _copied(signals: Float[np.ndarray, "record lead sample"], device: torch.device) -> Tensor:
    target = torch.empty(signals.shape, dtype=torch.float16, device=device)
    for start in range(0, len(signals), COPIED_AT_ONCE):
        part = np.array(signals[start : start + COPIED_AT_ONCE])  # of the mapped file, which torch must not write to
        target[start : start + len(part)] = torch.from_numpy(part).to(device)
    return target
