"""What an agent has to tell the store: on disk before it is told, and told until the store has heard it."""

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ablate.errors import DataError, ForeignStore, LeaseLost, StoreError, StoreUnavailable
from ablate.outcome import Progress
from ablate.store.artifact import TEST_FOLD
from ablate.store.slot import Claim
from ablate.store.store import Store
from ablate.worker.spool import Spool, SpooledResult

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fail:
    """The attempt ended badly, as far as ``progress``; ``kind`` decides whether it counts, see ``store.slot``."""

    claim: Claim
    kind: str
    message: str
    progress: Progress | None = None


@dataclass(frozen=True)
class Release:
    """The attempt ended for a reason outside the trial and does not count against ``max_attempts``."""

    claim: Claim
    reason: str


@dataclass(frozen=True)
class Reuse:
    """The slot is filled with the result of another; should it be lost on the way, it is found again."""

    claim: Claim
    twin_id: int


Telling = SpooledResult | Reuse | Fail | Release


class Outbox:
    """First in, first out. ``put`` is for the agent's thread, the rest for the store thread's."""

    def __init__(self, store: Store, spool: Spool) -> None:
        self._store = store
        self._spool = spool
        self._waiting: deque[tuple[Telling, Path | None]] = deque()  # with the file in which the spool has it
        self._refused: set[Path] = set()  # of dead agents, which need no second try by us

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, telling: Telling) -> None:
        """Take charge of ``telling``; a result is on disk when this returns, unless the disk is full."""
        path = None
        if isinstance(telling, SpooledResult):
            try:
                path = self._spool.put(telling)
            except DataError as error:
                _log.warning("%s: result of %s is kept in memory only", error, telling.claim.slot.key)
        self._waiting.append((telling, path))

    def tell(self, done: Callable[[Telling], None]) -> None:
        """Tell everything that waits; ``done`` is called after each, also when the store no longer wants it.

        Raises:
            StoreUnavailable: the store is away; what was not told waits on.
        """
        while self._waiting:
            telling, path = self._waiting[0]
            self._tell(telling, path)
            self._waiting.popleft()
            done(telling)

    def adopt(self) -> int:
        """Tell the results that dead agents left on this machine; how many the store took.

        One that the store refuses stays where it is, with one warning: it must not end agents that had no part in it.

        Raises:
            StoreUnavailable: the store is away; they stay where they are.
            ForeignStore: it is another store; likewise.
        """
        return sum(self._adopt(path, result) for path, result in self._spool.orphans() if path not in self._refused)

    def _adopt(self, path: Path, result: SpooledResult) -> bool:
        try:
            return self._tell(result, path)
        except (StoreUnavailable, ForeignStore):
            raise
        except StoreError as error:
            self._refused.add(path)
            _log.warning("%s: a dead agent's result is refused and left there: %s", path, error)
            return False

    def _tell(self, telling: Telling, path: Path | None) -> bool:
        try:
            match telling:
                case SpooledResult(claim, outcome, test_fold):
                    if test_fold is not None:
                        self._store.put_study_artifact(claim.study, TEST_FOLD, test_fold)
                    self._store.finish(claim, outcome)
                case Reuse(claim, twin_id):
                    self._store.reuse(claim, twin_id)
                case Fail(claim, kind, message, progress):
                    self._store.fail(claim, kind, message, progress)
                case Release(claim, reason):
                    self._store.release(claim, reason)
            taken = True
        except LeaseLost as error:
            _log.info("%s", error)
            taken = False
        if path is not None:
            path.unlink(missing_ok=True)
        return taken
