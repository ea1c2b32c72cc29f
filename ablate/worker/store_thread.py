"""A thread of the agent that does everything with the store, so that the trainer never waits for a database.

It claims slots ahead, settles their params, renews leases, tells results, and mends what dead agents left. While the
store is away it tries again and again; training goes on meanwhile.
"""

import contextlib
import logging
import math
import queue
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from ablate.errors import LeaseLost, StoreError, StoreUnavailable
from ablate.outcome import Progress
from ablate.store.slot import AgentCard, Claim
from ablate.store.store import Store
from ablate.study.confirmation import Step, advance
from ablate.study.spec import Spec
from ablate.worker.agent_options import AgentOptions
from ablate.worker.assignment import Assignment, assign
from ablate.worker.checkpoint_folder import UNFINISHED, CheckpointFolder
from ablate.worker.outbox import Fail, Outbox, Release, Reuse, Telling
from ablate.worker.spool import Spool, SpooledResult

_log = logging.getLogger(__name__)

_SHORTEST_PAUSE_S = 0.05  # between two looks for a slot
_LONGEST_PAUSE_S = 1.0
_OUTAGE_PAUSE_S = 5.0  # at most this between two tries while the store is away
_KEPT_S = 1.0  # a connection that is not used for so long is closed: a thousand agents must not hold a thousand
_TIDY_S = 120.0
_MEND_S = 15.0  # at least so often; after every trial in any case


@dataclass
class _Held:
    """A lease and what to say when it is renewed."""

    claim: Claim
    renew_at: float
    progress: Progress | None = None
    is_lost: bool = False


