"""The launcher's role: place agents on machines. What they do there is the store's and their own business.

Every launcher starts the same agents, as ``ablate worker`` does by hand. None of them counts trials: the budget is
the slots in the store, so agents may be started, lost and started again at will.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ablate.worker.duty import Duty


@dataclass(frozen=True, kw_only=True)
class AgentStatus:
    """What a launcher knows of one agent.

    Attributes:
        is_alive: whether it still works, or will be started again.
        exit_status: how it ended, None while it lives and where nobody knows.
        n_starts: how often it was started.
    """

    place: str
    is_alive: bool
    exit_status: int | None = None
    n_starts: int = 1


class Launcher(Protocol):
    """Starts agents, watches them, stops them."""

    def start(self, duties: Sequence[Duty]) -> None:
        """Start an agent for each duty.

        Raises:
            LaunchError: they cannot be started as asked.
        """
        ...

    def watch(self, *, timeout_s: float) -> Sequence[AgentStatus]:
        """Wait for a change, at most so long; how each agent stands. Agents that died are started again."""
        ...

    def stop(self, *, at_once: bool = False) -> None:
        """Ask every agent to checkpoint its trial and end, or end it at once; ``watch`` tells when that is done."""
        ...

    def close(self) -> None:
        """Let go of everything; agents that still live stop as if they were asked to."""
        ...
