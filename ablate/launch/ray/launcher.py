"""Agents on a Ray cluster: one restartable actor each, placed by Ray, with fractions of GPUs.

An actor that dies with its node is started again elsewhere by Ray, and begins to serve again; since the budget is the
slots in the store, that adds no trial. Prepared records and features come from a shared folder, or are made once on
each machine; either way by digest, so that nothing stale is ever used.
"""

import logging
import os
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ablate import settings
from ablate.errors import AblateError
from ablate.launch.launcher import AgentStatus
from ablate.launch.ray.cluster import Node, RayOptions, connect, import_ray, look_at, require_room, usable_nodes
from ablate.launch.remote import address
from ablate.launch.remote.agent_group import AgentEnvironment, AgentGroup, data_folder
from ablate.launch.remote.shared_folder import Token
from ablate.worker.agent_options import AgentOptions

_MOST_RESTARTS = 50
_THREADS = 4  # of an actor: it serves, says where it is, and hears that it should stop
_CALL_S = 2.0  # between two questions where the actors are
_PLACELESS_S = 10.0  # an actor that Ray cannot place is given up so long after another agent found nothing left to do
_FAREWELL_S = 90.0  # for agents to checkpoint their trials
_log = logging.getLogger(__name__)


@dataclass
class _Seat:
    """A place for one agent: an actor, and what it was asked that it has not answered yet."""

    agent_options: AgentOptions
    actor: Any
    ending: Any
    whereabouts: Any
    place: str = "waits for a place"
    pid: int | None = None
    n_starts: int = 1
    is_alive: bool = True
    exit_status: int | None = None
    complaint: str | None = None
    heard_at: float = field(default_factory=time.monotonic)


class Host(AgentGroup):
    """The actor: one agent, and where it lives."""

    def __init__(self, agent_environment: AgentEnvironment) -> None:
        super().__init__()
        self._agent_environment = agent_environment

    def serve(self, options: Sequence[AgentOptions]) -> list[AgentStatus]:
        """See ``AgentGroup``."""
        logging.basicConfig(level=logging.WARNING)
        self._agent_environment.unpack()
        return super().serve(options)

    def whereabouts(self) -> tuple[str, int]:
        """Machine and process; another process after each restart."""
        return socket.gethostname(), os.getpid()


