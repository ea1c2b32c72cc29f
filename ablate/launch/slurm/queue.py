"""What Slurm says of its nodes and of an array, through the commands that every cluster has."""

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from ablate.errors import LaunchError

_ANSWER_S = 30.0
_OVER = frozenset(
    "BOOT_FAIL CANCELLED COMPLETED DEADLINE FAILED NODE_FAIL OUT_OF_MEMORY REVOKED TIMEOUT".split()  # noqa: SIM905
)


@dataclass(frozen=True)
class SlurmNode:
    """A machine of the partition."""

    name: str
    address: str
    n_gpus: int


@dataclass(frozen=True)
class ElementState:
    """How an element of an array stands; by default as one that the queue has forgotten."""

    state: str = "FORGOTTEN"
    node: str = ""
    n_requeues: int = 0

    @property
    def is_over(self) -> bool:
        """Whether it has ended for good."""
        return self.state in _OVER or self.state == "FORGOTTEN"

    @property
    def has_run(self) -> bool:
        """Whether it had begun before it ended."""
        return self.state not in ("FORGOTTEN", "CANCELLED", "REVOKED", "BOOT_FAIL")


def nodes(partition: str | None) -> list[SlurmNode]:
    """The nodes of ``partition``, or of all partitions.

    Raises:
        LaunchError: Slurm is not here, does not answer, or has no such partition.
    """
    wanted = ["--partition", partition] if partition else []
    said = _ask("sinfo", "--noheader", "--Node", "--format=%N %o %G", *wanted)
    by_name = {}
    for line in said.splitlines():
        name, where, resources = line.split(maxsplit=2)
        by_name[name] = SlurmNode(name, where, n_gpus(resources))
    if not by_name:
        raise LaunchError(f"--option partition={partition or '(any)'}: has no nodes; `sinfo` lists the partitions")
    return list(by_name.values())


def n_gpus(resources: str) -> int:
    """GPUs in Slurm's list of generic resources, such as "gpu:a100:4(S:0-1),shard:8"."""
    counts = re.findall(r"(?:^|,)gpu(?::[^:,()]+)?:(\d+)", resources)
    return sum(int(count) for count in counts)


def require_gpus(partition_nodes: Sequence[SlurmNode], gpus_per_worker: float) -> None:
    """See that an element with a GPU can start at all; that it may have to wait is Slurm's business.

    Raises:
        LaunchError: no node has one.
    """
    if gpus_per_worker and not any(node.n_gpus for node in partition_nodes):
        listed = ", ".join(node.name for node in partition_nodes[:5])
        raise LaunchError(
            f"--gpus-per-worker {gpus_per_worker:g}: no node of the partition has a GPU ({listed}); choose another "
            "with --option partition=…, or use 0"
        )


def states(array_id: str) -> dict[str, ElementState]:
    """How the elements of an array stand, by "array_element"; those that ended long ago are missing.

    Raises:
        LaunchError: Slurm does not answer.
    """
    said = _ask(
        "squeue", "--noheader", "--array", "--states=all", f"--jobs={array_id}",
        "--Format=ArrayJobID:|,ArrayTaskID:|,State:|,NodeList:|,RestartCnt:|",
        missing="Invalid job id",
    )  # fmt: skip
    elements = {}
    for line in said.splitlines():
        array, element, state, node, n_requeues, *_ = (part.strip() for part in line.split("|"))
        name = array if element in ("", "N/A") else f"{array}_{element}"
        elements[name] = ElementState(state, node, int(n_requeues or 0))
    return elements


def cancel(array_id: str, *options: str) -> None:
    """Send a signal to the elements of an array, or end them."""
    _ask("scancel", *options, array_id, missing="")


def _ask(command: str, *arguments: str, missing: str | None = None) -> str:
    """What a command of Slurm prints; nothing where it fails and says ``missing``."""
    if shutil.which(command) is None:
        raise LaunchError(f"--launcher slurm: {command} is not on PATH; start from a machine that submits to Slurm")
    try:
        done = subprocess.run([command, *arguments], capture_output=True, text=True, timeout=_ANSWER_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise LaunchError(f"--launcher slurm: {command} gave no answer within {_ANSWER_S:g} s") from error
    if done.returncode == 0 or (missing is not None and missing in done.stderr):
        return done.stdout if done.returncode == 0 else ""
    said = (done.stderr.strip().splitlines() or ["no reason given"])[0]
    raise LaunchError(f"--launcher slurm: {said}; does the controller run? `scontrol ping`")