class StoreThread:
    """Start it, ask for assignments with ``want``, take them with ``take``, and ``tell`` it how they ended."""

    def __init__(
        self,
        options: AgentOptions,
        *,
        store: Store,
        spec: Spec,
        agent: AgentCard,
        spool: Spool,
        checkpoint_folder: CheckpointFolder,
        wake: Callable[[], None],
    ) -> None:
        """Nothing is done before ``start``; ``wake`` is called from the thread when the agent should look."""
        self._options, self._store, self._spec, self._agent, self._checkpoint_folder, self._wake = (
            options,
            store,
            spec,
            agent,
            checkpoint_folder,
            wake,
        )
        self._spool = spool
        self._outbox = Outbox(store, spool)
        self._taken: queue.SimpleQueue[Assignment] = queue.SimpleQueue()
        self._held: dict[int, _Held] = {}  # by slot
        self._called, self._closing = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, name="store thread", daemon=True)
        self._is_wanted = False
        self._claim_at = self._mend_at = self._tidy_at = 0.0
        self._wanted_at = 0.0
        self.is_over = False
        self.stop_requested = False
        self.error: BaseException | None = None

    def start(self) -> None:
        """Begin with mending what others left."""
        self._thread.start()

    def want(self) -> None:
        """Claim one slot, now or as soon as there is one; nothing is done while one waits to be taken."""
        if not self._is_wanted and self._taken.empty():
            self._is_wanted, self._claim_at, self._wanted_at = True, 0.0, time.monotonic()
            self._called.set()

    def take(self) -> Assignment | None:
        """The slot that was wanted, if it is there."""
        try:
            return self._taken.get_nowait()
        except queue.Empty:
            return None

    def note(self, claim: Claim, progress: Progress) -> None:
        """What the next renewal says of the slot."""
        held = self._held.get(claim.slot.id)
        if held is not None:
            held.progress = progress

    def has_lost(self, claim: Claim) -> bool:
        """Whether the slot belongs to somebody else by now, or to nobody."""
        held = self._held.get(claim.slot.id)
        return held is None or held.is_lost or held.claim.token != claim.token

    def tell(self, telling: Telling) -> None:
        """Tell the store how a slot ended; a result is safe on disk when this returns."""
        if isinstance(telling, Fail) and (held := self._held.get(telling.claim.slot.id)) is not None:
            telling = replace(telling, progress=held.progress)
        self._outbox.put(telling)
        self._mend_at = 0.0
        self._called.set()

    def close(self, *, timeout_s: float) -> None:
        """Tell what waits, give back what was not begun, and end; what is not told by then is in the spool."""
        self._closing.set()
        self._called.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        if not self._thread.is_alive():
            self._spool.close()

    def _work(self) -> None:
        n_failures = 0
        try:
            while not (self._closing.is_set() and self._is_idle()):
                self._called.clear()  # before the round: whoever calls during it ends the rest after it
                try:
                    pause_s = self._round()
                    n_failures = 0
                except StoreUnavailable as error:
                    n_failures += 1
                    _log.warning("%s", error)
                    pause_s = min(_OUTAGE_PAUSE_S, 0.1 * 2**n_failures) * random.uniform(0.5, 1)  # noqa: S311
                if n_failures or not self._closing.is_set():
                    self._rest(pause_s)
            with contextlib.suppress(StoreUnavailable):
                self._store.retire(self._agent)
        except BaseException as error:
            self.error = error
            self._wake()

    def _rest(self, pause_s: float) -> None:
        """Wait until called or until something is due; while an agent trains, it holds no connection."""
        if pause_s > _KEPT_S and not self._called.wait(_KEPT_S):
            self._store.disconnect()
            pause_s -= _KEPT_S
        self._called.wait(pause_s)

    def _is_idle(self) -> bool:
        return not self._outbox and self._taken.empty()

    def _round(self) -> float:
        """Everything that is due, most urgent first; seconds until something else is."""
        if self._closing.is_set():
            self._give_back()
        self._outbox.tell(self._told)
        self._renew()
        # Results that wait go first, for they may open the next generation. One whose agent asked for a slot before it
        # told the result (so that its trainer need not wait for the disk) is told in the next round.
        if self._is_wanted and not self._outbox and not self._closing.is_set() and time.monotonic() >= self._claim_at:
            self._claim()
        if time.monotonic() >= self._mend_at or self.is_over:
            self._mend()
        due = [self._mend_at, *(held.renew_at for held in self._held.values())]
        if self._is_wanted:
            due.append(self._claim_at)
        return max(0.0, min(due) - time.monotonic())

    def _told(self, telling: Telling) -> None:
        held = self._held.get(telling.claim.slot.id)
        if held is not None and held.claim.token == telling.claim.token:
            del self._held[telling.claim.slot.id]
        if isinstance(telling, SpooledResult | Reuse):
            self._checkpoint_folder.discard(telling.claim.slot)

    def _renew(self) -> None:
        for held in list(self._held.values()):
            if held.is_lost or time.monotonic() < held.renew_at:
                continue
            try:
                self.stop_requested |= self._store.renew(held.claim, held.progress)
                held.renew_at = time.monotonic() + self._options.renewal_s
            except LeaseLost as error:
                _log.warning("%s", error)
                held.is_lost, held.renew_at = True, math.inf
            if held.is_lost or self.stop_requested:
                self._wake()

    def _claim(self) -> None:
        claim = self._store.claim(
            self._spec.name, self._agent, lease_s=self._options.lease_s, phases=self._options.phases
        )
        if claim is None:
            self._wait_or_end()
            return
        self._held[claim.slot.id] = _Held(claim, time.monotonic() + self._options.renewal_s)
        try:
            assignment = assign(self._store, self._spec, claim, reuse=self._options.reuse)
        except LeaseLost:
            del self._held[claim.slot.id]
            return
        except StoreUnavailable:
            self._outbox.put(Release(claim, "the store went away while it was claimed"))
            raise
        except StoreError as error:
            self._outbox.put(Fail(claim, "bad_data", str(error)))
            return
        self._taken.put(assignment)  # first: between the two, ``want`` must not ask for another
        self._is_wanted = False
        self._wake()

    def _wait_or_end(self) -> None:
        """Nothing can be claimed: the search may be over, all may be done, or others work on what is left."""
        if self._store.study(self._spec.name).stop_requested:
            self.stop_requested = True
        else:
            step = advance(self._store, self._spec, self._options.phases)
            if step in (Step.GREW, Step.SEALED):
                return  # there are slots to claim now
            if not self._held and not self._outbox and (step is Step.BLOCKED or not self._n_unfinished()):
                self.is_over = True
        waited_s = time.monotonic() - self._wanted_at
        self._claim_at = time.monotonic() + min(max(waited_s / 4, _SHORTEST_PAUSE_S), _LONGEST_PAUSE_S)
        if self.stop_requested or self.is_over:
            self._wake()

    def _n_unfinished(self) -> int:
        counts = self._store.counts(self._spec.name)
        return sum(counts.unfinished(phase=phase) for phase in self._options.phases)

    def _mend(self) -> None:
        self._mend_at = time.monotonic() + min(_MEND_S, self._options.lease_s / 2)
        self._outbox.adopt()
        self._store.reconcile(self._spec.name)
        if time.monotonic() >= self._tidy_at or self.is_over:
            self._tidy()

    def _tidy(self) -> None:
        """Remove checkpoints of slots that somebody else has finished."""
        self._tidy_at = time.monotonic() + _TIDY_S
        if not self._checkpoint_folder.is_empty:
            slots = self._store.slots(self._spec.name)
            self._checkpoint_folder.tidy({slot.id for slot in slots if slot.state in UNFINISHED})

    def _give_back(self) -> None:
        while (assignment := self.take()) is not None:
            self._outbox.put(Release(assignment.claim, "the agent was asked to stop"))
