"""Contrasts in full: every number behind a verdict, and the same contrasts by other methods."""

from ablate.report import wording
from ablate.report.context import Context
from ablate.report.evidence import Evidence
from ablate.report.markup import Column, Content, Html, details, markup, paragraph, table, tag
from ablate.report.section import Section
from ablate.stats.contrast import Contrast


def contrast_section(evidence: Evidence) -> Section | None:
    """Every number behind the verdicts; None without one."""
    if not evidence.contrasts:
        return None
    rows = [
        (
            c.name,
            Context.of(c.context),
            wording.METRIC_NAMES[c.metric],
            _badge(c),
            c.difference,
            c.relative,
            wording.interval(*c.interval, sign=True),
            wording.interval(c.ci_low, c.ci_high, sign=True),
            c.p,
            c.p_adjusted,
            c.sd_seeds,
            c.sd_patients,
            c.n_blocks,
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
        Column("95 % interval, alone", number=True),
        Column("p", wording.probability, True),
        Column("p, adjusted", wording.probability, True),
        Column("sd, seeds", wording.number, True),
        Column("sd, patients", wording.number, True),
        Column("blocks", number=True),
    ]
    return Section(
        "contrasts",
        "Contrasts in full",
        (
            table(columns, rows, label="Contrasts"),
            details("How these were computed", paragraph(_METHOD), class_="method"),
            _checks(evidence),
        ),
    )


def _badge(found: Contrast) -> Html:
    return tag("span", str(found.verdict), class_=f"badge {found.verdict}")


_METHOD = (
    "Each block gives every arm the same training subset, head, batch order and drop-path noise; a difference is the "
    "mean over blocks of arm minus baseline on the sealed test fold. Its variance has two sources: the spread between "
    "blocks (seeds) and what all blocks have in common (patients: DeLong’s influence values, summed for each patient, "
    "products of different blocks). The contrasts of a context are a family, interactions one behind them; "
    "the simultaneous interval holds for all of a family together, by the distribution of max |t|, and reaches to zero "
    "where no claim may be made: the family before found nothing, or AUROC did not tell the arms "
    "apart. Contexts are judged in the declared order, the first with most of the error that the study may make. "
    "Equivalent is an interval within the declared margin. Fewer than five blocks are not tested."
)


def _relative(value: float) -> str:
    return wording.percent(value, sign=True)


def _checks(evidence: Evidence) -> Content:
    """The same contrasts by other methods."""
    columns = [
        Column("contrast"),
        Column("data", wording.share_text),
        Column("metric"),
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
            c.p_superior,
            c.p_sign_flip,
            c.p_equivalence,
            ", ".join(c.lacks),
        )
        for c in evidence.contrasts
    ]
    return details(
        "The same contrasts by sign-flip test, next replicate and equivalence test",
        table(columns, rows, label="Other methods"),
    )


def _three(value: float) -> str:
    return wording.number(value, digits=3)
