"""The end of a terminal session: arms as rows and one sentence for each verdict."""

from dataclasses import dataclass
from typing import Any

from ablate.report import frame, wording
from ablate.report.arm import arm_facts
from ablate.report.evidence import weigh
from ablate.report.verdict import Verdict, verdict_facts
from ablate.store.study_tables import StudyTables


@dataclass(frozen=True)
class Summary:
    """What ``ablate run`` prints last.

    Attributes:
        rows: equal keys in each: arm, the factors of the context, n, then mean and sd of each score that exists.
        verdicts: in the order of the page.
        notes: what is missing, failed or mixed; empty when all is well.
    """

    rows: list[dict[str, Any]]
    verdicts: tuple[Verdict, ...]
    notes: tuple[str, ...]


def summary(tables: StudyTables, *, partial: bool = False) -> Summary:
    """Arms, verdicts and what is missing."""
    evidence = weigh(tables, partial=partial)
    rows = [] if evidence.refuses_tables else _rows(tables)
    return Summary(rows, verdict_facts(tables, evidence), (*standing_notes(tables), *evidence.mixed))


def _rows(tables: StudyTables) -> list[dict[str, Any]]:
    facts = arm_facts(tables)
    rows = []
    for context in facts.contexts:
        for name in facts.arms:
            scores = {column: facts.score(name, context, column) for column in facts.columns}
            row: dict[str, Any] = {"arm": name, **wording.context_values(context)}
            row["n"] = max((score.n for score in scores.values()), default=0)
            for column, score in scores.items():
                row |= {f"{column}_mean": score.mean, f"{column}_sd": score.sd}
            rows.append(row)
    return rows


def standing_notes(tables: StudyTables) -> tuple[str, ...]:
    """What is missing of the plan, a line for each phase."""
    notes = []
    slots = frame.slots(tables)
    for phase, rows in slots.groupby("phase", sort=False):
        counts = rows["state"].value_counts()
        done, failed = int(counts.get(frame.DONE, 0)), int(counts.get(frame.FAILED, 0))
        left = len(rows) - done - failed - int(counts.get(frame.CANCELLED, 0))
        if left:
            notes.append(f"{phase}: {left} of {len(rows)} slots are still to be done")
        if failed:
            keys = wording.listing(list(rows.loc[rows["state"] == frame.FAILED, "key"].astype(str)), most=3)
            notes.append(f"{phase}: {failed} of {len(rows)} slots failed: {keys}")
    return tuple(notes)
