"""Verdicts: one sentence for each contrast in each context."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from ablate.report import wording
from ablate.report.context import Context
from ablate.report.evidence import Evidence
from ablate.report.markup import Content, Html, markup, paragraph, tag
from ablate.report.study_record import arm_and_baseline, interaction
from ablate.stats.contrast import Contrast
from ablate.study.spec import ContrastSpec


@dataclass(frozen=True)
class VerdictSentence:
    """One declared contrast in one context, in words.

    Attributes:
        outcome: supported, refuted, equivalent, not_established, not_tested, open or refused.
        claim: what the data say; ``numbers`` that carry it, or the reason why there is no answer.
    """

    contrast: str
    context: Context
    outcome: str
    claim: str
    numbers: str

    @property
    def sentence(self) -> str:
        """Both."""
        return f"{self.claim}. {self.numbers}."


def verdict_facts(evidence: Evidence) -> tuple[VerdictSentence, ...]:
    """A sentence for every contrast and context, answered or not."""
    study = evidence.study
    answered = {(Context.of(c.context), c.name, c.metric): c for c in evidence.contrasts}
    unanswered = {(u.context, u.contrast): u for u in evidence.unanswered}
    verdicts = []
    for context, contrast in product(study.contexts, study.contrasts):
        name = contrast.name
        silence = unanswered.get((context, name))
        if silence is not None:
            outcome = "refused" if silence.is_refused else "open"
            verdicts.append(VerdictSentence(name, context, outcome, name, silence.reason))
            continue
        auroc, auprc = answered[context, name, "auroc"], answered.get((context, name, "auprc"))
        text = sentence(contrast, auroc, auprc, study.margin.auroc, study.baseline)
        verdicts.append(VerdictSentence(name, context, str(auroc.verdict), *text))
    return tuple(verdicts)


def sentence(
    declared: ContrastSpec, auroc: Contrast, auprc: Contrast | None, margin: float, baseline: str | None
) -> tuple[str, str]:
    """What the data say of one contrast: the claim, and the numbers that carry it."""
    test = f"{auroc.n_blocks} blocks, no test" if wording.missing(auroc.p) else f"adjusted p {_equal(auroc.p_adjusted)}"
    interval = wording.interval(*auroc.interval, sign=True)
    numbers = f"AUROC {wording.signed(auroc.difference)} (95 %: {interval}, {test})"
    return _subject(declared, auroc, margin, baseline), numbers + _second(auprc)


def _subject(declared: ContrastSpec, answer: Contrast, margin: float, neither: str | None) -> str:
    within = f"within the margin of ±{margin:g}"
    pair, parts = arm_and_baseline(declared), interaction(declared, neither=neither)
    side = int(answer.difference > 0)
    if pair is not None:
        arm, baseline = pair
        return {
            "supported": f"{arm} beats {baseline}",
            "refuted": f"{arm} is worse than {baseline}",
            "equivalent": f"{arm} and {baseline} are equal {within}",
            "not_established": f"a difference between {arm} and {baseline} is not established",
            "not_tested": f"{arm} and {baseline} are not tested",
        }[str(answer.verdict)]
    if parts is not None:
        both, first, second = parts
        text = {
            "supported": f"{both} gains {('less', 'more')[side]} than {first} and {second} add up to",
            "equivalent": f"{both} gains what {first} and {second} add up to, {within}",
            "not_established": f"a difference between {both} and the sum of {first} and {second} is not established",
            "not_tested": f"{both} and the sum of {first} and {second} are not tested",
        }[str(answer.verdict)]
        return f"{declared.name}: {text}"
    text = {
        "supported": f"is {('below', 'above')[side]} zero",
        "equivalent": f"is zero {within}",
        "not_established": "is not established to differ from zero",
        "not_tested": "is not tested",
    }[str(answer.verdict)]
    return f"{declared.name} {text}"


def _equal(p: float) -> str:
    text = wording.probability(p)
    return text if text.startswith("<") else f"= {text}"


def _second(auprc: Contrast | None) -> str:
    if auprc is None:
        return ""
    tested = "not tested" if wording.missing(auprc.p) else f"adjusted p {_equal(auprc.p_adjusted)}"
    return f"; AUPRC {wording.signed(auprc.difference)} ({tested})"


def verdict_list(verdicts: Sequence[VerdictSentence]) -> Html:
    """The sentences, answered ones by context, the others once for each reason."""
    blocks: list[Content] = []
    answered = [v for v in verdicts if v.outcome not in UNANSWERED]
    for context in dict.fromkeys(v.context for v in answered):
        if context.factors:
            blocks.append(paragraph(f"With {wording.context_text(context)}", class_="context"))
        rows = [_row(v.outcome, v.claim, v.numbers) for v in answered if v.context == context]
        blocks.append(tag("ul", rows, class_="verdicts"))
    waiting = [v for v in verdicts if v.outcome in UNANSWERED]
    if waiting:
        blocks.append(tag("ul", _waiting(waiting), class_="verdicts"))
    return markup(blocks)


UNANSWERED = ("open", "refused")


def _row(outcome: str, claim: str, numbers: str) -> Html:
    told = tag("span", tag("b", claim, ". "), tag("span", _unbroken(numbers), ".", class_="numbers"))
    return tag("li", tag("span", outcome, class_=f"badge {outcome}"), told)


def _waiting(verdicts: Sequence[VerdictSentence]) -> list[Html]:
    """One row for all contrasts that lack a verdict for the same reason."""
    rows = []
    for outcome, reason in dict.fromkeys((v.outcome, v.numbers) for v in verdicts):
        inside = [v for v in verdicts if (v.outcome, v.numbers) == (outcome, reason)]
        names, contexts = (
            list(dict.fromkeys(values)) for values in zip(*((v.claim, v.context) for v in inside), strict=True)
        )
        where = [wording.context_text(context) for context in contexts if context.factors]
        if len(inside) < len(names) * len(contexts):
            names = [f"{v.claim} with {wording.context_text(v.context)}" for v in inside]
            where = []
        claim = wording.listing(names, most=12) + (f", with {wording.listing(where)}" if where else "")
        rows.append(_row(outcome, claim, reason[:1].upper() + reason[1:]))
    return rows


def _unbroken(numbers: str) -> str:
    """No line ends within a p-value or before a percent sign."""
    for sign in (" p ", "(p ", " <", "= ", "< ", " %"):
        numbers = numbers.replace(sign, sign.replace(" ", "\u00a0"))
    return numbers
