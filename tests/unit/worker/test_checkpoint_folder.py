"""Checkpoints: one place for each slot, gone with its result, never more than the budget."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from ablate.store.slot import Slot, SlotState
from ablate.worker.checkpoint_folder import CheckpointFolder

SLOT = Slot(
    id=3, key="search/ft/-/0", phase="search", arm="ft", context={}, index=0, generation=0, chain="ft|{}", seed=1,
    params=None, state=SlotState.WAITING, attempts=0, failures=0, reason=None,
)  # fmt: skip


@pytest.fixture
def checkpoint_folder(tmp_path: Path) -> CheckpointFolder:
    return CheckpointFolder(tmp_path / "checkpoints", budget_bytes=100)


def lay(checkpoint_folder: CheckpointFolder, slot: Slot, *, n_bytes: int = 10, age_s: int = 0) -> Path:
    path = checkpoint_folder.path(slot)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(bytes(n_bytes))
    modified_at = path.stat().st_mtime - age_s
    os.utime(path, (modified_at, modified_at))
    return path


def test_every_attempt_at_a_slot_has_the_same_place(checkpoint_folder: CheckpointFolder) -> None:
    assert checkpoint_folder.path(SLOT) == checkpoint_folder.path(replace(SLOT, attempts=2, state=SlotState.LEASED))
    assert checkpoint_folder.path(SLOT) != checkpoint_folder.path(replace(SLOT, id=4))


def test_finished_slot_leaves_neither_file_nor_folder(checkpoint_folder: CheckpointFolder) -> None:
    path = lay(checkpoint_folder, SLOT)
    checkpoint_folder.discard(SLOT)
    assert not path.parent.exists()
    checkpoint_folder.discard(SLOT)


def test_checkpoint_of_a_slot_that_somebody_else_finished_goes(checkpoint_folder: CheckpointFolder) -> None:
    kept, gone = lay(checkpoint_folder, SLOT), lay(checkpoint_folder, replace(SLOT, id=4))
    assert checkpoint_folder.tidy({SLOT.id}) == 1
    assert kept.exists()
    assert not gone.exists()


def test_scratch_of_a_trainer_that_died_goes_with_its_slot_only(checkpoint_folder: CheckpointFolder) -> None:
    scratch = lay(checkpoint_folder, SLOT).with_name(f".{checkpoint_folder.path(SLOT).name}.x1")
    scratch.touch()
    checkpoint_folder.tidy({SLOT.id})
    assert scratch.exists(), "it may be being written"
    checkpoint_folder.tidy(set())
    assert checkpoint_folder.is_empty


def test_oldest_goes_first_when_the_budget_is_used_up(checkpoint_folder: CheckpointFolder) -> None:
    paths = [lay(checkpoint_folder, replace(SLOT, id=index), n_bytes=40, age_s=index) for index in range(4)]
    checkpoint_folder.tidy(set(range(4)))
    assert [path.exists() for path in paths] == [True, True, False, False]
