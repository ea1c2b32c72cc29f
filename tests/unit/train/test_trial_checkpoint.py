import pickle

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ablate.train.checkpoint import Checkpoint, Saved

TENSORS = {"last.weight": torch.arange(6.0).reshape(2, 3), "optimizer.0.step": torch.tensor(7.0)}


def written(path, identity="mine"):
    Checkpoint(path, identity, []).write(Saved(facts={"stage": "probe", "epochs": [{"x": 0.1}]}, tensors=TENSORS))
    return path.read_bytes()


def test_what_was_written_comes_back_to_the_last_bit(tmp_path):
    written(tmp_path / "a")
    notes = []
    saved = Checkpoint(tmp_path / "a", "mine", notes).load()
    assert saved.facts["epochs"] == [{"x": 0.1}]
    assert all(torch.equal(saved.tensors[name], tensor) for name, tensor in TENSORS.items())
    assert notes == []


def test_no_file_is_a_beginning_without_a_note(tmp_path):
    notes = []
    assert Checkpoint(tmp_path / "none", "mine", notes).load() is None
    assert Checkpoint(None, "mine", notes).load() is None
    assert notes == []


def test_a_checkpoint_of_something_else_is_refused_and_said_so(tmp_path):
    written(tmp_path / "a")
    notes = []
    assert Checkpoint(tmp_path / "a", "other", notes).load() is None
    assert "belongs to other params" in notes[0]
    assert "from the beginning" in notes[0]


def test_a_file_cut_short_anywhere_is_refused(tmp_path):
    content = written(tmp_path / "a")
    for length in {0, 1, 31, 32, 33, 40, len(content) // 2, len(content) - 1}:
        (tmp_path / "a").write_bytes(content[:length])
        notes = []
        assert Checkpoint(tmp_path / "a", "mine", notes).load() is None
        assert "is damaged" in notes[0]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 10_000), bits=st.integers(1, 255))
def test_a_changed_byte_is_noticed(tmp_path, at, bits):
    content = bytearray(written(tmp_path / "a"))
    content[at % len(content)] ^= bits
    (tmp_path / "a").write_bytes(content)
    assert Checkpoint(tmp_path / "a", "mine", []).load() is None


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=400))
def test_any_content_with_the_right_digest_is_refused_without_a_traceback(tmp_path, content):
    import hashlib

    (tmp_path / "a").write_bytes(hashlib.sha256(content).digest() + content)
    assert Checkpoint(tmp_path / "a", "mine", []).load() is None


def test_a_pickle_is_not_executed(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "executed"), "w"))

    (tmp_path / "a").write_bytes(pickle.dumps(Evil()))
    assert Checkpoint(tmp_path / "a", "mine", []).load() is None
    assert not (tmp_path / "executed").exists()


def test_a_place_that_cannot_be_written_is_a_note_and_no_error(tmp_path):
    (tmp_path / "file").write_text("")
    notes = []
    checkpoint = Checkpoint(tmp_path / "file" / "a", "mine", notes)
    checkpoint.write(Saved(facts={}, tensors=TENSORS))
    checkpoint.write(Saved(facts={}, tensors=TENSORS))
    assert len(notes) == 1
    assert "no checkpoint could be written" in notes[0]


@pytest.mark.parametrize("often", [True, False])
def test_seldom_writing_waits_and_frequent_writing_does_not(tmp_path, often):
    checkpoint = Checkpoint(tmp_path / "a", "mine", [])
    assert checkpoint.is_due(often=often) == often
    checkpoint.written_at -= 60
    assert checkpoint.is_due(often=often)
