"""Where the checkpoints of unfinished trials lie: one file a slot, removed with its result, within a disk budget."""

import contextlib
from collections.abc import Collection
from pathlib import Path

from ablate import digest
from ablate.store.slot import Slot, SlotState

UNFINISHED = (SlotState.WAITING, SlotState.LEASED)
BUDGET_BYTES = 20 << 30


class CheckpointFolder:
    """Checkpoints of one study. Several agents share it; on a shared folder also those of several machines."""

    def __init__(self, folder: Path, *, budget_bytes: int = BUDGET_BYTES) -> None:
        self._folder = folder
        self._budget_bytes = budget_bytes

    def path(self, slot: Slot) -> Path:
        """Where the checkpoint of ``slot`` is, or will be; every attempt at the slot has the same."""
        return self._folder / f"{slot.id}-{digest.of_json(slot.key)[: digest.SHORT]}.ckpt"

    def discard(self, slot: Slot) -> None:
        """Remove the checkpoint of a finished slot."""
        with contextlib.suppress(OSError):
            for file in self._folder.glob(f"{self.path(slot).name}*"):  # that of the best epoch lies beside it
                file.unlink(missing_ok=True)
            self._folder.rmdir()  # only when it is empty

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to tidy."""
        return not self._files()

    def tidy(self, unfinished: Collection[int]) -> int:
        """Remove what belongs to no slot of ``unfinished``, then the oldest until the rest is within the budget.

        A trial whose checkpoint is gone starts from its beginning, and ends with the same scores.

        Args:
            unfinished: ids of slots that wait or are being filled, on any machine.

        Returns:
            How many files were removed.
        """
        removed, total = 0, 0
        for _, size, path in sorted(self._files(), reverse=True):
            total += size
            if total > self._budget_bytes or _slot_id(path) not in unfinished:
                with contextlib.suppress(OSError):
                    path.unlink()
                    removed += 1
        with contextlib.suppress(OSError):
            self._folder.rmdir()  # only when it is empty
        return removed

    def _files(self) -> list[tuple[float, int, Path]]:
        files = []
        for path in self._folder.glob("*"):
            with contextlib.suppress(OSError):  # another agent has just removed it
                status = path.stat()
                files.append((status.st_mtime, status.st_size, path))
        return files


def _slot_id(path: Path) -> int | None:
    name = path.name.removeprefix(".").partition("-")[0]  # with a dot: left by a trainer that died while it wrote
    return int(name) if name.isdecimal() else None
