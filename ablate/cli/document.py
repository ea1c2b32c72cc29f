"""What ``--json`` of ``status``, ``plan``, ``studies`` and ``diff`` prints; see ``ablate.report.document`` for reports.

``version`` of each model grows when a key changes its meaning or goes; new keys may come at any time.
``docs/report_json.md`` is written from these models.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from ablate.cli.variant import Changes, State, StudyLine
from ablate.report.document import Number, Part

Values = dict[str, Any]  # factors of a context by name
SlotName = Literal["waiting", "leased", "done", "failed", "cancelled"]


class ChangePart(Part):
    """A changed key"""

    before: Any = Field(description="null where it is not there")
    after: Any = Field(description="likewise")


class PhasePart(Part):
    """Slots of a phase by state"""

    phase: Literal["search", "confirm"]
    waiting: int
    leased: int = Field(description="at work now")
    done: int
    failed: int
    cancelled: int
    stopped_early: int = Field(description="of the done ones")
    reused: int = Field(description="of the done ones, from other studies")


class SearchPart(Part):
    """A search of an arm in a context"""

    arm: str
    context: Values
    search: int = Field(description="from 0; a study may search each arm several times")
    n_trials: int
    n_stopped: int
    n_diverged: int
    n_missing: int = Field(description="failed or cancelled")
    n_open: int
    remaining_gain: Number = Field(description="in the score that is selected by; null before enough trials tell")
    is_settled: bool
    edges: list[Values] = Field(description="optima at the ends of ranges")


class MachinePart(Part):
    """A machine"""

    machine: str
    agents: int = Field(description="at work now")
    devices: str
    done: int
    done_per_h: int


class AgentPart(Part):
    """An agent at work"""

    agent: str
    host: str
    device: str
    slot: str | None = Field(description="null while it waits for one")
    arm: str | None
    context: Values | None
    progress: Values | None = Field(description="stage, epoch, scores as last told")
    done: int
    silent_s: int = Field(description="since its last sign of life")
    lease_s: int | None = Field(description="until its lease runs out")


class FailurePart(Part):
    """A slot that failed"""

    slot: str
    phase: Literal["search", "confirm"]
    arm: str
    context: Values
    state: SlotName
    attempts: int
    reason: str | None


class StatusDocument(Part):
    """What `ablate status STUDY --json` prints."""

    document: Literal["status"] = "status"
    version: int = Field(default=2, description="grows when a key changes its meaning or goes")
    study: str
    changed: dict[str, ChangePart] = Field(description="keys that --set changed")
    sealed_at: datetime | None
    phases: list[PhasePart]
    searches: list[SearchPart]
    machines: list[MachinePart]
    agents: list[AgentPart]
    versions: list[str] = Field(description="of ablate on the agents")
    failures: list[FailurePart]


class PlannedArmPart(Part):
    """A planned arm"""

    arm: str
    title: str


class PlannedContrastPart(Part):
    """A planned contrast"""

    contrast: str
    weights: dict[str, float] = Field(description="by arm")


class CostPart(Part):
    """Cost of a phase"""

    phase: Literal["search", "confirm"]
    slots: int
    worker_s: Number = Field(description="seconds of one worker; null where no past trial tells")
    wall_s: Number = Field(description="seconds with all workers")


class UpdatePart(Part):
    """Updates of an arm in a context"""

    arm: str
    context: Values
    fewest: int
    most: int


class SightPart(Part):
    """What one contrast of a context can expect, by macro AUROC"""

    context: Values
    source: Literal["pilot", "past", "presumed"] = Field(
        description="of the spreads: earlier blocks of this study or a variant, of another study on this data, or none"
    )
    sd_seeds: float
    sd_patients: float
    detectable: float = Field(description="smallest true difference that is found with 80 % power")
    found_at_margin: float = Field(description="power where the true difference is the margin of equivalence")
    equivalent: float = Field(description="probability that equal arms are called equivalent")
    blocks_if_equal: float = Field(description="mean until it is decided or given up")
    blocks_if_detectable: float
    hours_if_equal: Number = Field(description="of one worker; null where no past trial tells")
    hours_if_detectable: Number


class PlanDocument(Part):
    """What `ablate plan STUDY --json` prints."""

    document: Literal["plan"] = "plan"
    version: int = Field(default=3, description="grows when a key changes its meaning or goes")
    study: str
    arms: list[PlannedArmPart]
    contexts: list[Values]
    contrasts: list[PlannedContrastPart]
    workers: int
    phases: list[CostPart]
    prepared_mb: float
    artifact_mb: float = Field(description="of predictions in the store")
    weights_mb: float = Field(
        description="of weights in the store at most, without the files' headers; 0 where the study keeps none"
    )
    free_mb: float = Field(description="on the disk of ABLATE_HOME")
    updates: list[UpdatePart] = Field(description="least and most over the arm's space, the probe's among them")
    warnings: list[str] = Field(description="for people")
    sights: list[SightPart] = Field(description="what the confirmation can see; empty without contrasts to test")


class StudyPart(Part):
    """A study of the store"""

    study: str
    base: str = Field(description="name of the file that it is a variant of")
    changed: dict[str, ChangePart]
    state: State
    done: int
    slots: int
    created_at: datetime
    active_at: datetime | None = Field(description="last sign of life of an agent")
    question: str


class StudiesDocument(Part):
    """What `ablate studies --json` prints."""

    document: Literal["studies"] = "studies"
    version: int = Field(default=2, description="grows when a key changes its meaning or goes")
    studies: list[StudyPart]


class ArmPairPart(Part):
    """An arm that both studies have"""

    arm: str
    context: Values
    before: float = Field(description="mean validation AUROC of its confirming trials, or else of all")
    after: float
    difference: float


class DiffDocument(Part):
    """What `ablate diff A B --json` prints."""

    document: Literal["diff"] = "diff"
    version: int = Field(default=2, description="grows when a key changes its meaning or goes")
    studies: list[str] = Field(description="the first is before, the second after")
    changed: dict[str, ChangePart]
    arms: list[ArmPairPart]


def change_parts(changed: Changes) -> dict[str, ChangePart]:
    """Changed keys with both values."""
    return {key: ChangePart(before=before, after=after) for key, (before, after) in changed.items()}


def studies_document(lines: Sequence[StudyLine]) -> StudiesDocument:
    """Every study of a list."""
    return StudiesDocument(studies=[_study(line) for line in lines])


def _study(line: StudyLine) -> StudyPart:
    return StudyPart(
        study=line.name,
        base=line.name.partition("@")[0],
        changed=change_parts(line.changed),
        state=line.state,
        done=line.n_done,
        slots=line.n_slots,
        created_at=line.created_at,
        active_at=line.active_at,
        question=line.question,
    )


def diff_document(
    names: Sequence[str], changed: Changes, scores: Sequence[Mapping[tuple[str, str], float]]
) -> DiffDocument:
    """Two studies beside each other; ``scores`` by arm and context, this as JSON."""
    before, after = scores
    pairs = [
        ArmPairPart(
            arm=arm,
            context=json.loads(context or "{}"),
            before=before[arm, context],
            after=after[arm, context],
            difference=after[arm, context] - before[arm, context],
        )
        for arm, context in before
        if (arm, context) in after
    ]
    return DiffDocument(studies=list(names), changed=change_parts(changed), arms=pairs)
