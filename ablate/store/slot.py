"""Slots: planned trials, each to be filled exactly once.

WAITING ──claim──▶ LEASED ──finish──▶ DONE
   ▲                 │ │
   └─release, expiry,┘ └─fail for good─▶ FAILED ──retry──▶ WAITING
     fail with attempts left            CANCELLED ──retry──▶ WAITING
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class SlotState(StrEnum):
    """Where a slot stands."""

    WAITING = "waiting"
    LEASED = "leased"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, kw_only=True)
class PlannedSlot:
    """A slot as the plan makes it.

    Attributes:
        key: name within the study, such as "confirm/lp_sd/data_fraction=0.1/3".
        phase: "search" or "confirm".
        search: which of the arm's independent searches it belongs to, or whose params it confirms; from 0.
        index: place in its chain, or number of its replicate.
        chain: slots whose params are proposed from one another's results.
        generation: a slot waits until every slot of its chain with a lower generation is finished.
        priority: lower goes first.
        ordinal: place in the plan, the same whenever the slot is added; None takes the place among its company.
    """

    key: str
    phase: str
    arm: str
    context: dict[str, Any]
    index: int
    seed: int
    chain: str = ""
    generation: int = 0
    priority: int = 0
    params: dict[str, Any] | None = None
    search: int = 0
    ordinal: int | None = None


@dataclass(frozen=True, kw_only=True)
class Slot:
    """A slot as the store holds it.

    Attributes:
        attempts: how often it was begun.
        failures: how many of these ended by the trial's own fault.
        reason: why it failed, why its last attempt did, or why it was stopped early.
        rungs: what it must reach to be trained to its end, fixed together with ``params``; None where nothing.
        stopped_epoch: of fine-tuning, after which it was stopped early; None where it ran to its end.
        reused_from: study and slot whose result it took; None where it was trained.
    """

    id: int
    key: str
    phase: str
    arm: str
    context: dict[str, Any]
    index: int
    generation: int
    chain: str
    seed: int
    params: dict[str, Any] | None
    state: SlotState
    attempts: int
    failures: int
    reason: str | None
    rungs: dict[str, Any] | None = None
    stopped_epoch: int | None = None
    reused_from: dict[str, str] | None = None
    search: int = 0

    @property
    def has_diverged(self) -> bool:
        """Whether its training diverged, which another attempt would only repeat: it is finished, without a score."""
        return self.state is SlotState.FAILED and (self.reason or "").startswith("diverged:")


@dataclass(frozen=True, kw_only=True)
class Past:
    """A finished search trial, as later generations of its chain see it.

    Attributes:
        index: place in its chain.
        epochs: a list for each column: stage, epoch, val_auroc, ...
        stopped_epoch: of fine-tuning, after which it was stopped early; None where it ran to its end.
    """

    params: Mapping[str, Any]
    scores: Mapping[str, float]
    index: int = 0
    epochs: Mapping[str, Sequence[Any]] = field(default_factory=dict, repr=False)
    stopped_epoch: int | None = None

    @property
    def is_whole(self) -> bool:
        """Whether it ran to its end; one that was stopped early may not be chosen."""
        return self.stopped_epoch is None

    def curve(self, score: str) -> dict[int, float]:
        """``score`` by epoch of fine-tuning; NaN where it was not finite."""
        columns = (self.epochs.get(name, ()) for name in ("stage", "epoch", score))
        return {
            int(epoch): math.nan if value is None else float(value)
            for stage, epoch, value in zip(*columns, strict=True)
            if stage == "finetune"
        }


@dataclass(frozen=True, kw_only=True)
class Twin:
    """A slot of another study that was asked for the same and is finished.

    Attributes:
        fingerprint: digest of all that decided its scores; an equal trial would only repeat them.
        code: for people, with the digest of the sources.
    """

    slot_id: int
    study: str
    key: str
    asked: str
    fingerprint: str
    code: str
    past: Past = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class AgentCard:
    """Who claims slots: one process on one machine.

    Attributes:
        id: unique for ever, such as "host-4711-5f3a".
        facts: versions, digests, measured rates; shown by ``ablate status``.
    """

    id: str
    host: str
    pid: int
    device: str = "cpu"
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Claim:
    """The right to fill a slot, until the lease runs out and somebody else gets it.

    Attributes:
        study_id: the study's, unique for ever; its name may stand for another study in another store.
        token: fencing token: a later claim of the same slot has a greater one.
        nonce: the attempt's, unique for ever.
        outcomes: how earlier attempts at the slot ended, oldest first ("out_of_memory", "preempted", ...).
    """

    study: str
    study_id: str
    slot: Slot
    token: int
    nonce: str
    agent: AgentCard
    lease_s: float
    outcomes: tuple[str, ...] = ()


COUNTED = frozenset({"diverged", "out_of_memory", "crashed", "bad_data", "hung"})
"""Outcomes that count against ``max_attempts``; others (killed, preempted, expired lease) do not."""

FINAL = frozenset({"diverged", "bad_data"})
"""Outcomes that another attempt would only repeat."""
