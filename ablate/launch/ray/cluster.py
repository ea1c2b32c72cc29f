"""A Ray cluster before agents start on it: is it there, large enough, and do its nodes fit together?"""

import logging
import math
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import ablate
from ablate.errors import LaunchError
from ablate.launch.remote.compatibility import look_around, require_alike
from ablate.launch.remote.shared_folder import Token

_DEFAULT_PORT = 6379
_REACH_S = 5.0
_LOOK_S = 120.0  # Ray starts a process on a node before that can answer


@dataclass(frozen=True, kw_only=True)
class RayOptions:
    """What agents get from Ray.

    Attributes:
        address: "auto" is ``RAY_ADDRESS`` or a cluster that runs on this machine; else "host:port" or "ray://host:port".
        gpus_per_worker: 0 to 1; agents share a GPU where it is less than 1.
        cpus_per_worker: of each agent.
        shared_dir: becomes ``ABLATE_HOME`` of every agent; None where each machine prepares its own.
        device: None is "cuda" where GPUs are asked for, else "cpu".
        upload_code: send this installation's code to the nodes; else ablate is installed there, or on a shared disk.
    """

    address: str = "auto"
    gpus_per_worker: float = 0.0
    cpus_per_worker: float = 1.0
    shared_dir: Path | None = None
    device: str | None = None
    upload_code: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.gpus_per_worker <= 1:
            raise LaunchError(f"--gpus-per-worker {self.gpus_per_worker:g}: an agent uses one GPU; expected 0 to 1")
        if self.cpus_per_worker <= 0:
            raise LaunchError(f"--option cpus_per_worker={self.cpus_per_worker:g}: expected more than 0")


@dataclass(frozen=True)
class Node:
    """A machine of the cluster."""

    id: str
    address: str
    room: int  # agents that fit


def import_ray() -> ModuleType:
    """Ray, if it is there.

    Raises:
        LaunchError: it is not.
    """
    try:
        import ray  # noqa: PLC0415
        import ray.util.scheduling_strategies  # noqa: PLC0415
    except ImportError as error:
        raise LaunchError("--launcher ray: Ray is not installed; pip install 'ablate-ecg[ray]'") from error
    return ray  # type: ignore[no-any-return, unused-ignore]


def connect(ray: ModuleType, options: RayOptions) -> None:
    """Connect this process to a cluster that runs.

    Raises:
        LaunchError: none answers, or it has another Python or Ray.
    """
    where = os.environ.get("RAY_ADDRESS", "auto") if options.address == "auto" else options.address
    _knock(where)
    package = str(Path(ablate.__file__).parent)
    try:
        ray.init(
            address=where,
            runtime_env={"py_modules": [package]} if options.upload_code else None,
            logging_level=logging.WARNING,
            log_to_driver=True,
        )
    except (ConnectionError, TimeoutError, ValueError) as error:
        raise _unreachable(where, str(error)) from error
    except RuntimeError as error:  # another Ray or Python there
        raise LaunchError(f"--ray-address {where}: {_first_line(str(error))}") from error


def usable_nodes(nodes: Sequence[Mapping[str, Any]], options: RayOptions) -> list[Node]:
    """Those of ``ray.nodes()`` that live and have room for an agent."""
    alive = [
        Node(node["NodeID"], node["NodeManagerAddress"], _room(node["Resources"], options))
        for node in nodes
        if node["Alive"]
    ]
    return [node for node in alive if node.room]


def require_room(nodes: Sequence[Node], resources: Mapping[str, float], options: RayOptions, *, n_agents: int) -> None:
    """See that the cluster is large enough, whoever uses it at the moment.

    Raises:
        LaunchError: it is not.
    """
    room = sum(node.room for node in nodes)
    if room < n_agents:
        raise LaunchError(
            f"--workers {n_agents} with {options.gpus_per_worker:g} GPUs and {options.cpus_per_worker:g} CPUs each: "
            f"the Ray cluster has {resources.get('GPU', 0):g} GPUs and {resources.get('CPU', 0):g} CPUs, room for "
            f"{room} such workers; {f'use --workers {room}' if room else 'ask for less'} or add nodes"
        )


def _room(resources: Mapping[str, float], options: RayOptions) -> int:
    room = math.floor(resources.get("CPU", 0) / options.cpus_per_worker + 1e-9)
    if options.gpus_per_worker:  # a share lies on one GPU
        room = min(room, int(resources.get("GPU", 0)) * math.floor(1 / options.gpus_per_worker + 1e-9))
    return room


def look_at(ray: ModuleType, nodes: Sequence[Node], token: Token | None, *, allow_mixed: bool) -> None:
    """See that the nodes fit together: Python, torch, the shared folder.

    Raises:
        LaunchError: they do not, or one cannot say.
    """
    look = ray.remote(look_around)
    on = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
    asked = [
        look.options(num_cpus=0, scheduling_strategy=on(node_id=node.id, soft=False)).remote(token) for node in nodes
    ]
    try:
        sites = ray.get(asked, timeout=_LOOK_S)
    except ray.exceptions.RayError as error:
        raise _not_fit(error) from error
    require_alike(sites, token=token, allow_mixed=allow_mixed)


def _knock(where: str) -> None:
    """Ray itself tries for a minute and then ends the process."""
    host, _, port = where.rpartition("://")[2].partition(":")
    if host in ("auto", "local", ""):
        return
    try:
        socket.create_connection((host, int(port or _DEFAULT_PORT)), timeout=_REACH_S).close()
    except (OSError, ValueError) as error:
        raise _unreachable(where, str(error)) from error


def _unreachable(where: str, said: str) -> LaunchError:
    remedy = "start one with `ray start --head`, or name it with --ray-address HOST:PORT"
    return LaunchError(f"--ray-address {where}: no Ray cluster answers ({_first_line(said)}); {remedy}")


def _not_fit(error: Exception) -> LaunchError:
    if "No module named 'ablate'" in str(error):
        return LaunchError(
            "--launcher ray: a node has no ablate; install it there, or send ours with --option upload_code=true"
        )
    return LaunchError(f"--launcher ray: a node does not answer ({_first_line(str(error))}); see `ray status`")


def _first_line(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[0] if lines else "no reason given"
