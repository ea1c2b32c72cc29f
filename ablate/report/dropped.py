"""Dropped blocks: which arm it flatters that --partial leaves the blocks of failed replicates out, and which way.

A training that failed is rarely one that would have scored best: without it the arm looks better than it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from ablate.report import wording
from ablate.report.context import Context
from ablate.report.evidence import Evidence
from ablate.report.study_record import StudyRecord
from ablate.store.slot import SlotState


class Lean(StrEnum):
    """What leaving blocks out does to a difference, as far as failures tell."""

    HIGH = "too_high"
    LOW = "too_low"
    EITHER = "either"


_WORDS = {Lean.HIGH: "rather too high", Lean.LOW: "rather too low", Lean.EITHER: "off in either direction"}


@dataclass(frozen=True)
class Dropped:
    """Failed replicates of an arm in a context, whose blocks a partial report leaves out.

    Attributes:
        leans: of each answered contrast that has the arm, by name.
    """

    arm: str
    context: Context
    n_failed: int
    n_planned: int
    leans: dict[str, Lean]


def dropped_facts(evidence: Evidence) -> tuple[Dropped, ...]:
    """By context and arm; empty unless the report is partial and failures are not counted as the worst score."""
    study = evidence.study
    if not evidence.partial or study.inference.failures != "drop":
        return ()
    answered = {(Context.of(one.context), one.name) for one in evidence.contrasts}
    found: list[Dropped] = []
    for context in study.contexts:
        cells = {arm: slots for place, arm, slots in study.cells(study.phase("confirm")) if place == context}
        n_failed = {arm: int((slots["state"] == SlotState.FAILED).sum()) for arm, slots in cells.items()}
        failing = {arm for arm, n in n_failed.items() if n}
        names = {name for place, name in answered if place == context}
        found += [
            Dropped(arm, context, n_failed[arm], len(cells[arm]), leans)
            for arm in study.arms
            if arm in failing and (leans := _leans(study, arm, names, failing))
        ]
    return tuple(found)


def _leans(study: StudyRecord, arm: str, answered: set[str], failing: set[str]) -> dict[str, Lean]:
    """Of the answered contrasts of an arm, given all arms with failed replicates."""
    leans = {}
    for contrast in study.contrasts:
        weights = contrast.weights()
        if arm in weights and contrast.name in answered:
            signs = {weights[other] > 0 for other in failing & set(weights)}
            leans[contrast.name] = Lean.EITHER if len(signs) > 1 else Lean.HIGH if signs == {True} else Lean.LOW
    return leans


def dropped_notes(evidence: Evidence) -> tuple[str, ...]:
    """A sentence for each arm that is flattered."""
    return tuple(_sentence(evidence.study, one) for one in dropped_facts(evidence))


def _sentence(study: StudyRecord, one: Dropped) -> str:
    who = f"{study.spec.title(one.arm)}{wording.with_context(one.context)}"
    return (
        f"leaving out the blocks of failed replicates flatters {who}, {one.n_failed} of "
        f"whose {one.n_planned} failed: {_differences(one.leans)}"
    )


def _differences(leans: dict[str, Lean]) -> str:
    named: dict[Lean, list[str]] = {}
    for name, lean in leans.items():
        named.setdefault(lean, []).append(name)
    return "; ".join(f"{wording.listing(names)} {_be(names)} {_WORDS[lean]}" for lean, names in named.items())


def _be(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"
