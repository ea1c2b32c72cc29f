"""Deviations: where the plan was not kept, or not yet."""

from collections.abc import Mapping
from dataclasses import dataclass

from ablate.report import wording
from ablate.report.markup import Column, Content, items, paragraph, table
from ablate.report.section import Section
from ablate.report.study_record import OPEN, StudyRecord
from ablate.store.slot import SlotState


@dataclass(frozen=True)
class DeviationFacts:
    """Where the plan was not kept, or not yet."""

    failed: tuple[tuple[str, int, str], ...]  # key, attempts, reason
    cancelled: tuple[str, ...]
    unfinished: Mapping[str, int]  # phase -> slots waiting or leased
    retried: int
    reused: Mapping[str, int]  # study that results were taken from -> slots
    lost: tuple[str, ...]  # classes that some training subset left without a positive
    skipped: int  # damaged records that were left out


def deviation_facts(study: StudyRecord) -> DeviationFacts:
    """Failed, cancelled, unfinished and retried slots."""
    slots = study.slots
    failed = slots[slots["state"] == SlotState.FAILED]
    rows = tuple(
        (str(r.key), int(r.attempts), "no reason recorded" if wording.missing(r.reason) else str(r.reason))
        for r in failed.itertuples()
    )
    going = slots[slots["state"].isin(OPEN)]
    unfinished = {str(phase): int(count) for phase, count in going["phase"].value_counts().sort_index().items()}
    retried = int(((slots["attempts"] > 1) & (slots["state"] == SlotState.DONE)).sum())
    cancelled = tuple(slots.loc[slots["state"] == SlotState.CANCELLED, "key"].astype(str))
    return DeviationFacts(rows, cancelled, unfinished, retried, study.sources, _lost_classes(study), _skipped(study))


def _skipped(study: StudyRecord) -> int:
    scores = study.tables.scores
    return int(max(scores["n_skipped"].dropna(), default=0)) if "n_skipped" in scores else 0


def _lost_classes(study: StudyRecord) -> tuple[str, ...]:
    if "lost_classes" not in study.tables.scores:
        return ()
    lost = [names for names in study.tables.scores["lost_classes"] if isinstance(names, list | tuple)]
    return tuple(sorted({str(name) for names in lost for name in names}))


def deviation_section(study: StudyRecord) -> Section:
    """Failed, missing and excluded slots, each by name."""
    facts = deviation_facts(study)
    lines: list[Content] = [
        f"{wording.whole(n)} {phase} slots are not done yet." for phase, n in facts.unfinished.items()
    ]
    if facts.retried:
        lines.append(f"{wording.whole(facts.retried)} slots were done at a later attempt.")
    lines += [
        f"{wording.whole(n)} slots were not trained: study {name} had trained the same params, seed, records, weights, "
        "code, hardware and libraries, and its results were taken. Their test scores count as reads of this study."
        for name, n in facts.reused.items()
    ]
    if facts.cancelled:
        lines.append(f"Cancelled: {wording.listing(list(facts.cancelled))}.")
    if facts.skipped:
        lines.append(f"{wording.whole(facts.skipped)} damaged records were left out (`ablate data info` names them).")
    if facts.lost:
        lines.append(
            f"Classes without a positive in some training subset, kept and flagged: "
            f"{wording.listing(list(facts.lost), most=80)}."
        )
    if not lines and not facts.failed:
        return Section("deviations", "Deviations from the plan", (paragraph("None: every planned slot is done."),))
    body: list[Content] = [items(*lines)] if lines else []
    if facts.failed:
        columns = [Column("failed slot"), Column("attempts", number=True), Column("reason", long=True)]
        body.append(table(columns, facts.failed, label="Failed slots"))
    return Section("deviations", "Deviations from the plan", tuple(body))
