"""The seal: what was fixed before the test fold was opened, and each time that it was."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ablate.report import frame, wording
from ablate.report.markup import Column, Content, Html, details, paragraph, table, tag
from ablate.report.section import Section
from ablate.store.study_tables import StudyTables


@dataclass(frozen=True)
class SealFacts:
    """What was fixed before the test fold was first opened.

    Attributes:
        contrasts: name and arms with their weights, as they were declared.
    """

    is_sealed: bool
    sealed_at: str | None
    contrasts: tuple[tuple[str, str], ...]
    chosen: Mapping[tuple[str, str], Mapping[str, Any]]  # (arm, context) -> params, score, slot_id
    margin: Mapping[str, float]
    n_reads: int
    n_slots_read: int
    reads: tuple[tuple[str, str, str], ...]  # slot key, time, agent


def seal_facts(tables: StudyTables) -> SealFacts:
    """The seal and the ledger of test reads."""
    seal = tables.seal or {}
    chosen = {}
    for name, choice in (seal.get("chosen") or {}).items():
        arm, _, context = str(name).partition("|")
        chosen[arm, frame.canonical(context or None)] = dict(choice)
    reads = tables.test_reads
    rows = tuple((str(r.key), wording.moment(r.opened_at), str(r.agent)) for r in reads.itertuples())
    margin = {str(key): float(value) for key, value in (seal.get("margin") or tables.spec.get("margin") or {}).items()}
    declared = tuple((str(entry["name"]), _weights(frame.weights(entry))) for entry in frame.contrasts(tables))
    return SealFacts(
        tables.seal is not None,
        wording.moment(seal["sealed_at"]) if seal.get("sealed_at") else None,
        declared,
        chosen,
        margin,
        len(reads),
        int(reads["slot_id"].nunique()),
        rows,
    )


def _weights(weights: Mapping[str, float]) -> str:
    """``lp_sd − lp − sd + ft``."""
    parts = []
    for arm, weight in weights.items():
        size = "" if abs(weight) == 1 else f"{abs(weight):g} "
        parts.append(f"{wording.MINUS if weight < 0 else '+'} {size}{arm}")
    return " ".join(parts).removeprefix("+ ")


@dataclass(frozen=True)
class Gap:
    """Scores of one arm in one context: the search's best, then means of the confirmation; None where there is none."""

    arm: str
    context: str
    searched: float | None
    validated: float | None
    tested: float | None

    @property
    def best_above_test(self) -> float | None:
        """How much selection flattered."""
        return None if self.searched is None or self.tested is None else self.searched - self.tested


def gap_facts(tables: StudyTables) -> tuple[Gap, ...]:
    """For each arm and context: the search's best, the confirmation's validation mean and its test mean."""
    column = frame.best_metric(tables)
    tested = column.replace("val_", "test_")
    searched, confirmed = frame.finished(tables, phase="search"), frame.finished(tables, phase="confirm")
    rows = []
    for context, arm, trials in frame.groups(searched, tables):
        replicates = confirmed[(confirmed["context"] == context) & (confirmed["arm"] == arm)]
        scores = (trials[column].max(), replicates[column].mean(), replicates[tested].mean())
        gap = Gap(arm, context, *map(wording.finite, scores))
        if any(score is not None for score in (gap.searched, gap.validated, gap.tested)):
            rows.append(gap)
    return tuple(rows)


def seal_section(tables: StudyTables) -> Section:
    """Seal, chosen params, test reads and the gap between validation and test."""
    facts = seal_facts(tables)
    body: list[Content] = [paragraph(_seal_sentence(facts))]
    if facts.contrasts:
        contrasts = table([Column("contrast"), Column("arms")], facts.contrasts, label="Declared contrasts")
        body += [tag("h3", "Contrasts that were declared"), contrasts]
    if facts.chosen:
        body += [tag("h3", "Params that were sealed"), _chosen_table(facts, list(tables.spec.get("space") or {}))]
    gaps = gap_facts(tables)
    if gaps:
        body += [tag("h3", "Best validation score against test"), _gap_table(gaps), paragraph(_GAP_NOTE, class_="note")]
    body += [tag("h3", "Reads of the test fold"), paragraph(_reads_sentence(facts))]
    if facts.reads:
        columns = [Column("slot"), Column("opened"), Column("agent")]
        body.append(details("Every read", table(columns, facts.reads, label="Reads of the test fold")))
    return Section("seal", "Seal and test fold", tuple(body))


_GAP_NOTE = (
    "The search's best is a maximum over trials and so flatters; the confirmation repeats the chosen params with new "
    "seeds. "
    "What remains between validation and test also holds the choice of the best epoch."
)


def _seal_sentence(facts: SealFacts) -> str:
    if not facts.is_sealed:
        return "Not sealed yet: no params are chosen for confirmation, and the test fold is closed."
    margins = ", ".join(f"{wording.METRIC_NAMES.get(key, key)} ±{value:g}" for key, value in facts.margin.items())
    when = f"Sealed {facts.sealed_at}" if facts.sealed_at else "Sealed before the first confirmation"
    return f"{when}. Margin of equivalence: {margins or 'none declared'}."


def _reads_sentence(facts: SealFacts) -> str:
    if not facts.n_reads:
        return "The test fold was not opened."
    again = facts.n_reads - facts.n_slots_read
    more = f"; {again} of them were repeated attempts of the same slots" if again else ""
    times, slots = wording.whole(facts.n_reads), wording.whole(facts.n_slots_read)
    return f"The test fold was opened {times} times, for {slots} slots{more}."


def _chosen_table(facts: SealFacts, searched: list[str]) -> Html:
    columns = [
        Column("arm"),
        Column("data", wording.share_text),
        Column("validation score", wording.number, True),
        Column("params", wording.params_text, long=True),
    ]
    rows = [
        [arm, context, c.get("score"), _searched(c.get("params") or {}, searched)]
        for (arm, context), c in facts.chosen.items()
    ]
    return table(columns, rows, label="Chosen params")


def _searched(params: Mapping[str, Any], names: list[str]) -> dict[str, Any]:
    """Params of the search space; all of them where nothing of it is there."""
    return {name: params[name] for name in names if name in params} or dict(params)


def _gap_table(gaps: tuple[Gap, ...]) -> Html:
    columns = [
        Column("arm"),
        Column("data", wording.share_text),
        Column("search, best", wording.number, True),
        Column("confirmation, validation", wording.number, True),
        Column("confirmation, test", wording.number, True),
        Column("best − test", wording.signed, True),
    ]
    rows = [(gap.arm, gap.context, gap.searched, gap.validated, gap.tested, gap.best_above_test) for gap in gaps]
    return table(columns, rows, label="Best validation score against test")
