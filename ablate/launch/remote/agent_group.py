"""Agents on behalf of an engine: in the process that Ray or Slurm has placed on some machine.

The agents are the fork server's children, tied to this process by a connection each. When the engine kills it, they
notice, checkpoint their trials and give their slots back.
"""

import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ablate.errors import LaunchError
from ablate.launch.launcher import AgentStatus
from ablate.launch.local import LocalLauncher
from ablate.launch.remote.shared_folder import Token
from ablate.worker.agent_options import AgentOptions

HOME = "ABLATE_HOME"
DATA = "ABLATE_DATA"
_TICK_S = 0.25


@dataclass(frozen=True, kw_only=True)
class AgentEnvironment:
    """What agents of a agent group bring to their machine.

    Attributes:
        token: of the shared folder, which becomes their ``ABLATE_HOME``; None where each machine prepares its own.
        environment: variables to set, passwords among them, so it is not shown.
    """

    token: Token | None = None
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)

    def unpack(self) -> None:
        """Set the environment of this process and of its children to come.

        Raises:
            LaunchError: this machine does not see the shared folder.
        """
        os.environ.update(self.environment)
        if self.token is not None:
            self.token.require(os.uname().nodename)
            os.environ[HOME] = str(self.token.folder)
        os.environ.setdefault(HOME, str(Path.home() / ".ablate"))


class AgentGroup:
    """The agents of one process."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._agents: LocalLauncher | None = None

    def serve(self, options: Sequence[AgentOptions]) -> list[AgentStatus]:
        """Let an agent fill slots for each agent options until all have ended; how they did."""
        with LocalLauncher(n_threads=options[0].n_threads) as agents:
            self._agents = agents
            agents.start(options)
            return self.settle()

    def stop(self) -> None:
        """Ask the agents to checkpoint their trials and end; from any thread, or from a signal's handler."""
        self._asked.set()

    def settle(self) -> list[AgentStatus]:
        """Wait until all agents have ended; also from a signal's handler that has called ``stop``.

        Raises:
            LaunchError: the fork server has died.
        """
        if self._agents is None:
            raise LaunchError("there are no agents to wait for")
        is_told = False
        while True:
            if self._asked.is_set() and not is_told:
                self._agents.stop()
                is_told = True
            statuses = self._agents.watch(timeout_s=_TICK_S)
            if not any(status.is_alive for status in statuses):
                return statuses


def data_folder(agent_options: AgentOptions) -> dict[str, str]:
    """The variable that says where PTB-XL lies, on every machine the same; nothing where nobody has said."""
    named = agent_options.data_dir or os.environ.get(DATA)
    return {DATA: named} if named else {}
