"""Batches: which records each step sees, and how they come from the mapped array to the device. There is no DataLoader:
slicing the array is faster than any of its workers."""

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ablate import seeds

FREE_SHARE = 0.5  # of a GPU's free memory that records may take; the rest is for the network


def order(n_records: int, *, seed: int, stage: str, epoch: int) -> Int[np.ndarray, "record"]:
    """The permutation of one epoch; it depends on its arguments only, so a resumed trial sees the same batches."""
    return np.random.default_rng(seeds.derive(seed, "order", stage, epoch)).permutation(n_records)


def pieces(rows: Int[np.ndarray, "record"], size: int) -> Iterator[Int[np.ndarray, "piece"]]:
    """``rows`` in pieces of ``size``; the last one may be shorter."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def n_pieces(n_records: int, size: int) -> int:
    """How many pieces ``pieces`` gives."""
    return -(-n_records // size)


def on_device(rows: Int[np.ndarray, "row"], device: torch.device) -> Int[Tensor, "row"]:
    """``rows`` as an index of tensors on ``device``; any view will do, a reversed one too, which torch refuses."""
    return torch.from_numpy(np.ascontiguousarray(rows)).to(device)


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

    def batch(self, rows: Int[np.ndarray, "piece"]) -> Float[Tensor, "piece lead sample"]:
        """The records of ``rows``, in their order."""
        if self._held is not None:
            return self._held[on_device(rows, self._device)].float()
        taken = torch.from_numpy(self._signals[rows])
        if self._device.type == "cuda":
            taken = taken.pin_memory().to(self._device, non_blocking=True)
        return taken.float()

    def _hold(self) -> Tensor | None:
        key = (getattr(self._signals, "filename", id(self._signals)), self._signals.shape, str(self._device))
        if key not in _held:
            free, _ = torch.cuda.mem_get_info(self._device)
            if self._signals.nbytes > FREE_SHARE * free:
                needed_gib, free_gib = self._signals.nbytes / 2**30, free / 2**30
                self.note = (
                    f"{needed_gib:.1f} GiB of records do not fit beside the network on {self._device}, which has "
                    f"{free_gib:.1f} GiB free; batches are copied from the machine's memory"
                )
                return None
            _held.clear()
            _held[key] = _copied(self._signals, self._device)
        return _held[key]


_held: dict[tuple[object, ...], Tensor] = {}  # the one cohort that this process has on a GPU


def _copied(signals: Float[np.ndarray, "record lead sample"], device: torch.device) -> Tensor:
    target = torch.empty(signals.shape, dtype=torch.float16, device=device)
    for piece in pieces(np.arange(len(signals)), 4096):
        target[piece[0] : piece[-1] + 1] = torch.from_numpy(signals[piece]).to(device)
    return target
