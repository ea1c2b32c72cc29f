"""Devices of this machine, found without touching CUDA: a process that has cannot fork trainers any more."""

import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from ablate.errors import LaunchError

VISIBLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True)
class Gpu:
    """A GPU, or a MIG slice of one.

    Attributes:
        name: its maker's, with the slice's profile.
        address: what ``CUDA_VISIBLE_DEVICES`` calls it for certain.
        index: among whole GPUs, as ``CUDA_VISIBLE_DEVICES`` may call it too; None of a slice.
    """

    name: str
    address: str
    index: str | None = None


def visible_devices() -> list[str]:
    """ "cuda:0", "cuda:1", … as far as ``CUDA_VISIBLE_DEVICES`` allows, or nothing."""
    return [f"cuda:{index}" for index in range(len(_addresses()))]


def visible_device(device: str) -> tuple[str, dict[str, str]]:
    """What torch calls ``device`` in a process that sees only this one, and the environment that makes it so."""
    kind, _, index = device.partition(":")
    if not index:
        return device, {}
    addresses = _addresses()
    return kind, {VISIBLE: addresses[int(index)] if int(index) < len(addresses) else index}


def gpu_name(device: str = "cuda:0") -> str:
    """What its maker calls a device of ``visible_devices``; "GPU" where no driver tells its name."""
    addresses, index = _addresses(), int(device.partition(":")[2] or 0)
    address = addresses[index] if index < len(addresses) else ""
    names = [gpu.name for gpu in _gpus() if address and (gpu.address.startswith(address) or gpu.index == address)]
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


def _addresses() -> list[str]:
    """Of the devices that CUDA would number from 0; as it does, what follows an invalid entry is left out."""
    allowed = os.environ.get(VISIBLE)
    if allowed is None:
        return [gpu.address for gpu in _gpus()]
    addresses = []
    for name in map(str.strip, allowed.split(",")):
        if not re.fullmatch(r"\d+|(GPU|MIG)-\S+", name):
            break
        addresses.append(name)
    return addresses


def _gpus() -> list[Gpu]:
    """All of this machine, as its driver's tool lists them; a GPU that is cut into slices counts as these."""
    try:
        done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return []
    gpus: list[Gpu] = []
    whole: Gpu | None = None
    for line in done.stdout.splitlines():
        if named := re.fullmatch(r"GPU (\d+): (.*?)(?: \(UUID: (\S+)\))?", line.strip()):
            whole = Gpu(named[2], named[3] or named[1], named[1])
            gpus.append(whole)
        elif whole is not None and (named := re.fullmatch(r"MIG (\S+)\s+Device\s+\d+: \(UUID: (\S+)\)", line.strip())):
            if gpus[-1] is whole:
                gpus.pop()
            gpus.append(Gpu(f"{whole.name} MIG {named[1]}", named[2]))
    return gpus


def _listed(devices: Sequence[str]) -> str:
    return ", ".join(devices) or "no CUDA device"
