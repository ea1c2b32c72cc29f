"""Arms: what each scored in each context, with its interval."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import pandas as pd
from scipy import stats

from ablate.report import wording
from ablate.report.block import block_pictures
from ablate.report.context import Context
from ablate.report.evidence import Evidence
from ablate.report.fold import fold_facts, fold_sentence
from ablate.report.markup import Column, paragraph, table, tag
from ablate.report.section import Section
from ablate.report.study_record import SCORES, StudyRecord
from ablate.stats.effect import Effect


@dataclass(frozen=True)
class ArmScore:
    """One score of one arm in one context, over its replicates.

    Attributes:
        n: replicates with the score.
        mean, sd: NaN without a replicate, sd also with one.
        low, high: 95 % interval of the mean; NaN with fewer than two replicates.
        with_patients: whether the interval holds the patients' variance beside that of the seeds.
    """

    arm: str
    context: Context
    column: str
    n: int
    mean: float
    sd: float
    low: float
    high: float
    with_patients: bool = False

    @property
    def seed_half(self) -> float:
        """Half the 95 % t interval over seeds alone; NaN with fewer than two replicates."""
        return float(stats.t.ppf(0.975, self.n - 1)) * self.sd / math.sqrt(self.n) if self.n > 1 else math.nan


@dataclass(frozen=True)
class ArmFacts:
    """Scores by arm and context, from the confirmation, or from the search while there is none."""

    phase: str
    arms: tuple[str, ...]
    contexts: tuple[Context, ...]
    baseline: str | None
    scores: tuple[ArmScore, ...]
    planned: Mapping[tuple[str, Context], int]

    def score(self, arm: str, context: Context, column: str) -> ArmScore:
        """The one score of ``arm`` in ``context``."""
        return next(s for s in self.scores if (s.arm, s.context, s.column) == (arm, context, column))

    @property
    def columns(self) -> tuple[str, ...]:
        """Scores that any arm has."""
        return tuple(c for c in SCORES if any(s.n for s in self.scores if s.column == c))


def arm_facts(study: StudyRecord, evidence: Evidence | None = None) -> ArmFacts:
    """Mean, spread and interval of each arm in each context; with ``evidence``, test intervals over patients too."""
    effects = evidence.effects if evidence else {}
    confirmed, searched = (study.finished(phase) for phase in ("confirm", "search"))
    phase, done = ("search", searched) if len(searched) and not len(confirmed) else ("confirm", confirmed)
    scores = [
        _with_patients(_score(rows[column], arm=arm, context=context, column=column), effects)
        for context, arm, rows in study.cells(done)
        for column in SCORES
    ]
    planned = {(a, c): len(rows) for c, a, rows in study.cells(study.phase(phase))}
    return ArmFacts(phase, study.arms, study.contexts, study.baseline, tuple(scores), planned)


def _score(values: pd.Series, *, arm: str, context: Context, column: str) -> ArmScore:
    scores = values.dropna().to_numpy(float)
    n = len(scores)
    mean = float(scores.mean()) if n else math.nan
    sd = float(scores.std(ddof=1)) if n > 1 else math.nan
    score = ArmScore(arm, context, column, n, mean, sd, math.nan, math.nan)
    return replace(score, low=mean - score.seed_half, high=mean + score.seed_half)


def _with_patients(score: ArmScore, effects: Mapping[tuple[Context, str, str], Effect]) -> ArmScore:
    """The wider interval, where it was taken over the same replicates."""
    split, _, metric = score.column.partition("_")
    effect = effects.get((score.context, score.arm, metric)) if split == "test" else None
    if effect is None:
        return score
    return replace(score, low=effect.ci_low, high=effect.ci_high, with_patients=True)


def arm_rows(facts: ArmFacts, titles: Mapping[str, str]) -> tuple[list[Column], list[list[object]]]:
    """The table of arms: a row for each arm and context, test scores before validation."""
    order = sorted(facts.columns, key=lambda column: not column.startswith("test"))
    is_named = any(titles[arm] != arm for arm in facts.arms)
    named = [Column("arm"), *([Column("which is")] if is_named else [])]
    columns = [*named, Column("data", wording.share_text), Column("n", number=True)]
    for name in order:
        columns += [Column(f"{wording.short_name(name)} ± sd", number=True), Column("95 %", number=True)]
    rows: list[list[object]] = []
    for context in facts.contexts:
        for arm in facts.arms:
            scores = [facts.score(arm, context, column) for column in order]
            n = max((s.n for s in scores), default=0)
            row: list[object] = [arm, *([titles[arm]] if is_named else []), context]
            row.append(f"{n} of {facts.planned.get((arm, context), 0)}")
            for s in scores:
                row += [wording.spread(s.mean, s.sd), wording.interval(s.low, s.high)]
            rows.append(row)
    return columns, rows


def arm_section(study: StudyRecord, facts: ArmFacts) -> Section:
    """The table of arms and every replicate."""
    columns, rows = arm_rows(facts, {arm: study.spec.title(arm) for arm in facts.arms})
    what = (
        "replicates of the sealed params"
        if facts.phase == "confirm"
        else "search trials; no replicate is done yet, so this ranks nothing"
    )
    whole = [
        wording.metric_name(c) for c in facts.columns if any(s.with_patients for s in facts.scores if s.column == c)
    ]
    seeds = [wording.metric_name(c) for c in facts.columns if wording.metric_name(c) not in whole]
    both = f" Intervals of {wording.listing(whole)} hold seeds and patients." if whole else ""
    alone = f" Intervals of {wording.listing(seeds)} hold seeds alone." if seeds else ""
    how = " Arms share their patients: compare them by the contrasts, not by whether intervals overlap."
    if not facts.columns:
        return Section("arms", "Arms", (paragraph("No score yet."),))
    fold = fold_facts(study)
    size = f" {fold_sentence(fold)}" if fold else ""
    note = f"n counts {what}.{both}{alone}{how}{size}"
    body = [table(columns, rows, label="Scores of the arms"), paragraph(note, class_="note")]
    pictures = block_pictures(study)
    paired = _PAIRED.format(shared=wording.shared_in_block(study.spec))
    head = [tag("h3", "Every replicate"), paragraph(paired, class_="note")] if pictures else []
    return Section("arms", "Arms", (*body, *head, *pictures))


_PAIRED = "A line joins the arms of one block: same {shared}. A bar is the mean."
