"""Agents in a Slurm queue: an array whose elements hold an agent each, or several that share a GPU.

Before its time limit, or when it is pre-empted, Slurm sends an element SIGUSR1: its agents checkpoint their trials and
give the slots back, and the element goes to the end of the queue. submitit submits the elements, turns the signal
into that and requeues; what Slurm does not know, which trials are left, stands in the store.
"""

import contextlib
import os
import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ablate import settings
from ablate.errors import LaunchError
from ablate.launch.launcher import AgentStatus
from ablate.launch.remote import address
from ablate.launch.remote.agent_group import AgentEnvironment, data_folder
from ablate.launch.remote.shared_folder import Token
from ablate.launch.slurm import queue as slurm_queue
from ablate.launch.slurm.task import SlurmTask, import_submitit
from ablate.worker.agent_options import AgentOptions

_MOST_REQUEUES = 1000  # a trial goes on from its checkpoint, so a requeued element is no second try
_LOOK_S = 5.0  # between two looks into the queue, which belongs to everybody
_FAREWELL_S = 90.0


@dataclass(frozen=True, kw_only=True)
class SlurmOptions:
    """What agents get from Slurm.

    Attributes:
        gpus_per_worker: 0, 1, or 1/2, 1/3, … : so many agents share an element with one GPU.
        cpus_per_worker: of each agent.
        time_limit_min: of an element; it is requeued until the study is done.
        signal_s: how long before the limit agents are told to checkpoint; must exceed an epoch.
        shared_dir: ``ABLATE_HOME`` of every agent and the elements' logs; None is ours.
        memory_gb: of an element; None leaves it to the partition.
        device: None is "cuda" where GPUs are asked for, else "cpu".
        setup: shell lines before the agents, such as ``module load``.
    """

    gpus_per_worker: float = 0.0
    cpus_per_worker: int = 1
    time_limit_min: int = 240
    signal_s: int = 120
    shared_dir: Path | None = None
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    memory_gb: float | None = None
    device: str | None = None
    setup: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        share = self.gpus_per_worker
        if not 0 <= share <= 1 or (share and abs(round(1 / share) - 1 / share) > 1e-6):
            raise LaunchError(f"--gpus-per-worker {share:g}: with Slurm expected 0, 1, 0.5, 0.25 or another 1/n")
        if self.signal_s >= self.time_limit_min * 60:
            raise LaunchError(
                f"--option time_limit_min={self.time_limit_min}: must exceed the {self.signal_s} s of signal_s"
            )

    @property
    def agents_per_element(self) -> int:
        """How many agents share an element."""
        return max(1, round(1 / self.gpus_per_worker)) if self.gpus_per_worker else 1


