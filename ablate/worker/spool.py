"""Results on disk until the store has them: neither an outage nor a crash loses one.

Each agent writes into a folder of its own and holds a lock on it while it lives; a folder whose lock is free belonged
to an agent that died, and the next agent of the same study and store on this machine tells its results. A result is
one file, written atomically and synced: a SHA-256 of the rest, then a zip of ``result.json`` and the arrays. Results of
other studies or stores lie in other folders and are left alone.
"""

import contextlib
import dataclasses
import hashlib
import io
import json
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
from filelock import FileLock, Timeout

from ablate import atomic
from ablate.errors import DataError
from ablate.outcome import Outcome
from ablate.store.artifact import TEST_FOLD, WEIGHTS
from ablate.store.slot import AgentCard, Claim, Slot, SlotState

_RESULT = "result.json"
_LOCK = "lock"
_VERSION = 2
_HASH_BYTES = 32
_SUFFIX = ".result"


@dataclass(frozen=True)
class SpooledResult:
    """What came out of a claimed slot.

    Attributes:
        test_fold: labels of the test fold, which belong to the whole study; None where the store has them.
    """

    claim: Claim
    outcome: Outcome
    test_fold: bytes | None = field(default=None, repr=False)


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

    def put(self, result: SpooledResult) -> Path:
        """Write ``result`` so that it survives a crash of the process or the machine.

        Raises:
            DataError: no space left, or the folder cannot be written.
        """
        self._own_it()
        path = self._own / f"{result.claim.slot.id}-{result.claim.token}{_SUFFIX}"
        atomic.write_bytes(path, _encode(result))
        return path

    def orphans(self) -> Iterator[tuple[Path, SpooledResult]]:
        """Results of agents that died, with their files; each is ours until the iterator goes on."""
        for folder in sorted(self._parent.glob("*/")):
            if folder == self._own:
                continue
            # suppressed: its agent lives, or somebody else has emptied it
            with contextlib.suppress(Timeout, OSError), FileLock(folder / _LOCK, timeout=0):
                yield from _results(folder)
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


def _results(folder: Path) -> Iterator[tuple[Path, SpooledResult]]:
    for path in sorted(folder.glob(f"*{_SUFFIX}")):
        result = _decode(path.read_bytes())
        if result is None:
            path.unlink(missing_ok=True)  # not ours, or of another version: the slot is attempted again
        else:
            yield path, result


def _encode(result: SpooledResult) -> bytes:
    buffer = io.BytesIO()
    head = {"version": _VERSION, "claim": dataclasses.asdict(result.claim), "outcome": result.outcome.document()}
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(_RESULT, json.dumps(head))
        for split, array in result.outcome.probabilities.items():
            with archive.open(f"{split}.npy", "w") as file:
                np.lib.format.write_array(file, array, allow_pickle=False)
        if result.outcome.weights is not None:
            archive.writestr(WEIGHTS, result.outcome.weights)
        if result.test_fold is not None:
            archive.writestr(TEST_FOLD, result.test_fold)
    return hashlib.sha256(buffer.getvalue()).digest() + buffer.getvalue()


def _decode(content: bytes) -> SpooledResult | None:
    """The result, or None where the file is damaged or of another version."""
    whole, rest = content[:_HASH_BYTES], content[_HASH_BYTES:]
    if hashlib.sha256(rest).digest() != whole:
        return None
    with zipfile.ZipFile(io.BytesIO(rest)) as archive:
        head, names = json.loads(archive.read(_RESULT)), archive.namelist()
        if head["version"] != _VERSION:
            return None
        probabilities = {}
        for name in names:
            if name.endswith(".npy"):
                with archive.open(name) as file:
                    probabilities[name.removesuffix(".npy")] = np.lib.format.read_array(file, allow_pickle=False)
        test_fold = archive.read(TEST_FOLD) if TEST_FOLD in names else None
        weights = archive.read(WEIGHTS) if WEIGHTS in names else None
    outcome = Outcome.from_document(head["outcome"], probabilities, weights)
    return SpooledResult(_claim(head["claim"]), outcome, test_fold)


def _claim(document: Mapping[str, Any]) -> Claim:
    slot = Slot(**{**document["slot"], "state": SlotState(document["slot"]["state"])})
    agent, outcomes = AgentCard(**document["agent"]), tuple(document["outcomes"])
    return Claim(**{**document, "slot": slot, "agent": agent, "outcomes": outcomes})


def _remove_scratch(folder: Path) -> None:
    """Remove what an agent was writing when it died."""
    for path in folder.glob(f".*{_SUFFIX}.*"):
        path.unlink(missing_ok=True)


def _remove_if_empty(folder: Path) -> None:
    """Remove a folder that holds its lock only; the lock is held by us, so nobody else puts anything in."""
    if all(path.name == _LOCK for path in folder.iterdir()):
        shutil.rmtree(folder, ignore_errors=True)
