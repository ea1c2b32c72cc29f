"""The report for programs: every figure and verdict as numbers and codes, with keys that stay.

``VERSION`` grows when a key changes its meaning or goes; new keys may come at any time. ``docs/report_json.md`` is
written from these models.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ablate.report import wording
from ablate.report.arm import ArmFacts, arm_facts
from ablate.report.context import Context
from ablate.report.dropped import Lean, dropped_facts, dropped_notes
from ablate.report.evidence import Evidence
from ablate.report.fold import FEW_POSITIVES, fold_facts
from ablate.report.ledger import earlier_readers
from ablate.report.study_record import StudyRecord
from ablate.report.summary import standing_notes
from ablate.report.verdict import VerdictSentence, contrast_title, headline, verdict_facts
from ablate.stats.contrast import Contrast, Lack, Verdict

VERSION = 1
Outcome = Literal["supported", "refuted", "equivalent", "not_established", "not_tested", "open", "refused"]
Number = float | None  # null where there is none


class Part(BaseModel):
    """A piece of a document for programs: fixed, and with these keys only."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ClassPart(Part):
    """A class of the task on the test fold."""

    name: str
    n_positive: int = Field(description="test records that have it")
    is_scored: bool = Field(description="whether it counts in macro scores")
    is_rare: bool = Field(description=f"scored, from fewer than {FEW_POSITIVES} positives")


class FoldPart(Part):
    """The test fold."""

    n_records: int
    n_patients: int
    classes: list[ClassPart]


class ScorePart(Part):
    """A score of an arm over its replicates."""

    n: int = Field(description="replicates with the score")
    mean: Number
    sd: Number
    low: Number = Field(description="95 % interval of the mean")
    high: Number
    with_patients: bool = Field(description="whether the interval holds the patients' variance beside the seeds'")


class ArmPart(Part):
    """An arm in a context."""

    arm: str
    title: str
    context: dict[str, Any] = Field(description="factors by name; empty where the study has none")
    phase: Literal["search", "confirm"] = Field(description="what the scores are of")
    n_planned: int
    scores: dict[str, ScorePart] = Field(description="by val_auroc, val_auprc, test_auroc and test_auprc")


class ContrastPart(Part):
    """A declared contrast in a context by a metric, where it has an answer."""

    contrast: str
    title: str
    context: dict[str, Any]
    metric: Literal["auroc", "auprc"]
    verdict: Verdict
    lacks: list[Lack] = Field(description="what a verdict that is not established takes")
    difference: float
    simultaneous_low: Number = Field(description="95 % for all contrasts of the family; null where not tested")
    simultaneous_high: Number
    p_adjusted: Number
    within_margin: bool = Field(description="whether the simultaneous interval lies within the margin")
    margin: Number
    ci_low: float = Field(description="95 % for this contrast alone, not adjusted")
    ci_high: float
    p: Number = Field(description="of this contrast alone, not adjusted")
    p_equivalence: Number = Field(description="of this contrast alone, not adjusted")
    p_superior: Number = Field(description="probability that the next replicate, on other patients, is better")
    relative: Number = Field(description="difference over the baseline's score")
    sd_seeds: float
    sd_patients: float
    n_blocks: int
    n_patients: int
    n_classes: int


class VerdictPart(Part):
    """A declared contrast in a context, answered or not; by AUROC."""

    contrast: str
    title: str
    context: dict[str, Any]
    outcome: Outcome
    lacks: list[Lack]
    sentence: str = Field(description="for people; its words may change at any time")


class LedgerPart(Part):
    """Other studies of the store that had opened the same test labels before this one."""

    studies: list[str] = Field(description="the earliest first; deleted ones are not known")
    n_looks: int = Field(description="at which they were judged, all together")
    n_reads: int = Field(description="openings of the test fold, one for each confirming trial and attempt")


class DroppedPart(Part):
    """An arm that a partial report flatters, since the blocks of its failed replicates are left out."""

    arm: str
    context: dict[str, Any]
    n_failed: int
    n_planned: int
    leans: dict[str, Lean] = Field(description="what that does to each difference that has the arm, by contrast")


