"""Results on disk: they survive their agent, and only the right agent tells them."""

import signal
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.errors import DataError
from ablate.worker.spool import Entry, Spool

ENTRY = Entry({"slot_id": 7, "token": 2}, {"scores": {"val_auroc": 0.9}}, {"val.npz": b"\0\1\2"})

LEAVE_AN_ORPHAN = """
import os, signal, sys
from pathlib import Path
from ablate.worker.spool import Entry, Spool
spool = Spool(Path(sys.argv[1]), agent="dead")
spool.put(Entry({"slot_id": 7, "token": 2}, {"scores": {"val_auroc": 0.9}}, {"val.npz": bytes([0, 1, 2])}))
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def orphaned(tmp_path):
    """A spool folder in which an agent was killed."""
    done = subprocess.run([sys.executable, "-c", LEAVE_AN_ORPHAN, tmp_path], check=False)
    assert done.returncode == -signal.SIGKILL
    return tmp_path


def test_result_of_a_killed_agent_is_found_by_the_next(orphaned):
    with Spool(orphaned, agent="next") as spool:
        assert [entry for _, entry in spool.orphans()] == [ENTRY]


def test_folder_of_a_dead_agent_goes_once_its_results_are_told(orphaned):
    with Spool(orphaned, agent="next") as spool:
        for path, _ in spool.orphans():
            path.unlink()
    assert list(orphaned.iterdir()) == []


def test_result_that_was_not_told_stays(orphaned):
    with Spool(orphaned, agent="next") as spool:
        list(spool.orphans())
        assert len(list(spool.orphans())) == 1


def test_result_of_a_living_agent_is_left_alone(tmp_path):
    with Spool(tmp_path, agent="one") as one, Spool(tmp_path, agent="two") as two:
        one.put(ENTRY)
        assert list(two.orphans()) == []
        assert list(one.orphans()) == []


def test_result_of_another_study_is_left_alone(orphaned):
    with Spool(orphaned.parent / "another study", agent="next") as spool:
        assert list(spool.orphans()) == []
    assert list(orphaned.rglob("*.result"))


@pytest.mark.parametrize(
    "damage", [lambda whole: whole[:-1], lambda whole: b"", lambda whole: whole[:40] + b"x" + whole[41:]]
)
def test_damaged_result_is_removed_not_told(orphaned, damage):
    (path,) = orphaned.rglob("*.result")
    path.write_bytes(damage(path.read_bytes()))
    with Spool(orphaned, agent="next") as spool:
        assert list(spool.orphans()) == []
    assert list(orphaned.iterdir()) == []


@given(content=st.binary(max_size=200))
def test_any_bytes_are_refused_without_a_crash(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("spool")
    (folder / "dead").mkdir()
    (folder / "dead" / "1-1.result").write_bytes(content)
    with Spool(folder, agent="next") as spool:
        assert list(spool.orphans()) == []


def test_half_written_result_is_cleared_away(orphaned):
    (orphaned / "dead" / ".8-1.result.abc").write_bytes(b"half")
    with Spool(orphaned, agent="next") as spool:
        for path, _ in spool.orphans():
            path.unlink()
    assert list(orphaned.iterdir()) == []


def test_folder_that_cannot_be_made_is_an_error_that_names_it(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=str(tmp_path / "file")):
        Spool(tmp_path / "file", agent="one").put(ENTRY)


def test_spool_without_results_leaves_no_folder(tmp_path):
    with Spool(tmp_path / "spool", agent="one"):
        pass
    assert not (tmp_path / "spool").exists()
