"""Devices of this machine, found without touching CUDA: a process that has cannot fork trainers any more."""

import os
import subprocess
from collections.abc import Sequence

from ablate.errors import LaunchError


def visible_devices() -> list[str]:
    """ "cuda:0", "cuda:1", … as far as ``CUDA_VISIBLE_DEVICES`` allows, or nothing."""
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if allowed is not None:
        n_devices = len([name for name in allowed.split(",") if name and name != "-1"])
    else:
        n_devices = len(_listing())
    return [f"cuda:{index}" for index in range(n_devices)]


def gpu_name() -> str:
    """What its maker calls the first GPU of this machine; "GPU" where nobody says."""
    names = [line.partition(": ")[2].partition(" (UUID")[0] for line in _listing()]
    return names[0] if names else "GPU"


def deal(n_agents: int, *, device: str | None = None) -> list[str]:
    """A device for each agent: ``device`` for all where it is given, else the CUDA devices by turns, else the CPU.

    Raises:
        LaunchError: ``device`` is a CUDA device that is not there.
    """
    there = visible_devices()
    if device is None or (device == "cuda" and there):
        return [(there or ["cpu"])[index % max(1, len(there))] for index in range(n_agents)]
    if device != "cpu" and device not in there:
        raise LaunchError(f"--device {device}: this machine has {_listed(there)}; expected cpu or one of them")
    return [device] * n_agents


def _listing() -> list[str]:
    """A line for each GPU, as in "GPU 0: NVIDIA H100 (UUID: GPU-…)"."""
    try:
        done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line for line in done.stdout.splitlines() if line.startswith("GPU ")]


def _listed(devices: Sequence[str]) -> str:
    return ", ".join(devices) or "no CUDA device"
