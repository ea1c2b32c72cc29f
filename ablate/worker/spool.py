"""Results on disk until the store has them: neither an outage nor a crash loses one.

Each agent writes into a folder of its own and holds a lock on it while it lives; a folder whose lock is free belonged
to an agent that died, and the next agent of the same study and store on this machine tells its results. An entry is
one file, written atomically and synced: a SHA-256 of the rest, then a zip of ``result.json`` and the artifacts.
Entries of other studies or stores lie in other folders and are left alone.
"""

import contextlib
import hashlib
import io
import json
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from filelock import FileLock, Timeout

from ablate import atomic
from ablate.errors import DataError

_RESULT = "result.json"
_LOCK = "lock"
_VERSION = 1
_HASH_BYTES = 32
_SUFFIX = ".result"


@dataclass(frozen=True)
class Entry:
    """A result and whose it is: ``claim`` holds the slot, the attempt and the fencing token as plain values."""

    claim: Mapping[str, Any]
    result: Mapping[str, Any]
    artifacts: Mapping[str, bytes] = field(repr=False)


class Spool:
    """The results that one agent has not told yet. Orphans are told as a by-product of the next agent's life."""

    def __init__(self, folder: Path, *, agent: str) -> None:
        """A folder for ``agent`` within ``folder``, which belongs to one study in one store; made when first needed."""
        self._parent = folder
        self._own = folder / agent
        self._lock = FileLock(self._own / _LOCK, timeout=0, thread_local=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def put(self, entry: Entry) -> Path:
        """Write ``entry`` so that it survives a crash of the process or the machine.

        Raises:
            DataError: no space left, or the folder cannot be written.
        """
        self._own_it()
        path = self._own / f"{entry.claim['slot_id']}-{entry.claim['token']}{_SUFFIX}"
        atomic.write_bytes(path, _encode(entry))
        return path

    def orphans(self) -> Iterator[tuple[Path, Entry]]:
        """Entries of agents that died; each yielded entry is ours until the iterator goes on."""
        for folder in sorted(self._parent.glob("*/")):
            if folder == self._own:
                continue
            # suppressed: its agent lives, or somebody else has emptied it
            with contextlib.suppress(Timeout, OSError), FileLock(folder / _LOCK, timeout=0):
                yield from _entries(folder)
                _remove_scratch(folder)
                _remove_if_empty(folder)

    def close(self) -> None:
        """Let go of the folder, and remove it when everything was told."""
        if self._lock.is_locked:
            _remove_if_empty(self._own)
            self._lock.release()

    def _own_it(self) -> None:
        try:
            self._own.mkdir(parents=True, exist_ok=True)
            if not self._lock.is_locked:
                self._lock.acquire()
        except OSError as error:
            raise DataError(
                f"{self._own}: cannot be made ({error.strerror}); free some space or set ABLATE_HOME"
            ) from error


def _entries(folder: Path) -> Iterator[tuple[Path, Entry]]:
    for path in sorted(folder.glob(f"*{_SUFFIX}")):
        entry = _decode(path.read_bytes())
        if entry is None:
            path.unlink(missing_ok=True)  # not ours, or of another version: the slot is attempted again
        else:
            yield path, entry


def _encode(entry: Entry) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        head = {"version": _VERSION, "claim": dict(entry.claim), "result": dict(entry.result)}
        archive.writestr(_RESULT, json.dumps(head))
        for name, content in entry.artifacts.items():
            archive.writestr(name, content)
    return hashlib.sha256(buffer.getvalue()).digest() + buffer.getvalue()


def _decode(content: bytes) -> Entry | None:
    """The entry, or None where the file is damaged or of another version."""
    whole, rest = content[:_HASH_BYTES], content[_HASH_BYTES:]
    if hashlib.sha256(rest).digest() != whole:
        return None
    with zipfile.ZipFile(io.BytesIO(rest)) as archive:
        head = json.loads(archive.read(_RESULT))
        if head["version"] != _VERSION:
            return None
        artifacts = {name: archive.read(name) for name in archive.namelist() if name != _RESULT}
    return Entry(head["claim"], head["result"], artifacts)


def _remove_scratch(folder: Path) -> None:
    """Remove what an agent was writing when it died."""
    for path in folder.glob(f".*{_SUFFIX}.*"):
        path.unlink(missing_ok=True)


def _remove_if_empty(folder: Path) -> None:
    """Remove a folder that holds its lock only; the lock is held by us, so nobody else puts anything in."""
    if all(path.name == _LOCK for path in folder.iterdir()):
        shutil.rmtree(folder, ignore_errors=True)
