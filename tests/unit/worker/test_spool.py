"""Results on disk: they survive their agent, and only the right agent tells them."""

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_outcome import stopped_result

from ablate.errors import DataError
from ablate.store.slot import AgentCard, Claim, Slot, SlotState
from ablate.worker.spool import Spool, SpooledResult

CLAIM = Claim(
    study="s",
    study_id="6f1c",
    nonce="a1",
    slot=Slot(
        id=7, key="search/ft/-/0", phase="search", arm="ft", context={"data_fraction": 0.1}, index=0, generation=0,
        chain="ft|{}", seed=2**62, params={"ft_lr": 0.1 + 0.2}, state=SlotState.LEASED, attempts=1, failures=0,
        reason=None,
    ),
    token=2,
    agent=AgentCard(id="a", host="h", pid=1, facts={"code": "c"}),
    lease_s=60.0,
    outcomes=("out_of_memory",),
)  # fmt: skip
PROBABILITIES = np.random.default_rng(0).random((5, 3), dtype=np.float32)
OUTCOME = stopped_result(
    0.1 + 0.2, val_probabilities=PROBABILITIES, notes=("one",), lost_classes=("MI",), class_scores={},
    weights=b"\0safetensors", thresholds={"MI": 0.25, "NORM": None},
)  # fmt: skip
SPOOLED = SpooledResult(CLAIM, OUTCOME, test_fold=b"\0\1\2")

LEAVE_AN_ORPHAN = """
import os, signal, sys
from pathlib import Path
sys.path += sys.argv[2:]
from ablate.worker.spool import Spool
from test_spool import SPOOLED
spool = Spool(Path(sys.argv[1]), agent="dead")
spool.put(SPOOLED)
os.kill(os.getpid(), signal.SIGKILL)
"""
PATHS = [Path(__file__).parent, Path(__file__).parents[2]]


@pytest.fixture
def orphaned(tmp_path: Path) -> Path:
    """A spool folder in which an agent was killed."""
    done = subprocess.run([sys.executable, "-c", LEAVE_AN_ORPHAN, tmp_path, *PATHS], check=False)
    assert done.returncode == -signal.SIGKILL
    return tmp_path


def test_result_of_a_killed_agent_is_found_by_the_next(orphaned: Path) -> None:
    with Spool(orphaned, agent="next") as spool:
        [(_, found)] = spool.orphans()
    assert found.claim == CLAIM
    assert found.test_fold == SPOOLED.test_fold
    assert repr(found.outcome) == repr(OUTCOME)  # NaN is not equal to itself
    np.testing.assert_array_equal(found.outcome.val_probabilities, PROBABILITIES)
    assert found.outcome.test_probabilities is None
    assert found.outcome.weights == OUTCOME.weights


def test_folder_of_a_dead_agent_goes_once_its_results_are_told(orphaned: Path) -> None:
    with Spool(orphaned, agent="next") as spool:
        for path, _ in spool.orphans():
            path.unlink()
    assert list(orphaned.iterdir()) == []


def test_result_that_was_not_told_stays(orphaned: Path) -> None:
    with Spool(orphaned, agent="next") as spool:
        list(spool.orphans())
        assert len(list(spool.orphans())) == 1


def test_result_of_a_living_agent_is_left_alone(tmp_path: Path) -> None:
    with Spool(tmp_path, agent="one") as one, Spool(tmp_path, agent="two") as two:
        one.put(SPOOLED)
        assert list(two.orphans()) == []
        assert list(one.orphans()) == []


def test_result_of_another_study_is_left_alone(orphaned: Path) -> None:
    with Spool(orphaned.parent / "another study", agent="next") as spool:
        assert list(spool.orphans()) == []
    assert list(orphaned.rglob("*.result"))


@pytest.mark.parametrize(
    "damage", [lambda whole: whole[:-1], lambda whole: b"", lambda whole: whole[:40] + b"x" + whole[41:]]
)
def test_damaged_result_is_removed_not_told(orphaned: Path, damage: Callable[..., Any]) -> None:
    (path,) = orphaned.rglob("*.result")
    path.write_bytes(damage(path.read_bytes()))
    with Spool(orphaned, agent="next") as spool:
        assert list(spool.orphans()) == []
    assert list(orphaned.iterdir()) == []


@given(content=st.binary(max_size=200))
def test_any_bytes_are_refused_without_a_crash(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.mktemp("spool")
    (folder / "dead").mkdir()
    (folder / "dead" / "1-1.result").write_bytes(content)
    with Spool(folder, agent="next") as spool:
        assert list(spool.orphans()) == []


def test_half_written_result_is_cleared_away(orphaned: Path) -> None:
    (orphaned / "dead" / ".8-1.result.abc").write_bytes(b"half")
    with Spool(orphaned, agent="next") as spool:
        for path, _ in spool.orphans():
            path.unlink()
    assert list(orphaned.iterdir()) == []


def test_folder_that_cannot_be_made_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=str(tmp_path / "file")):
        Spool(tmp_path / "file", agent="one").put(SPOOLED)


def test_spool_without_results_leaves_no_folder(tmp_path: Path) -> None:
    with Spool(tmp_path / "spool", agent="one"):
        pass
    assert not (tmp_path / "spool").exists()
