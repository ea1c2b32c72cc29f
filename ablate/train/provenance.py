"""Provenance: digests of the code and the environment that a result came from."""

import functools
import importlib.metadata
import platform
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ablate import digest

if TYPE_CHECKING:
    import torch

_PACKAGE = Path(__file__).parents[1]
_DECISIVE = ("train", "model", "ecg", "stats", "seeds.py")  # what can change the bits of a score


def _of_sources() -> str:
    roots = [_PACKAGE / name for name in _DECISIVE]
    files = [file for root in roots for file in ([root] if root.is_file() else sorted(root.rglob("*.py")))]
    return digest.of_json({str(file.relative_to(_PACKAGE)): digest.of_file(file) for file in files})


# Of the sources that decide scores, taken when they are imported: a checkpoint of other code is not used.
CODE_DIGEST = _of_sources()


@functools.cache
def code_version() -> str:
    """For people: git commit with ``+dirty`` where files differ from it, and the short digest of the sources."""
    commit = _git("rev-parse", "--short=12", "HEAD")
    dirty = "+dirty" if commit and _git("status", "--porcelain", "--untracked-files=no", "--", ".") else ""
    return f"{commit or 'no-git'}{dirty} sources {CODE_DIGEST[: digest.SHORT]}"


def hardware(device: "torch.device") -> str:
    """What computes: results of equal hardware and torch have equal bits."""
    import torch  # noqa: PLC0415 - a command that only asks for the code's digest need not wait for it

    if device.type == "cuda":
        return f"torch {torch.__version__}, {torch.cuda.get_device_name(device)}"
    return f"torch {torch.__version__}, {platform.machine()} {torch.backends.cpu.get_cpu_capability()}"


@functools.cache
def environment() -> str:
    """For people: Python, torch, numpy, the processor's instruction set and its digest."""
    import torch  # noqa: PLC0415 - as above

    versions = (
        f"python {platform.python_version()}, torch {torch.__version__}, numpy {np.__version__}, "
        f"{platform.system()} {platform.machine()} {torch.backends.cpu.get_cpu_capability()}"
    )
    return f"{versions} ({digest.of_json(versions)[: digest.SHORT]})"


@functools.cache
def packages() -> str:
    """Digest of the name and version of every package that is installed here."""
    names = sorted({f"{one.name} {one.version}" for one in importlib.metadata.distributions()})
    return digest.of_json(names)


def _git(*words: str) -> str:
    """What git answers within the package's own repository, or nothing."""
    if not (_PACKAGE.parent / ".git").exists():
        return ""
    try:
        answer = subprocess.run(["git", *words], cwd=_PACKAGE, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return ""
    return answer.stdout.strip()
