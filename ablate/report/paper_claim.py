"""The paper's claims beside what this study measured.

Source:
    arXiv 2509.12991, "Bridging Performance Gaps for Foundation Models: A Post-Training Strategy for ECGFounder"; its
    abstracts (v1, 2025-09; v2, 2026-01), since its tables could not be read.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ablate.report import wording
from ablate.report.arm import ArmFacts
from ablate.report.context import Context
from ablate.report.markup import Column, Content, items, paragraph, table
from ablate.report.section import Section
from ablate.report.study_record import StudyRecord
from ablate.study.spec import Spec


@dataclass(frozen=True)
class PaperClaim:
    """A relative improvement that the paper states."""

    setting: str
    auroc: str
    auprc: str


PAPER = "arxiv-2509.12991"  # as a study file names it
CLAIMS = (
    PaperClaim("v1, ECGFounder, PTB-XL, all of the training data", "+1.2 % to +3.3 %", "+5.3 % to +20.9 %"),
    PaperClaim("v1, ECGFounder, 10 % of the training data", "+9.1 %", "+34.9 %"),
    PaperClaim("v2, a Transformer encoder", "+0.7 % to +8.9 %", "+23.3 % to +77.9 %"),
)


@dataclass(frozen=True)
class Measured:
    """Relative improvement of an arm over the baseline in one context; None without both scores."""

    arm: str
    context: Context
    split: str
    auroc: float | None
    auprc: float | None


@dataclass(frozen=True)
class ClaimFacts:
    """Measurements to set beside the claims."""

    baseline: str | None
    measured: tuple[Measured, ...]
    share_sentence: str


def claim_facts(study: StudyRecord, arms: ArmFacts) -> ClaimFacts:
    """Relative improvements of every arm that is compared with the baseline."""
    split = "test" if "test_auroc" in arms.columns else "val"
    baseline = arms.baseline
    measured = tuple(
        Measured(
            arm, context, split, *(_relative(arms, arm, context, f"{split}_{metric}") for metric in ("auroc", "auprc"))
        )
        for context in arms.contexts
        for arm in arms.arms
        if arm != baseline
    )
    scored = tuple(m for m in measured if m.auroc is not None)
    return ClaimFacts(baseline, scored, _share_sentence(arms, post_trained(study.spec), f"{split}_auroc"))


def _relative(facts: ArmFacts, arm: str, context: Context, column: str) -> float | None:
    ours, theirs = (facts.score(name, context, column).mean for name in (arm, str(facts.baseline)))
    return wording.finite(ours / theirs - 1) if theirs else None


def post_trained(spec: Spec) -> str | None:
    """The arm that both probes and drops paths; None where the study has none."""
    both = ("probe_epochs", "drop_path_rate")
    return next((arm for arm in spec.arms if all(_is_on(spec, arm, param) for param in both)), None)


def _is_on(spec: Spec, arm: str, param: str) -> bool:
    domain = {**spec.fixed, **spec.space, **spec.arms[arm]}.get(param)
    return domain is not None and domain.point != 0


def _share_sentence(facts: ArmFacts, arm: str | None, column: str) -> str:
    """The smallest share of the data at which post-training reaches the baseline on all of it."""
    whole = next((context for context in facts.contexts if context.data_fraction == 1), None)
    smaller = [context for context in facts.contexts if context.data_fraction and context.data_fraction < 1]
    if arm is None or facts.baseline is None or whole is None or not smaller:
        return "This study has no pair of data fractions and arms to test that on."
    goal = facts.score(facts.baseline, whole, column)
    enough = [c for c in smaller if facts.score(arm, c, column).n and facts.score(arm, c, column).mean >= goal.mean]
    if not goal.n:
        return "Not measured yet."
    if not enough:
        return f"Here {arm} stays below {facts.baseline} on all of the data ({goal.mean:.4f}) at every smaller share."
    first = facts.score(arm, enough[0], column)
    share = wording.context_text(enough[0])
    return f"Here {arm} reaches {first.mean:.4f} with {share}, {facts.baseline} {goal.mean:.4f} with all of it."


def claim_section(study: StudyRecord, arms: ArmFacts) -> Section | None:
    """Stated and measured improvements, one above the other; None where the study does not ask for it."""
    if study.spec.claims != PAPER:
        return None
    facts = claim_facts(study, arms)
    columns = [Column("stated by the paper"), Column("macro AUROC", number=True), Column("macro AUPRC", number=True)]
    stated = table(
        columns, [(c.setting, c.auroc, c.auprc) for c in CLAIMS], label="Relative improvements stated by the paper"
    )
    body: list[Content] = [
        stated,
        _measured(facts),
        items(
            [
                "The paper's v2 says that 30 % of the data with post-training beats the baseline on all of it. ",
                facts.share_sentence,
            ],
            "Both versions call stochastic depth and preview linear probing the key components; the contrasts above "
            "say what held here.",
        ),
    ]
    return Section("claims", "The paper’s claims beside these results", tuple(body))


def _measured(facts: ClaimFacts) -> Content:
    if not facts.measured:
        return paragraph("Nothing measured yet to set beside them.")
    columns = [
        Column(f"measured here, over {facts.baseline}"),
        Column("data", wording.share_text),
        Column("scores"),
        Column("macro AUROC", _percent, True),
        Column("macro AUPRC", _percent, True),
    ]
    splits = {"test": "test fold", "val": "validation fold"}
    rows: Sequence[Sequence[object]] = [(m.arm, m.context, splits[m.split], m.auroc, m.auprc) for m in facts.measured]
    return table(columns, rows, label="Relative improvements measured here")


def _percent(value: float | None) -> str:
    return wording.percent(value, sign=True)