class SlurmLauncher:
    """See ``Launcher``. The array outlives a launcher that is killed: agents fill the study anyway."""

    def __init__(self, options: SlurmOptions) -> None:
        """Look for Slurm.

        Raises:
            LaunchError: submitit or Slurm is missing, or its controller does not answer.
        """
        self._options = options
        self._submitit = import_submitit()
        self._nodes = slurm_queue.nodes(options.partition)
        self._token = Token.of((options.shared_dir or settings.home()).absolute())
        self._elements: list[Any] = []
        self._groups: list[Sequence[AgentOptions]] = []
        self._seen: list[AgentStatus] = []
        self._look_at = 0.0

    def start(self, options: Sequence[AgentOptions]) -> None:
        """Submit the array.

        Raises:
            LaunchError: nodes lack GPUs or do not reach the storage, or Slurm refuses.
        """
        resources = self._options
        slurm_queue.require_gpus(self._nodes, resources.gpus_per_worker)
        address.require_reachable(options[0].storage, [node.address for node in self._nodes], what="Slurm node")
        storage, secret = address.without_password(options[0].storage)
        device = resources.device or ("cuda" if resources.gpus_per_worker else "cpu")
        given = [replace(agent_options, storage=storage, device=device) for agent_options in options]
        n = resources.agents_per_element
        self._groups = [given[first : first + n] for first in range(0, len(given), n)]
        agent_environment = AgentEnvironment(token=self._token, environment=data_folder(options[0]))
        with _exported(secret):
            self._elements = self._submit(agent_environment)

    def watch(self, *, timeout_s: float) -> list[AgentStatus]:
        """Wait so long; how each agent stood at the last look into the queue. Slurm requeues those it lost."""
        time.sleep(timeout_s)
        if time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + _LOOK_S
            states = slurm_queue.states(self._array_id) if self._elements else {}
            self._seen = [
                status
                for element, group in zip(self._elements, self._groups, strict=True)
                for status in self._statuses(element, len(group), states)
            ]
        return self._seen

    def stop(self, *, at_once: bool = False) -> None:
        """Let running agents checkpoint and end and take waiting elements from the queue, or cancel all."""
        if not self._elements:
            return
        if at_once:
            slurm_queue.cancel(self._array_id)
        else:
            slurm_queue.cancel(self._array_id, "--state=PENDING")
            slurm_queue.cancel(self._array_id, "--signal=TERM")
        self._look_at = 0.0

    def close(self) -> None:
        """Stop those that still live, and wait for that."""
        if any(status.is_alive for status in self._seen):
            self.stop()
            until = time.monotonic() + _FAREWELL_S
            while any(status.is_alive for status in self.watch(timeout_s=1.0)) and time.monotonic() < until:
                continue
        self._elements, self._groups = [], []

    @property
    def _array_id(self) -> str:
        identifier: str = self._elements[0].job_id.partition("_")[0]
        return identifier

    @property
    def _logs(self) -> Path:
        return self._token.folder / "slurm"

    def _submit(self, agent_environment: AgentEnvironment) -> list[Any]:
        options = self._options
        executor = self._submitit.SlurmExecutor(self._logs, max_num_timeout=_MOST_REQUEUES)
        wanted: dict[str, Any] = {
            "job_name": f"ablate-{self._groups[0][0].study}",
            "time": options.time_limit_min,
            "signal_delay_s": options.signal_s,
            "cpus_per_task": options.cpus_per_worker * options.agents_per_element,
            "gpus_per_node": 1 if options.gpus_per_worker else None,
            "mem": f"{options.memory_gb:g}GB" if options.memory_gb else None,
            "partition": options.partition,
            "account": options.account,
            "qos": options.qos,
            "constraint": options.constraint,
            "setup": list(options.setup) or None,
            "array_parallelism": len(self._groups),
            "stderr_to_stdout": True,
            "additional_parameters": {"requeue": True},
        }
        executor.update_parameters(**{name: value for name, value in wanted.items() if value is not None})
        try:
            submitted: list[Any] = executor.map_array(
                SlurmTask(), self._groups, [agent_environment] * len(self._groups)
            )
        except (self._submitit.core.utils.FailedJobError, subprocess.SubprocessError, RuntimeError) as error:
            raise LaunchError(f"--launcher slurm: sbatch refuses: {_refusal(str(error))}") from error
        return submitted

    def _statuses(self, element: Any, n_agents: int, states: dict[str, slurm_queue.ElementState]) -> list[AgentStatus]:
        state = states.get(element.job_id, slurm_queue.ElementState())
        has_result = element.paths.result_pickle.exists()
        if state.is_over and not has_result:
            self._require_log(element, state)
        place, n_starts = f"{element.job_id} {state.node}".strip(), 1 + state.n_requeues
        if has_result:
            return [replace(status, place=place, n_starts=n_starts) for status in self._result(element, n_agents)]
        return [AgentStatus(place=place, is_alive=not state.is_over, n_starts=n_starts)] * n_agents

    def _require_log(self, element: Any, state: slurm_queue.ElementState) -> None:
        """An element that ended without a trace wrote it to another machine's folder.

        Raises:
            LaunchError: it did.
        """
        if state.has_run and not element.paths.stdout.exists():
            raise LaunchError(self._token.missing(f"Slurm node {state.node or '(unknown)'}"))

    def _result(self, element: Any, n_agents: int) -> list[AgentStatus]:
        error = element.exception()
        if error is None:
            statuses: list[AgentStatus] = element.result()
            return statuses
        said = re.search(r"ablate\.errors\.\w+: (.*)", str(error))
        complaint = said[1] if said else str(error).strip().splitlines()[-1]
        exit_status = LaunchError.exit_status
        return [AgentStatus(place="", is_alive=False, exit_status=exit_status, complaint=complaint)] * n_agents


@contextlib.contextmanager
def _exported(variables: dict[str, str]) -> Iterator[None]:
    """Set ``variables`` while sbatch copies our environment: a password goes no other way, so into no file."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _refusal(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if "error:" in line]
    return (lines[0] if lines else said.strip().splitlines()[-1]).removeprefix("sbatch: error: ")
