"""What Slurm's commands say, and what is refused before anything is submitted."""

import os
import sys
from pathlib import Path

import pytest

from ablate.errors import LaunchError
from ablate.launch.slurm import queue as slurm_queue
from ablate.launch.slurm.launcher import SlurmOptions
from ablate.launch.slurm.queue import ElementState, SlurmNode, n_gpus, require_gpus
from ablate.launch.slurm.task import SlurmTask, import_submitit


@pytest.mark.parametrize(
    ("resources", "n"),
    [
        ("(null)", 0),
        ("gpu:2", 2),
        ("gpu:a100:4(S:0-1)", 4),
        ("gpu:a100:4(S:0-1),gpu:v100:2(S:1),shard:16", 6),
        ("shard:16(S:0)", 0),
        ("mps:100,gpu:1", 1),
    ],
)
def test_gpus_are_counted_in_slurms_own_list(resources: str, n: int) -> None:
    assert n_gpus(resources) == n


def test_gpu_on_a_partition_without_any_is_refused() -> None:
    require_gpus([SlurmNode("a", "a", 0), SlurmNode("b", "b", 4)], 1.0)
    require_gpus([SlurmNode("a", "a", 0)], 0)
    with pytest.raises(LaunchError, match="no node of the partition has a GPU"):
        require_gpus([SlurmNode("a", "a", 0)], 0.5)


def command(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of commands before all others."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path


def test_states_of_an_array(path: Path) -> None:
    lines = ["7|0|RUNNING|n1|0|", "7|1|PENDING||2|", "7|2|COMPLETED|n2|1|", "9|N/A|TIMEOUT|n1|0|"]
    command(path, "squeue", f"printf '%s\\n' {' '.join(repr(line) for line in lines)}")
    found = slurm_queue.states("7")
    assert found["7_1"] == ElementState("PENDING", "", 2)
    assert [found[name].is_over for name in ("7_0", "7_1", "7_2", "9")] == [False, False, True, True]


def test_array_that_the_queue_has_forgotten(path: Path) -> None:
    command(path, "squeue", "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1")
    assert slurm_queue.states("7") == {}
    assert ElementState().is_over
    assert not ElementState().has_run


def test_controller_that_does_not_answer(path: Path) -> None:
    command(path, "sinfo", "echo 'slurm_load_partitions: Unable to contact slurm controller' >&2; exit 1")
    with pytest.raises(LaunchError, match="Unable to contact slurm controller"):
        slurm_queue.nodes(None)


def test_machine_without_slurm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LaunchError, match="sinfo is not on PATH"):
        slurm_queue.nodes(None)


def test_missing_submitit_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(LaunchError, match=r"pip install 'ablate-ecg\[slurm\]'"):
        import_submitit()


@pytest.mark.parametrize(("share", "n"), [(0.0, 1), (1.0, 1), (0.5, 2), (1 / 3, 3), (0.25, 4)])
def test_agents_that_share_an_element(share: float, n: int) -> None:
    assert SlurmOptions(gpus_per_worker=share).agents_per_element == n


@pytest.mark.parametrize("share", [0.4, 1.5, -1.0])
def test_shares_that_do_not_fill_a_gpu_are_refused(share: float) -> None:
    with pytest.raises(LaunchError, match="1/n"):
        SlurmOptions(gpus_per_worker=share)


def test_time_limit_must_leave_time_to_work() -> None:
    with pytest.raises(LaunchError, match="time_limit_min=2"):
        SlurmOptions(time_limit_min=2, signal_s=120)


def test_element_that_is_told_before_it_began_asks_for_the_same_again() -> None:
    pytest.importorskip("submitit", reason="needs ablate-ecg[slurm]")
    from ablate.launch.remote.agent_group import AgentEnvironment

    again = SlurmTask().checkpoint([], AgentEnvironment())
    assert isinstance(again.function, SlurmTask)
    assert again.args == ([], AgentEnvironment())


def test_slurm_is_asked_for_the_signal_that_agents_know(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when submitit was imported before, with its own choice."""
    environment = pytest.importorskip("submitit.slurm.slurm", reason="needs ablate-ecg[slurm]").SlurmJobEnvironment
    monkeypatch.setattr(environment.__mro__[1], "USR_SIG", "USR2")
    monkeypatch.setenv("SUBMITIT_PREEMPT_SIGNAL", "USR2")
    import_submitit()
    assert environment.USR_SIG == "USR1"
    assert os.environ["SUBMITIT_PREEMPT_SIGNAL"] == "USR1"