class RayLauncher:
    """See ``Launcher``."""

    def __init__(self, options: RayOptions) -> None:
        """Connect to the cluster.

        Raises:
            LaunchError: Ray is not installed, or no cluster answers.
        """
        self._options = options
        self._ray = import_ray()
        self._is_ours = not self._ray.is_initialized()
        if self._is_ours:
            connect(self._ray, options)
        self._seats: list[_Seat] = []
        self._over_since: float | None = None
        self._call_at = 0.0

    def start(self, options: Sequence[AgentOptions]) -> None:
        """Start an actor with each of ``options``, once the cluster has been found fit for them.

        Raises:
            LaunchError: too few GPUs, a storage or folder that nodes do not reach, or nodes that differ.
        """
        nodes = usable_nodes(self._ray.nodes(), self._options)
        require_room(nodes, self._ray.cluster_resources(), self._options, n_agents=len(options))
        address.require_reachable(options[0].storage, [node.address for node in nodes], what="Ray node")
        token = self._token(nodes)
        look_at(self._ray, nodes, token, allow_mixed=options[0].allow_mixed)
        for agent_options in options:
            self._seats.append(self._seat(agent_options, token))

    def watch(self, *, timeout_s: float) -> list[AgentStatus]:
        """Wait until an agent ends, at most so long; how each stands. Ray starts again those that died."""
        living = [seat for seat in self._seats if seat.is_alive]
        if living:
            endings, _ = self._ray.wait([seat.ending for seat in living], timeout=timeout_s, num_returns=1)
            for seat in living:
                if seat.ending in endings:
                    self._end(seat)
            self._locate([seat for seat in living if seat.is_alive])
        return [
            AgentStatus(
                place=seat.place,
                is_alive=seat.is_alive,
                exit_status=seat.exit_status,
                n_starts=seat.n_starts,
                complaint=seat.complaint,
            )
            for seat in self._seats
        ]

    def stop(self, *, at_once: bool = False) -> None:
        """Ask every agent to checkpoint its trial and end, or kill its actor, which ends the agent."""
        for seat in self._seats:
            if seat.is_alive and (at_once or seat.pid is None):
                self._give_up(seat)
            elif seat.is_alive:
                seat.actor.stop.remote()

    def close(self) -> None:
        """Ask those that still live to end, wait for that, and let go of the cluster."""
        self.stop()
        until = time.monotonic() + _FAREWELL_S
        while any(status.is_alive for status in self.watch(timeout_s=1.0)) and time.monotonic() < until:
            continue
        for seat in self._seats:
            self._ray.kill(seat.actor)
        self._seats.clear()
        if self._is_ours:
            self._ray.shutdown()

    def _token(self, nodes: Sequence[Node]) -> Token | None:
        """Of the folder that agents share; on one machine that is the one we have anyway."""
        if self._options.shared_dir is not None:
            return Token.of(self._options.shared_dir.absolute())
        return None if address.others(node.address for node in nodes) else Token.of(settings.home())

    def _seat(self, agent_options: AgentOptions, token: Token | None) -> _Seat:
        options = self._options
        agent_options = replace(agent_options, device=options.device or ("cuda" if options.gpus_per_worker else "cpu"))
        storage, environment = address.without_password(agent_options.storage)
        agent_environment = AgentEnvironment(token=token, environment=environment | data_folder(agent_options))
        actor = (
            self._ray.remote(Host)
            .options(
                num_cpus=options.cpus_per_worker,
                num_gpus=options.gpus_per_worker,
                max_restarts=_MOST_RESTARTS,
                max_task_retries=-1,
                max_concurrency=_THREADS,
                scheduling_strategy="SPREAD",
            )
            .remote(agent_environment)
        )
        return _Seat(
            agent_options,
            actor,
            actor.serve.remote([replace(agent_options, storage=storage)]),
            actor.whereabouts.remote(),
        )

    def _end(self, seat: _Seat) -> None:
        """An agent has ended by itself, or Ray has given its actor up."""
        seat.is_alive = False
        try:
            (ending,) = self._ray.get(seat.ending)
            seat.exit_status, seat.complaint = ending.exit_status, ending.complaint
        except self._ray.exceptions.RayTaskError as error:
            if not isinstance(error.cause, AblateError):
                raise
            seat.exit_status, seat.complaint = error.cause.exit_status, str(error.cause)
        except self._ray.exceptions.RayError as error:
            _log.warning("%s: Ray gave its actor up: %s", seat.place, str(error).splitlines()[0])
        if seat.exit_status == 0 and self._over_since is None:
            self._over_since = time.monotonic()

    def _locate(self, living: Sequence[_Seat]) -> None:
        """Ask the actors where they are; give up those without a place once another agent found nothing left."""
        now = time.monotonic()
        if now < self._call_at:
            return
        self._call_at = now + _CALL_S
        answers, _ = (
            self._ray.wait([seat.whereabouts for seat in living], timeout=0, num_returns=len(living))
            if living
            else ([], [])
        )
        for seat in living:
            if seat.whereabouts in answers:
                self._note_place(seat)
            elif self._over_since is not None and now - max(self._over_since, seat.heard_at) > _PLACELESS_S:
                self._give_up(seat)
                seat.exit_status = 0

    def _note_place(self, seat: _Seat) -> None:
        try:
            host, pid = self._ray.get(seat.whereabouts)
        except self._ray.exceptions.RayError:  # given up: ``serve`` ends as well
            return
        seat.n_starts += seat.pid not in (None, pid)
        seat.place, seat.pid, seat.heard_at = f"{host} ({pid})", pid, time.monotonic()
        seat.whereabouts = seat.actor.whereabouts.remote()

    def _give_up(self, seat: _Seat) -> None:
        self._ray.kill(seat.actor)
        seat.is_alive = False
