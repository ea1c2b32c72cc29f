"""Agents as processes of this machine, forked from one fork server that has torch imported."""

import contextlib
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import Self

from ablate.errors import LaunchError
from ablate.launch.launcher import AgentStatus
from ablate.worker.agent_options import AgentOptions
from ablate.worker.fork_server import Child, ForkServer

ENTRY = "ablate.worker.agent_start:main"
_MOST_STARTS = 50  # of one agent; somebody kills it again and again, or this machine is broken


@dataclass
class _Seat:
    """A place for one agent, and who sits there."""

    agent_options: AgentOptions
    child: Child | None = None
    exit_status: int | None = None
    n_starts: int = 0
    complaint: str | None = None


class LocalLauncher:
    """See ``Launcher``. An agent that is killed is started again; one that ends by itself is not."""

    def __init__(self, *, n_threads: int = 1) -> None:
        """The fork server's imports begin here, so make the launcher early."""
        self._n_threads = n_threads
        self._fork_server = ForkServer.start(n_threads=n_threads)
        self._seats: list[_Seat] = []
        self._is_stopping = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self, options: Sequence[AgentOptions]) -> None:
        """Start an agent with each of ``options``.

        Raises:
            LaunchError: the fork server has died.
        """
        for agent_options in options:
            seat = _Seat(agent_options)
            self._seats.append(seat)
            self._occupy(seat)

    def watch(self, *, timeout_s: float) -> list[AgentStatus]:
        """Wait until an agent ends, at most so long; how each stands. Killed agents are started again."""
        ends = wait([seat.child.connection for seat in self._seats if seat.child is not None], timeout_s)
        for seat in self._seats:
            if seat.child is not None and seat.child.connection in ends:
                self._vacate(seat)
        return [
            AgentStatus(
                place=f"{seat.agent_options.device}",
                is_alive=seat.child is not None,
                exit_status=seat.exit_status,
                n_starts=seat.n_starts,
                complaint=seat.complaint,
            )
            for seat in self._seats
        ]

    def stop(self, *, at_once: bool = False) -> None:
        """Ask every agent to checkpoint its trial and end, or kill it."""
        self._is_stopping = True
        for seat in self._seats:
            if seat.child is not None:
                seat.child.send_signal(signal.SIGKILL if at_once else signal.SIGTERM)

    def close(self) -> None:
        """Hang up: agents that still live checkpoint their trials and end."""
        self._is_stopping = True
        for seat in self._seats:
            if seat.child is not None:
                seat.child.connection.close()
                seat.child = None
        self._fork_server.close()

    def _occupy(self, seat: _Seat) -> None:
        seat.n_starts += 1
        try:
            seat.child = self._fork_server.fork(ENTRY, name="ablate agent", agent_options=seat.agent_options)
        except LaunchError:  # the fork server was killed; agents that live on start one of their own when they need it
            self._fork_server.close()
            self._fork_server = ForkServer.start(n_threads=self._n_threads)
            seat.child = self._fork_server.fork(ENTRY, name="ablate agent", agent_options=seat.agent_options)

    def _vacate(self, seat: _Seat) -> None:
        """An agent has ended; start another one where it was killed, none where it ended by itself."""
        child, seat.child = seat.child, None
        if child is None:
            return
        with contextlib.suppress(EOFError, OSError):
            seat.complaint = child.connection.recv_bytes().decode()
        child.connection.close()
        seat.exit_status = child.exit_code(timeout_s=2.0)
        was_killed = seat.exit_status is None or seat.exit_status < 0
        if was_killed and not self._is_stopping and seat.n_starts < _MOST_STARTS:
            self._occupy(seat)
