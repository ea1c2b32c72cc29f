"""The seal on the test fold: a process of the search cannot open what holds its labels, whatever code it executes.

An audit hook sees every file that this interpreter opens. It guards against mistakes, not against malice: another
program can read the files, and that is what the ledger of permits in the store is for.
"""

import contextlib
import os
import sys
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablate.errors import SealedError

SEALED_FILES = frozenset({"sealed.npy", "ptbxl_database.csv"})

_permit: ContextVar["Permit | None"] = ContextVar("permit", default=None)
_installed = False


@dataclass(frozen=True)
class Permit:
    """Leave to read the test fold for one slot of one study; the store writes its ledger row before it issues one."""

    study: str
    slot: str


def forbid_sealed_reads() -> None:
    """Let every later attempt of this process to open the test fold's labels fail, except inside ``permitted``.

    The hook cannot be taken out again; a second call changes nothing.
    """
    global _installed  # noqa: PLW0603  (a property of the process, as the hook itself)
    if not _installed:
        _installed = True
        sys.addaudithook(_refuse_sealed)


@contextlib.contextmanager
def permitted(permit: Permit) -> Iterator[None]:
    """Within the block, this thread of control may open the test fold's labels."""
    token = _permit.set(permit)
    try:
        yield
    finally:
        _permit.reset(token)


def refuse_where_forbidden(path: Path) -> None:
    """Of files that may have any name: see that this process may read labels of the test fold in ``path``.

    Raises:
        SealedError: reads are forbidden here, and no permit is held.
    """
    if _installed and _permit.get() is None:
        raise SealedError(f"{path}: has the test fold's labels; only a confirmation with a permit may open it")


def _refuse_sealed(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "open" or _permit.get() is not None:
        return
    path = arguments[0]
    if isinstance(path, str | bytes | os.PathLike) and _is_sealed(os.fsdecode(path)):
        raise SealedError(
            f"{os.fsdecode(path)}: has the test fold's labels; only a confirmation with a permit may open it"
        )


def _is_sealed(path: str) -> bool:
    return Path(path).name in SEALED_FILES or (Path(path).is_symlink() and Path(path).resolve().name in SEALED_FILES)
