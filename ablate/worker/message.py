"""What an agent and its trainer say to each other. Plain frozen values, sent over a pipe between two processes of ours.

Every message after a request carries its ``ticket``, a number that the agent never uses twice, so that a late
``Halt`` or a late result cannot be taken for that of another trial.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ablate.ecg.seal import Permit
from ablate.model.catalogue import EncoderSpec
from ablate.outcome import Outcome, Progress
from ablate.own_code import PinnedCode
from ablate.train.early_stopping import Rungs


@dataclass(frozen=True, kw_only=True)
class TrialRequest:
    """Agent to trainer: fill this slot.

    Attributes:
        cohort: folder of the prepared arrays.
        encoder: that is post-trained; None with a routine of the user's own.
        routine: of the user's own; None for post-training.
        window_s: seconds that the encoder takes at once; None is the whole record.
        permit: to open the test fold; None in the search.
        rungs: where the trial ends early; None trains it to the end.
        known: fingerprints of trials that need not be trained again.
        micro_batch: most records in memory at once; None is no limit.
        checkpoint: where the trial's state is kept between epochs; None where the disk is full.
        test_fold: send the test fold's labels along with the result.
        keep_weights: send the chosen epoch's weights along with it.
        log: where an own routine's words are kept.
    """

    ticket: int
    key: str
    seed: int
    params: Mapping[str, Any]
    cohort: Path
    task: str
    encoder: EncoderSpec | None
    routine: PinnedCode | None = None
    window_s: float | None = None
    permit: Permit | None = None
    rungs: Rungs | None = None
    known: frozenset[str] = frozenset()
    micro_batch: int | None = None
    checkpoint: Path | None = None
    test_fold: bool = False
    keep_weights: bool = False
    log: Path | None = None


@dataclass(frozen=True)
class Halt:
    """Agent to trainer: checkpoint the trial and let go of it; ignored when that trial is over."""

    ticket: int


@dataclass(frozen=True)
class Ready:
    """Trainer to agent: imports are done and nothing is going on.

    Attributes:
        code: digest of what decides scores.
        version: the same for people, with the commit.
        environment: Python, libraries and processor, for people.
        gpu: what its maker calls the device; empty where the processor computes.
        gpu_id: tells it from all others, also on other machines.
    """

    code: str
    version: str
    environment: str
    gpu: str = ""
    gpu_id: str = ""


@dataclass(frozen=True)
class Unusable:
    """Trainer to agent, instead of ``Ready``: no process can use the device; this one ends."""

    message: str


@dataclass(frozen=True)
class Progressed:
    """Trainer to agent: a sign of life; ``last`` says that the trial is in its last epoch."""

    ticket: int
    progress: Progress
    last: bool = False


@dataclass(frozen=True)
class Filled:
    """Trainer to agent: what came out of a slot.

    Attributes:
        test_fold: the test fold's labels, as the store keeps them; None where it was not asked for them.
    """

    ticket: int
    outcome: Outcome
    test_fold: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Recognised:
    """Trainer to agent: training would only repeat what has this fingerprint, one of the request's ``known``."""

    ticket: int
    fingerprint: str


@dataclass(frozen=True)
class Halted:
    """Trainer to agent: stopped as asked; what was finished stands in the checkpoint."""

    ticket: int


@dataclass(frozen=True)
class Failed:
    """Trainer to agent: the trial cannot be finished.

    Attributes:
        kind: name of the exception.
        at_fault: "trial" when the cause lies in its params or random draws, "machine" when no trial would work here,
            "device" when this process cannot use its GPU any more; it ends.
    """

    ticket: int
    kind: str
    message: str
    at_fault: str = "trial"


FromTrainer = Ready | Unusable | Progressed | Filled | Recognised | Halted | Failed
