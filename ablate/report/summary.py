"""The end of a terminal session: arms as rows and one sentence for each verdict."""

from dataclasses import dataclass
from typing import Any

from ablate.report import wording
from ablate.report.arm import ArmFacts, arm_facts
from ablate.report.dropped import dropped_notes
from ablate.report.evidence import Evidence
from ablate.report.ledger import ledger_line
from ablate.report.study_record import StudyRecord
from ablate.report.verdict import VerdictSentence, headline, verdict_facts
from ablate.store.slot import SlotState


@dataclass(frozen=True)
class Summary:
    """What ``ablate run`` prints last.

    Attributes:
        rows: equal keys in each: arm, the factors of the context, n, then mean and sd of each score that exists.
        headline: one sentence for the question; empty without contrasts.
        verdicts: in the order of the page.
        notes: what is missing, failed or mixed; empty when all is well.
        ledger: how many other studies had looked at the same test labels before; empty before this one has.
    """

    rows: list[dict[str, Any]]
    headline: str
    verdicts: tuple[VerdictSentence, ...]
    notes: tuple[str, ...]
    ledger: str = ""


def summary(evidence: Evidence) -> Summary:
    """Arms, verdicts and what is missing."""
    rows = [] if evidence.refuses_tables else _rows(arm_facts(evidence.study))
    verdicts = verdict_facts(evidence)
    study = evidence.study
    notes = (*standing_notes(study), *dropped_notes(evidence), *evidence.mixed)
    return Summary(rows, headline(study, verdicts), verdicts, notes, ledger_line(study))


def _rows(facts: ArmFacts) -> list[dict[str, Any]]:
    rows = []
    for context in facts.contexts:
        for name in facts.arms:
            scores = {column: facts.score(name, context, column) for column in facts.columns}
            row: dict[str, Any] = {"arm": name, **context.values}
            row["n"] = max((score.n for score in scores.values()), default=0)
            for column, score in scores.items():
                row |= {f"{column}_mean": score.mean, f"{column}_sd": score.sd}
            rows.append(row)
    return rows


def standing_notes(study: StudyRecord) -> tuple[str, ...]:
    """What is missing of the plan, a line for each phase."""
    notes = []
    for phase, rows in study.slots.groupby("phase", sort=False):
        counts = rows["state"].value_counts()
        done, failed = int(counts.get(SlotState.DONE, 0)), int(counts.get(SlotState.FAILED, 0))
        left = len(rows) - done - failed - int(counts.get(SlotState.CANCELLED, 0))
        if left:
            notes.append(f"{phase}: {left} of {len(rows)} slots are still to be done")
        if failed:
            keys = wording.listing(list(rows.loc[rows["state"] == SlotState.FAILED, "key"].astype(str)), most=3)
            notes.append(f"{phase}: {failed} of {len(rows)} slots failed: {keys}")
    return tuple(notes)
