"""Contrasts in full: every number behind a verdict, and the same contrasts by other methods."""

from ablate.report import wording
from ablate.report.context import Context
from ablate.report.evidence import Evidence
from ablate.report.fold import fold_facts, fold_sentence
from ablate.report.markup import Column, Content, details, markup, paragraph, table
from ablate.report.section import Section
from ablate.report.verdict import badge, simultaneous


def contrast_section(evidence: Evidence) -> Section | None:
    """Every number behind the verdicts; None without one."""
    if not evidence.contrasts:
        return None
    rows = [
        (
            c.name,
            Context.of(c.context),
            wording.METRIC_NAMES[c.metric],
            badge(str(c.verdict)),
            c.difference,
            c.relative,
            simultaneous(c),
            c.p_adjusted,
            c.sd_seeds,
            c.sd_patients,
            c.n_blocks,
            c.n_patients,
            c.n_classes,
        )
        for c in evidence.contrasts
    ]
    columns = [
        Column("contrast"),
        Column("data", wording.share_text),
        Column("metric"),
        Column("verdict", markup),
        Column("difference", wording.signed, True),
        Column("relative", _relative, True),
        Column("simultaneous 95 % interval", number=True),
        Column("p, adjusted", wording.probability, True),
        Column("sd, seeds", wording.number, True),
        Column("sd, patients", wording.number, True),
        Column("blocks", number=True),
        Column("test patients", wording.whole, True),
        Column("classes", wording.whole, True),
    ]
    fold, shared = fold_facts(evidence.study), wording.shared_in_block(evidence.study.spec)
    return Section(
        "contrasts",
        "Contrasts in full",
        (
            table(columns, rows, label="Contrasts"),
            paragraph(fold_sentence(fold), class_="note") if fold else None,
            details("How these were computed", paragraph(_METHOD.format(shared=shared)), class_="method"),
            _checks(evidence),
        ),
    )


_METHOD = (
    "Each block gives every arm the same {shared}; a difference is the mean over blocks of arm minus baseline on the "
    "sealed test fold. Its variance has two sources: the spread between blocks (seeds) and what all blocks have in "
    "common (patients: DeLong’s influence values, summed for each patient, products of different blocks). The "
    "contrasts of a context are a family, interactions one behind them; the simultaneous interval holds for all of a "
    "family together, by the distribution of max |t|, and reaches to zero where no claim may be made: the family "
    "before found nothing, or AUROC did not tell the arms apart. Contexts are judged in the declared order, the "
    "first with most of the error that the study may make. Equivalent is an interval within the declared margin. "
    "Fewer than five blocks are not tested."
)


def _relative(value: float) -> str:
    return wording.percent(value, sign=True)


def _checks(evidence: Evidence) -> Content:
    """Each contrast by itself; nothing here is adjusted for the others."""
    columns = [
        Column("contrast"),
        Column("data", wording.share_text),
        Column("metric"),
        Column("95 % interval, this contrast alone", number=True),
        Column("p, alone", wording.probability, True),
        Column("P(arm better)", _three, True),
        Column("sign-flip p", wording.probability, True),
        Column("equivalence p, alone", wording.probability, True),
        Column("lacks", long=True),
    ]
    rows = [
        (
            c.name,
            Context.of(c.context),
            wording.METRIC_NAMES[c.metric],
            wording.interval(c.ci_low, c.ci_high, sign=True),
            c.p,
            c.p_superior,
            c.p_sign_flip,
            c.p_equivalence,
            ", ".join(c.lacks),
        )
        for c in evidence.contrasts
    ]
    return details(
        "Each contrast alone, not adjusted: interval, tests, and the chance of the next replicate",
        table(columns, rows, label="Contrasts alone"),
    )


def _three(value: float) -> str:
    return wording.number(value, digits=3)