class ReportDocument(Part):
    """What ``--json`` of ``ablate report`` and ``ablate run`` prints, and report.json holds."""

    document: Literal["report"] = "report"
    version: int = Field(default=VERSION, description="grows when a key changes its meaning or goes")
    study: str
    question: str
    headline: str = Field(description="for people, as sentences are")
    is_sealed: bool
    is_partial: bool = Field(description="whether blocks that are missing or failed were left out")
    test_fold: FoldPart | None = Field(description="null before the test fold was opened")
    looked_before: LedgerPart | None = Field(description="null before the test fold was opened")
    arms: list[ArmPart] = Field(description="empty where scores may not stand side by side")
    contrasts: list[ContrastPart]
    verdicts: list[VerdictPart]
    dropped: list[DroppedPart] = Field(description="arms that a partial report flatters")
    notes: list[str] = Field(description="what is missing, failed or mixed")


def report_document(evidence: Evidence) -> ReportDocument:
    """The whole answer."""
    study, verdicts = evidence.study, verdict_facts(evidence)
    return ReportDocument(
        study=study.tables.name,
        question=study.spec.question,
        headline=headline(study, verdicts),
        is_sealed=study.seal is not None,
        is_partial=evidence.partial,
        test_fold=_fold(study),
        looked_before=_ledger(study),
        arms=[] if evidence.refuses_tables else _arms(study, arm_facts(study, evidence)),
        contrasts=[_contrast(study, contrast) for contrast in evidence.contrasts],
        verdicts=[_verdict(study, verdict) for verdict in verdicts],
        dropped=[
            DroppedPart(
                arm=one.arm,
                context=one.context.values,
                n_failed=one.n_failed,
                n_planned=one.n_planned,
                leans=one.leans,
            )
            for one in dropped_facts(evidence)
        ],
        notes=[*standing_notes(study), *dropped_notes(evidence), *evidence.mixed],
    )


def _fold(study: StudyRecord) -> FoldPart | None:
    facts = fold_facts(study)
    if facts is None:
        return None
    classes = [
        ClassPart(name=one.name, n_positive=one.n_positive, is_scored=one.is_scored, is_rare=one.is_rare)
        for one in facts.classes
    ]
    return FoldPart(n_records=facts.n_records, n_patients=facts.n_patients, classes=classes)


def _ledger(study: StudyRecord) -> LedgerPart | None:
    if not study.tables.readers:
        return None
    earlier = earlier_readers(study)
    return LedgerPart(
        studies=[one.study for one in earlier],
        n_looks=sum(one.n_looks for one in earlier),
        n_reads=sum(one.n_reads for one in earlier),
    )


def _arms(study: StudyRecord, facts: ArmFacts) -> list[ArmPart]:
    return [
        ArmPart(
            arm=arm,
            title=study.spec.title(arm),
            context=context.values,
            phase="search" if facts.phase == "search" else "confirm",
            n_planned=facts.planned.get((arm, context), 0),
            scores={column: _score(facts, arm, context, column) for column in facts.columns},
        )
        for context in facts.contexts
        for arm in facts.arms
    ]


def _score(facts: ArmFacts, arm: str, context: Context, column: str) -> ScorePart:
    score = facts.score(arm, context, column)
    numbers = {name: wording.finite(getattr(score, name)) for name in ("mean", "sd", "low", "high")}
    return ScorePart(n=score.n, with_patients=score.with_patients, **numbers)


_OWN = ("contrast", "title", "context", "lacks")  # the other keys of a contrast are the field of the same name


def _contrast(study: StudyRecord, contrast: Contrast) -> ContrastPart:
    plain = {name: getattr(contrast, name) for name in ContrastPart.model_fields if name not in _OWN}
    finite = {name: wording.finite(value) if isinstance(value, float) else value for name, value in plain.items()}
    title = contrast_title(study, next(one for one in study.contrasts if one.name == contrast.name))
    return ContrastPart(
        contrast=contrast.name, title=title, context=dict(contrast.context), lacks=list(contrast.lacks), **finite
    )


def _verdict(study: StudyRecord, verdict: VerdictSentence) -> VerdictPart:
    title = contrast_title(study, next(one for one in study.contrasts if one.name == verdict.contrast))
    return VerdictPart(
        contrast=verdict.contrast,
        title=title,
        context=verdict.context.values,
        outcome=verdict.outcome,
        lacks=list(verdict.answer.lacks) if verdict.answer else [],
        sentence=verdict.sentence,
    )
