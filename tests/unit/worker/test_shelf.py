"""Checkpoints: one place for each slot, gone with its result, never more than the budget."""

import os
from dataclasses import replace

import pytest

from ablate.store.slot import Slot, SlotState
from ablate.worker.shelf import Shelf

SLOT = Slot(
    id=3, key="search/ft/-/0", phase="search", arm="ft", context={}, index=0, generation=0, chain="ft|{}", seed=1,
    params=None, state=SlotState.WAITING, attempts=0, failures=0, reason=None,
)  # fmt: skip


@pytest.fixture
def shelf(tmp_path):
    return Shelf(tmp_path / "checkpoints", budget_bytes=100)


def lay(shelf, slot, *, n_bytes=10, age_s=0):
    path = shelf.path(slot)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(bytes(n_bytes))
    modified_at = path.stat().st_mtime - age_s
    os.utime(path, (modified_at, modified_at))
    return path


def test_every_attempt_at_a_slot_has_the_same_place(shelf):
    assert shelf.path(SLOT) == shelf.path(replace(SLOT, attempts=2, state=SlotState.LEASED))
    assert shelf.path(SLOT) != shelf.path(replace(SLOT, id=4))


def test_finished_slot_leaves_neither_file_nor_folder(shelf):
    path = lay(shelf, SLOT)
    shelf.discard(SLOT)
    assert not path.parent.exists()
    shelf.discard(SLOT)


def test_checkpoint_of_a_slot_that_somebody_else_finished_goes(shelf):
    kept, gone = lay(shelf, SLOT), lay(shelf, replace(SLOT, id=4))
    assert shelf.tidy({SLOT.id}) == 1
    assert kept.exists()
    assert not gone.exists()


def test_scratch_of_a_trainer_that_died_goes_with_its_slot_only(shelf):
    scratch = lay(shelf, SLOT).with_name(f".{shelf.path(SLOT).name}.x1")
    scratch.touch()
    shelf.tidy({SLOT.id})
    assert scratch.exists(), "it may be being written"
    shelf.tidy(set())
    assert shelf.is_empty


def test_oldest_goes_first_when_the_budget_is_used_up(shelf):
    paths = [lay(shelf, replace(SLOT, id=index), n_bytes=40, age_s=index) for index in range(4)]
    shelf.tidy(set(range(4)))
    assert [path.exists() for path in paths] == [True, True, False, False]
