import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ablate.train.checkpoint import Checkpoint, Saved

TENSORS = {"last.weight": torch.arange(6.0).reshape(2, 3), "optimizer.0.step": torch.tensor(7.0)}


def written(path: Path, identity: str = "mine") -> bytes:
    Checkpoint(path, identity, []).write(Saved(facts={"stage": "probe", "epochs": [{"x": 0.1}]}, tensors=TENSORS))
    return path.read_bytes()


def test_what_was_written_comes_back_to_the_last_bit(tmp_path: Path) -> None:
    written(tmp_path / "a")
    notes = []
    saved = Checkpoint(tmp_path / "a", "mine", notes).load()
    assert saved.facts["epochs"] == [{"x": 0.1}]
    assert all(torch.equal(saved.tensors[name], tensor) for name, tensor in TENSORS.items())
    assert notes == []


def test_no_file_is_a_beginning_without_a_note(tmp_path: Path) -> None:
    notes = []
    assert Checkpoint(tmp_path / "none", "mine", notes).load() is None
    assert Checkpoint(None, "mine", notes).load() is None
    assert notes == []


def test_a_checkpoint_of_something_else_is_refused_and_said_so(tmp_path: Path) -> None:
    written(tmp_path / "a")
    notes = []
    assert Checkpoint(tmp_path / "a", "other", notes).load() is None
    assert "belongs to other params" in notes[0]
    assert "from the beginning" in notes[0]


def test_a_file_cut_short_anywhere_is_refused(tmp_path: Path) -> None:
    content = written(tmp_path / "a")
    for length in {0, 1, 31, 32, 33, 40, len(content) // 2, len(content) - 1}:
        (tmp_path / "a").write_bytes(content[:length])
        notes = []
        assert Checkpoint(tmp_path / "a", "mine", notes).load() is None
        assert "is damaged" in notes[0]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 10_000), bits=st.integers(1, 255))
def test_a_changed_byte_is_noticed(tmp_path: Path, at: int, bits: int) -> None:
    content = bytearray(written(tmp_path / "a"))
    content[at % len(content)] ^= bits
    (tmp_path / "a").write_bytes(content)
    assert Checkpoint(tmp_path / "a", "mine", []).load() is None


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=400))
def test_any_content_with_the_right_digest_is_refused_without_a_traceback(tmp_path: Path, content: bytes) -> None:
    import hashlib

    (tmp_path / "a").write_bytes(hashlib.sha256(content).digest() + content)
    assert Checkpoint(tmp_path / "a", "mine", []).load() is None


def test_a_pickle_is_not_executed(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (open, (str(tmp_path / "executed"), "w"))

    (tmp_path / "a").write_bytes(pickle.dumps(Evil()))
    assert Checkpoint(tmp_path / "a", "mine", []).load() is None
    assert not (tmp_path / "executed").exists()


def test_a_place_that_cannot_be_written_is_a_note_and_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    notes = []
    checkpoint = Checkpoint(tmp_path / "file" / "a", "mine", notes)
    checkpoint.write(Saved(facts={}, tensors=TENSORS))
    checkpoint.write(Saved(facts={}, tensors=TENSORS))
    assert len(notes) == 1
    assert "no checkpoint could be written" in notes[0]


class Clock:
    """Seconds that pass only when a test says so; each writing takes ``write_s`` of them."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def saved(epoch: int, *, best: int | None = None) -> Saved:
    tensors = {"last.weight": torch.full((2,), float(epoch))}
    if best is None:
        return Saved(facts={"epoch": epoch}, tensors=tensors)
    best_tensors = {"weight": torch.full((2,), float(best))}
    return Saved(facts={"epoch": epoch}, tensors=tensors, best_name=f"finetune-{best}", best_tensors=best_tensors)


def kept_epochs(checkpoint: Checkpoint, clock: Clock, *, epoch_s: float, n_epochs: int) -> list[int]:
    """Epochs after which the file held that epoch."""
    written = []
    for epoch in range(1, n_epochs + 1):
        clock.now += epoch_s
        checkpoint.keep(lambda epoch=epoch: saved(epoch))
        checkpoint.wait()
        found = Checkpoint(checkpoint.path, "mine", []).load()
        if found is not None and found.facts["epoch"] == epoch:
            written.append(epoch)
    return written


@pytest.mark.parametrize(
    ("write_s", "epochs"),
    [
        (0.01, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]),  # cheap: after each epoch of 20 s
        (2.0, [2, 4, 6, 8, 10, 12]),  # 2 s are 5 % of 40
        (60.0, [6, 12]),  # too dear for the share, so every two minutes
    ],
)
def test_writing_takes_its_share_of_the_time_and_two_minutes_are_the_longest_pause(
    tmp_path: Path, write_s: float, epochs: list[int]
) -> None:
    clock = Clock()
    checkpoint = Checkpoint(tmp_path / "a", "mine", [], clock=clock)
    checkpoint.write_s = write_s
    pauses = checkpoint.write

    def costly(state: Saved) -> None:  # the clock stands still while a writing is timed, so its cost is set by hand
        pauses(state)
        checkpoint.write_s = write_s

    checkpoint.write = costly
    assert kept_epochs(checkpoint, clock, epoch_s=20.0, n_epochs=12) == epochs


def test_before_a_writing_was_timed_its_cost_is_told_from_the_bytes(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "a", "mine", [], clock=Clock())
    large = Saved(facts={}, tensors={"weight": torch.empty(10**8, device="meta")})
    assert checkpoint._pause_s(saved(1)) < 0.01
    assert 50 < checkpoint._pause_s(large) < 60


def test_what_was_not_due_is_written_when_the_trial_stops_and_only_once(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "a", "mine", [], clock=Clock())
    checkpoint.keep(lambda: saved(1))
    assert not (tmp_path / "a").exists()
    checkpoint.flush()
    at = (tmp_path / "a").stat().st_mtime_ns
    assert Checkpoint(tmp_path / "a", "mine", []).load().facts["epoch"] == 1
    checkpoint.flush()
    assert (tmp_path / "a").stat().st_mtime_ns == at


def test_the_best_epoch_is_written_when_it_changes_and_comes_back(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "a", "mine", [])
    for epoch, best in ((1, None), (2, 1), (3, 1)):
        checkpoint.write(saved(epoch, best=best))
    (file,) = tmp_path.glob("a.best-*")
    at = file.stat().st_mtime_ns
    again = Checkpoint(tmp_path / "a", "mine", [])
    found = again.load()
    assert (found.best_name, found.best_tensors["weight"].tolist()) == ("finetune-1", [1.0, 1.0])
    again.write(saved(4, best=1))
    assert file.stat().st_mtime_ns == at
    again.write(saved(5))
    assert list(tmp_path.glob("a.best-*")) == []
    assert again.load().best_name == ""


@pytest.mark.parametrize("damage", ["gone", "changed", "another"])
def test_without_its_best_epoch_a_checkpoint_is_refused(tmp_path: Path, damage: str) -> None:
    Checkpoint(tmp_path / "a", "mine", []).write(saved(3, best=1))
    (file,) = tmp_path.glob("a.best-*")
    if damage == "gone":
        file.unlink()
    elif damage == "changed":
        file.write_bytes(file.read_bytes()[:-1] + b"x")
    else:
        Checkpoint(tmp_path / "b", "mine", []).write(saved(3, best=2))
        (other,) = tmp_path.glob("b.best-*")
        file.write_bytes(other.read_bytes())
    notes = []
    assert Checkpoint(tmp_path / "a", "mine", notes).load() is None
    assert "is damaged" in notes[0]
