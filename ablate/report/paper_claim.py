"""The paper's claims beside what this study measured.

Source:
    arXiv 2509.12991, "Bridging Performance Gaps for Foundation Models: A Post-Training Strategy for ECGFounder"; its
    abstracts (v1, 2025-09; v2, 2026-01), since its tables could not be read.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ablate.report import frame, wording
from ablate.report.arm import ArmFacts, arm_facts
from ablate.report.markup import Column, Content, items, paragraph, table
from ablate.report.section import Section
from ablate.store.study_tables import StudyTables


@dataclass(frozen=True)
class Claim:
    """A relative improvement that the paper states."""

    setting: str
    auroc: str
    auprc: str


CLAIMS = (
    Claim("v1, ECGFounder, PTB-XL, all of the training data", "+1.2 % to +3.3 %", "+5.3 % to +20.9 %"),
    Claim("v1, ECGFounder, 10 % of the training data", "+9.1 %", "+34.9 %"),
    Claim("v2, a Transformer encoder", "+0.7 % to +8.9 %", "+23.3 % to +77.9 %"),
)
V2_SHARE = 0.3  # of the data, at which v2 with post-training beats the baseline on all of it


@dataclass(frozen=True)
class Measured:
    """Relative improvement of an arm over the baseline in one context; None without both scores."""

    arm: str
    context: str
    split: str
    auroc: float | None
    auprc: float | None


@dataclass(frozen=True)
class ClaimFacts:
    """Claims, measurements and what limits the comparison."""

    baseline: str | None
    measured: tuple[Measured, ...]
    share_sentence: str
    caveats: tuple[str, ...]


def claim_facts(tables: StudyTables) -> ClaimFacts:
    """Relative improvements of every arm that is compared with the baseline."""
    arms = arm_facts(tables)
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
    known = tuple(m for m in measured if m.auroc is not None)
    return ClaimFacts(baseline, known, _share_sentence(arms, post_trained(tables), f"{split}_auroc"), caveats(tables))


def _relative(facts: ArmFacts, arm: str, context: str, column: str) -> float | None:
    ours, theirs = (facts.score(name, context, column).mean for name in (arm, str(facts.baseline)))
    return wording.finite(ours / theirs - 1) if theirs else None


def post_trained(tables: StudyTables) -> str | None:
    """The arm that both probes and drops paths; None where the study has none."""
    return next(
        (
            arm
            for arm in frame.arms(tables)
            if _is_on(tables, arm, "probe_epochs") and _is_on(tables, arm, "drop_path_rate")
        ),
        None,
    )


def _is_on(tables: StudyTables, arm: str, param: str) -> bool:
    restriction = (tables.spec.get("arms") or {}).get(arm) or {}
    domain = restriction.get(
        param, (tables.spec.get("space") or {}).get(param, (tables.spec.get("fixed") or {}).get(param, 0))
    )
    if isinstance(domain, dict):
        return any(value not in (0, None) for value in (domain.get("high"), *(domain.get("choices") or ())))
    return domain not in (0, None)


def _share_sentence(facts: ArmFacts, arm: str | None, column: str) -> str:
    """The smallest share of the data at which post-training reaches the baseline on all of it."""
    fractions = {c: wording.context_values(c).get("data_fraction") for c in facts.contexts}
    whole = next((context for context, value in fractions.items() if value == 1), None)
    smaller = [context for context, value in fractions.items() if isinstance(value, int | float) and value < 1]
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


def caveats(tables: StudyTables) -> tuple[str, ...]:
    """What the reader must know of encoder and data before comparing anything."""
    encoder, data = tables.spec.get("encoder") or {}, tables.spec.get("data") or {}
    weights, found = str(encoder.get("weights", "")), []
    if weights in ("embedded", "synthetic"):
        found.append(
            "The encoder is a small embedded stand-in for ECGFounder, not ECGFounder itself: absolute scores and sizes "
            "of effects do not carry over to the full model."
        )
    elif weights == "random":
        found.append("The encoder starts from random weights: nothing here was pre-trained.")
    if data.get("source") == "synthetic":
        found.append(
            "The cohort is synthetic: simulated ECGs with the statement codes and folds of PTB-XL, no patients."
        )
    if weights == "synthetic":
        found.append(
            "The encoder was pre-trained on a second synthetic cohort with other targets, but three of its coarse "
            "groups are unions of the labels scored here: transfer is favourable by design."
        )
    if data.get("preprocessing") == "ecgfounder":
        found.append(
            "Signals are filtered as ECGFounder's authors do (notch, band-pass, median baseline) before the z-score."
        )
    return tuple(found)


def claim_section(tables: StudyTables) -> Section:
    """Stated and measured improvements, one above the other."""
    facts = claim_facts(tables)
    columns = [Column("stated by the paper"), Column("macro AUROC", number=True), Column("macro AUPRC", number=True)]
    stated = table(
        columns, [(c.setting, c.auroc, c.auprc) for c in CLAIMS], label="Relative improvements stated by the paper"
    )
    body: list[Content] = [
        paragraph(" ".join(facts.caveats), class_="note") if facts.caveats else None,
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
