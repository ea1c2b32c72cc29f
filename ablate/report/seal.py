"""The seal: what was fixed before the test fold was opened, and each time that it was."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import product
from typing import Any

from ablate.report import wording
from ablate.report.budget import label_counts
from ablate.report.context import Context
from ablate.report.fold import fold_facts
from ablate.report.ledger import ledger_limit, ledger_line
from ablate.report.markup import Column, Content, Html, details, paragraph, table, tag
from ablate.report.section import Section
from ablate.report.study_record import StudyRecord
from ablate.study.seal import Seal, SealedChoice, declared
from ablate.study.spec import Margin

Place = tuple[str, Context, int]  # an arm, a context, and which of its searches chose


@dataclass(frozen=True)
class SealFacts:
    """What was fixed before the test fold was first opened.

    Attributes:
        contrasts: name and arms with their weights, as they were declared.
    """

    is_sealed: bool
    sealed_at: datetime | None
    contrasts: tuple[tuple[str, str], ...]
    n_searches: int
    chosen: Mapping[Place, SealedChoice]
    margin: Margin
    n_reads: int
    n_slots_read: int
    reads: tuple[tuple[str, str, str], ...]  # slot key, time, agent


def seal_facts(study: StudyRecord) -> SealFacts:
    """The seal and the ledger of test reads."""
    seal, reads = study.seal, study.tables.test_reads
    return SealFacts(
        is_sealed=seal is not None,
        sealed_at=None if seal is None else seal.sealed_at,
        contrasts=tuple((contrast.name, _weights(contrast.weights())) for contrast in study.contrasts),
        n_searches=seal.searches if seal else 1,
        chosen=_choices(study, seal) if seal else {},
        margin=study.margin,
        n_reads=len(reads),
        n_slots_read=int(reads["slot_id"].nunique()),
        reads=tuple((str(r.key), wording.moment(r.opened_at), str(r.agent)) for r in reads.itertuples()),
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
    context: Context
    searched: float | None
    validated: float | None
    tested: float | None

    @property
    def best_above_test(self) -> float | None:
        """How much selection flattered."""
        return None if self.searched is None or self.tested is None else self.searched - self.tested


def gap_facts(study: StudyRecord) -> tuple[Gap, ...]:
    """For each arm and context: the search's best, the confirmation's validation mean and its test mean."""
    column = study.spec.objectives.select
    tested = column.replace("val_", "test_")
    searched, confirmed = study.finished("search"), study.finished("confirm")
    rows = []
    for context, arm, trials in study.cells(searched):
        replicates = confirmed[(confirmed["context"] == context) & (confirmed["arm"] == arm)]
        scores = (trials[column].max(), replicates[column].mean(), replicates[tested].mean())
        gap = Gap(arm, context, *map(wording.finite, scores))
        if any(score is not None for score in (gap.searched, gap.validated, gap.tested)):
            rows.append(gap)
    return tuple(rows)


def _choices(study: StudyRecord, seal: Seal) -> dict[Place, SealedChoice]:
    """All that is sealed."""
    places = product(study.contexts, study.arms, range(seal.searches))
    choices = {(arm, c, search): seal.choice(arm, c.values, search) for c, arm, search in places}
    return {place: choice for place, choice in choices.items() if choice is not None}


def _searched_choices(study: StudyRecord, seal: Seal) -> dict[Place, SealedChoice]:
    """Choices that a search made."""
    return {place: choice for place, choice in _choices(study, seal).items() if choice.n_trials}


def reach_line(study: StudyRecord) -> str:
    """How far the verdicts reach, in a line for the first screen; empty before the test fold was opened."""
    seal, fold = study.seal, fold_facts(study)
    if seal is None or fold is None or not study.contrasts:
        return ""
    searched = _searched_choices(study, seal)
    n_open = sum(choice.is_settled is False for choice in searched.values())
    n_edges = sum(len(choice.edges) for choice in searched.values())
    size = (
        f"{len(fold.scored)} classes, {wording.whole(fold.n_records)} test records of {wording.whole(fold.n_patients)}"
    )
    turned = [count for count in label_counts(study).values() if count.is_turned]
    parts = [
        f"{size} patients",
        _choosers(seal),
        "sealed over an incomplete search" if seal.incomplete else "",
        f"{n_open} of {len(searched)} searches are not settled" if n_open else "",
        f"{n_edges} best values at an end of their range" if n_edges else "",
        f"more labels choose ({wording.whole(turned[0].n_val)}) than train ({wording.whole(turned[0].n_train)})"
        if turned
        else "",
        f"{len(fold.rare)} classes with few test positives" if fold.rare else "",
        ledger_line(study),
    ]
    return "; ".join(part for part in parts if part)


def _choosers(seal: Seal) -> str:
    """What chose the params that the verdicts are about."""
    if not _is_tuned(seal):
        return "for the recipe's usual params, which no search chose"
    return (
        "for the params that one search of each arm chose" if seal.searches == 1 else f"{seal.searches} searches an arm"
    )


def _is_tuned(seal: Seal) -> bool:
    return any(choice.score is not None for choice in seal.chosen.values())


def _search_part(searched: Mapping[Place, SealedChoice]) -> list[str]:
    """How much of a difference the one search of each arm may make, as far as the searches themselves tell."""
    gains = {place: choice.remaining_gain for place, choice in searched.items() if choice.remaining_gain is not None}
    if not gains:
        return []
    place = max(gains, key=lambda each: gains[each])
    most = f"{gains[place]:.4f} of the score that chose them, in {_place(place)}"
    return [f"What other params were still expected to bring, the search's part in a difference: up to {most}."]


def seal_limits(study: StudyRecord) -> tuple[str, ...]:
    """How far the verdicts reach: for which params they hold, and which searches could not say that they were over."""
    seal = study.seal
    if seal is None or not study.contrasts:
        return ()
    searched = _searched_choices(study, seal)
    limits = []
    if not _is_tuned(seal):
        limits.append("No arm was tuned: the verdicts hold for the recipe's usual params.")
    elif seal.searches == 1:
        limits.append("Each arm was tuned once: the verdicts hold for the sealed params, not for another search.")
        limits += _search_part(searched)
    if seal.incomplete:
        limits.append(f"Sealed by its author over an incomplete search: {'; '.join(seal.incomplete)}.")
    unsettled = [_place(place, choice) for place, choice in searched.items() if choice.is_settled is False]
    if unsettled:
        limits.append(f"Searches that are not settled, so that more trials may still gain: {_listed(unsettled)}.")
    edges = [
        f"{edge.name} = {wording.general(edge.value)} of {_place(place)}"
        for place, choice in searched.items()
        for edge in choice.edges
    ]
    if edges:
        limits.append(f"Best at an end of its range, so that better may lie beyond: {_listed(edges)}.")
    if seal.extensions:
        limits.append(_extension_sentence(study, seal))
    if earlier := ledger_limit(study):
        limits.append(earlier)
    return tuple(limits)


def _extension_sentence(study: StudyRecord, seal: Seal) -> str:
    """At which level blocks that were added after the last look are judged."""
    _, *further = declared(study.spec, seal).stages()
    shares = wording.listing([f"{stage.alpha:.2g}" for stage in further])
    to = wording.listing([str(most) for most in seal.extensions])
    return (
        f"Extended after its last look at {study.spec.budget.replicates} blocks to {to}: each time a further look, "
        f"which may err with {shares} of the study's {seal.inference.alpha:g}; what was decided before stays."
    )


def _place(place: Place, choice: SealedChoice | None = None) -> str:
    arm, context, search = place
    where = wording.with_context(context)
    where += f", search {search + 1}" if search else ""
    gain = f" (expected gain {choice.remaining_gain:.4f})" if choice and choice.remaining_gain is not None else ""
    return f"{arm}{where}{gain}"


def _listed(entries: list[str]) -> str:
    return wording.listing(entries, most=6)


def seal_section(study: StudyRecord) -> Section:
    """Seal, chosen params, test reads and the gap between validation and test."""
    facts = seal_facts(study)
    body: list[Content] = [paragraph(_seal_sentence(facts))]
    if facts.contrasts:
        contrasts = table([Column("contrast"), Column("arms")], facts.contrasts, label="Declared contrasts")
        body += [tag("h3", "Contrasts that were declared"), contrasts]
    if facts.chosen:
        body += [tag("h3", "Params that were sealed"), _chosen_table(facts, list(study.spec.space))]
    gaps = gap_facts(study)
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
    margins = f"AUROC ±{facts.margin.auroc:g}, AUPRC ±{facts.margin.auprc:g}"
    when = f"Sealed {wording.moment(facts.sealed_at)}" if facts.sealed_at else "Sealed before the first confirmation"
    return f"{when}. Margin of equivalence: {margins}."


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
        *([Column("search", wording.whole, True)] if facts.n_searches > 1 else []),
        Column("validation score", wording.number, True),
        Column("params", wording.params_text, long=True),
    ]
    rows = [
        [
            *((arm, context, search + 1) if facts.n_searches > 1 else (arm, context)),
            choice.score,
            _searched(choice.params, searched),
        ]
        for (arm, context, search), choice in facts.chosen.items()
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
