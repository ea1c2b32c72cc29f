"""What an agent has to tell the store: on disk before it is told, and told until the store has heard it."""

import dataclasses
import logging
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ablate.errors import DataError, LeaseLost
from ablate.store.artifact import TEST_FOLD
from ablate.store.slot import Agent, Claim, Slot, SlotState
from ablate.store.store import Store
from ablate.worker.spool import Entry, Spool

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Finish:
    """The slot is filled."""

    claim: Claim
    result: Mapping[str, Any]
    artifacts: Mapping[str, bytes] = field(repr=False)
    path: Path | None = None  # where the spool has it


@dataclass(frozen=True)
class Fail:
    """The attempt ended badly; ``kind`` decides whether it counts, see ``store.slot``."""

    claim: Claim
    kind: str
    message: str


@dataclass(frozen=True)
class Release:
    """The attempt ended through nobody's fault."""

    claim: Claim
    reason: str


@dataclass(frozen=True)
class Reuse:
    """The slot is filled with the result of another; should it be lost on the way, it is found again."""

    claim: Claim
    twin_id: int


Telling = Finish | Reuse | Fail | Release


class Outbox:
    """First in, first out. ``put`` is for the agent's thread, the rest for the store thread's."""

    def __init__(self, store: Store, spool: Spool) -> None:
        self._store = store
        self._spool = spool
        self._waiting: deque[Telling] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, telling: Telling) -> None:
        """Take charge of ``telling``; a result is on disk when this returns, unless the disk is full."""
        if isinstance(telling, Finish):
            try:
                path = self._spool.put(Entry(claim_document(telling.claim), telling.result, telling.artifacts))
                telling = dataclasses.replace(telling, path=path)
            except DataError as error:
                _log.warning("%s: result of %s is kept in memory only", error, telling.claim.slot.key)
        self._waiting.append(telling)

    def tell(self, told: Callable[[Telling], None]) -> None:
        """Tell everything that waits; ``told`` is called after each, also when the store no longer wants it.

        Raises:
            StoreUnavailable: the store is away; what was not told waits on.
        """
        while self._waiting:
            telling = self._waiting[0]
            self._tell(telling)
            self._waiting.popleft()
            told(telling)

    def adopt(self) -> int:
        """Tell the results that dead agents left on this machine; how many the store took.

        Raises:
            StoreUnavailable: the store is away; they stay where they are.
        """
        n_taken = 0
        for path, entry in self._spool.orphans():
            claim = claim_from(entry.claim)
            n_taken += self._tell(Finish(claim, entry.result, entry.artifacts, path))
        return n_taken

    def _tell(self, telling: Telling) -> bool:
        try:
            match telling:
                case Finish():
                    self._finish(telling)
                case Reuse(claim, twin_id):
                    self._store.reuse(claim, twin_id)
                case Fail(claim, kind, message):
                    self._store.fail(claim, kind, message)
                case Release(claim, reason):
                    self._store.release(claim, reason)
            taken = True
        except LeaseLost as error:
            _log.info("%s", error)
            taken = False
        if isinstance(telling, Finish) and telling.path is not None:
            telling.path.unlink(missing_ok=True)
        return taken

    def _finish(self, telling: Finish) -> None:
        artifacts = dict(telling.artifacts)
        test_fold = artifacts.pop(TEST_FOLD, None)
        if test_fold is not None:
            self._store.put_study_artifact(telling.claim.study, TEST_FOLD, test_fold)
        self._store.finish(telling.claim, dict(telling.result), artifacts)


def claim_document(claim: Claim) -> dict[str, Any]:
    """``claim`` as plain values, from which ``claim_from`` makes it again."""
    return dataclasses.asdict(claim) | {"slot_id": claim.slot.id}


def claim_from(document: Mapping[str, Any]) -> Claim:
    """The claim of a spooled result."""
    values = {name: value for name, value in document.items() if name != "slot_id"}
    slot = Slot(**{**values["slot"], "state": SlotState(values["slot"]["state"])})
    outcomes = tuple(values["outcomes"])
    return Claim(**{**values, "slot": slot, "agent": Agent(**values["agent"]), "outcomes": outcomes})
