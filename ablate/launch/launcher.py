"""The launcher's role: place agents on machines. What they do there is the store's and their own business.

Every launcher starts the same agents, as ``ablate worker`` does by hand. None of them counts trials: the budget is
the slots in the store, so agents may be started, lost and started again at will.
"""

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import NoReturn, Protocol

from ablate.worker.agent_options import AgentOptions

_TICK_S = 0.25


@dataclass(frozen=True, kw_only=True)
class AgentStatus:
    """What a launcher knows of one agent.

    Attributes:
        is_alive: whether it still works, or will be started again.
        exit_status: how it ended, None while it lives and where nobody knows.
        n_starts: how often it was started.
        complaint: why it could not go on, in one line for the user.
    """

    place: str
    is_alive: bool
    exit_status: int | None = None
    n_starts: int = 1
    complaint: str | None = None


class Launcher(Protocol):
    """Starts agents, watches them, stops them."""

    def start(self, options: Sequence[AgentOptions]) -> None:
        """Start an agent with each of ``options``.

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


def launch(
    launcher: Launcher,
    options: Sequence[AgentOptions],
    *,
    on_tick: Callable[[Sequence[AgentStatus]], None] = lambda _: None,
    on_stop: Callable[[], None] = lambda: None,
) -> list[AgentStatus]:
    """Let agents fill the slots of a study, one for each of ``options``, and wait for the last; closes the launcher.

    Ctrl-C or SIGTERM once: agents checkpoint their trials and end. Twice: they are killed; the study can be resumed
    either way.

    Args:
        launcher: where the agents work.
        options: of each agent.
        on_tick: called several times a second.
        on_stop: called at once when Ctrl-C is pressed for the first time.

    Raises:
        LaunchError: agents cannot be started.
        KeyboardInterrupt: Ctrl-C was pressed, and every agent has ended.
    """
    n_interrupts = 0
    statuses: Sequence[AgentStatus] = ()
    with closing(launcher), _termination_is_interruption():
        launcher.start(options)
        while True:
            try:
                statuses = launcher.watch(timeout_s=_TICK_S)
                on_tick(statuses)
                if not any(status.is_alive for status in statuses):
                    break
            except KeyboardInterrupt:
                n_interrupts += 1
                if n_interrupts == 1:
                    on_stop()
                launcher.stop(at_once=n_interrupts > 1)
    if n_interrupts:
        raise KeyboardInterrupt
    return list(statuses)


@contextmanager
def _termination_is_interruption() -> Iterator[None]:
    """Containers and batch systems say SIGTERM where people press Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
