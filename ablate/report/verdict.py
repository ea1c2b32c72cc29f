"""Verdicts: one sentence for each contrast in each context, and one for the whole question."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from ablate.report import wording
from ablate.report.context import Context
from ablate.report.evidence import Evidence
from ablate.report.markup import Content, Html, markup, paragraph, tag
from ablate.report.study_record import StudyRecord, arm_and_baseline, interaction
from ablate.stats.contrast import Contrast, Lack, Verdict
from ablate.study.spec import ContrastSpec

OPEN, REFUSED = "open", "refused"  # outcomes of contrasts without an answer, beside the codes of ``Verdict``
LABELS = {str(verdict): str(verdict).replace("_", " ") for verdict in Verdict} | {OPEN: OPEN, REFUSED: REFUSED}
_MISSING = {
    Lack.BLOCKS: "more blocks",
    Lack.PATIENTS: "more test patients, since no number of blocks can settle it on this test fold",
    Lack.SEARCH: "a settled search of its arms",
    Lack.GATE: "a finding in the family or by the metric that comes first",
}
_MOST_PHRASES = 2  # in the headline


@dataclass(frozen=True)
class VerdictSentence:
    """One declared contrast in one context, in words.

    Attributes:
        outcome: supported, refuted, equivalent, not_established, not_tested, open or refused.
        claim: what the data say; ``numbers`` that carry it, or the reason why there is no answer.
        missing: what a verdict that is not established or not tested takes; empty for others.
        answer, second: by AUROC and by AUPRC; None where there is no answer.
    """

    contrast: str
    context: Context
    outcome: str
    claim: str
    numbers: str
    missing: str = ""
    answer: Contrast | None = None
    second: Contrast | None = None

    @property
    def label(self) -> str:
        """The outcome as people read it."""
        return LABELS[self.outcome]

    @property
    def is_decided(self) -> bool:
        """Whether the claim stands or falls."""
        return self.answer is not None and self.answer.is_decided

    @property
    def sentence(self) -> str:
        """All of it."""
        missing = f" Missing: {self.missing}." if self.missing else ""
        return f"{self.claim}. {self.numbers}.{missing}"


def verdict_facts(evidence: Evidence) -> tuple[VerdictSentence, ...]:
    """A sentence for every contrast and context, answered or not."""
    study = evidence.study
    answered = {(Context.of(c.context), c.name, c.metric): c for c in evidence.contrasts}
    unanswered = {(u.context, u.contrast): u for u in evidence.unanswered}
    verdicts = []
    for context, contrast in product(study.contexts, study.contrasts):
        name = contrast.name
        silence = unanswered.get((context, name))
        if silence is None:
            auroc, auprc = answered[context, name, "auroc"], answered.get((context, name, "auprc"))
            verdicts.append(verdict_sentence(study, contrast, context, auroc, auprc))
            continue
        outcome = REFUSED if silence.is_refused else OPEN
        verdicts.append(VerdictSentence(name, context, outcome, contrast_title(study, contrast), silence.reason))
    return tuple(verdicts)


def verdict_sentence(
    study: StudyRecord, declared: ContrastSpec, context: Context, auroc: Contrast, auprc: Contrast | None
) -> VerdictSentence:
    """What the data say of one contrast that has an answer."""
    return VerdictSentence(
        declared.name,
        context,
        str(auroc.verdict),
        _claim(study, declared, auroc),
        _numbers(auroc) + (f"; {_second(auprc)}" if auprc else ""),
        wording.listing([_MISSING[lack] for lack in auroc.lacks]),
        auroc,
        auprc,
    )


def contrast_title(study: StudyRecord, declared: ContrastSpec) -> str:
    """A contrast by the titles of what it compares; against the study's baseline that of the arm alone."""
    spec, pair, parts = study.spec, arm_and_baseline(declared), interaction(declared, neither=study.baseline)
    if pair is not None:
        arm, baseline = (spec.title(name) for name in pair)
        return arm if pair[1] == study.baseline else f"{arm} against {baseline}"
    if parts is not None:
        return f"{spec.title(parts[0])}, beyond the sum of each"
    return _effect_title(study, declared)


def _effect_title(study: StudyRecord, declared: ContrastSpec) -> str:
    """Of an effect that a design declares: a component's own, or for ``a x b`` that of a pair beyond its sum."""
    titles = study.spec.titles
    pair = declared.name.split(" x ")
    if len(pair) == 2 and titles.keys() >= set(pair):
        return f"{wording.listing([titles[name] for name in pair])} together beyond their sum"
    return titles.get(declared.name, declared.name)


def _together(study: StudyRecord, parts: tuple[str, str, str]) -> str:
    return wording.listing([study.spec.title(arm).removeprefix("+ ") for arm in parts[1:]])


def _claim(study: StudyRecord, declared: ContrastSpec, answer: Contrast) -> str:
    margin = f"the margin of ±{answer.margin:g}"
    small = f", but by less than {margin}" if answer.within_margin else ""
    spec, pair = study.spec, arm_and_baseline(declared)
    parts, side = interaction(declared, neither=study.baseline), int(answer.difference > 0)
    if pair is not None:
        arm, baseline = (spec.title(name) for name in pair)
        return {
            Verdict.SUPPORTED: f"{arm} beats {baseline}{small}",
            Verdict.REFUTED: f"{arm} is worse than {baseline}{small}",
            Verdict.EQUIVALENT: f"{arm} and {baseline} differ by less than {margin}",
            Verdict.NOT_ESTABLISHED: f"Whether {arm} differs from {baseline} is not established",
            Verdict.NOT_TESTED: f"{arm} against {baseline} is not tested",
        }[answer.verdict]
    if parts is not None:
        together = f"{_together(study, parts)} together"
        return {
            Verdict.SUPPORTED: f"{together} gain {('less', 'more')[side]} than the sum of each{small}",
            Verdict.REFUTED: f"{together} gain less than the sum of each{small}",
            Verdict.EQUIVALENT: f"{together} gain the sum of each, within {margin}",
            Verdict.NOT_ESTABLISHED: f"Whether {together} gain the sum of each is not established",
            Verdict.NOT_TESTED: f"{together} against the sum of each is not tested",
        }[answer.verdict]
    effect = f"The effect of {_effect_title(study, declared)}"
    return {
        Verdict.SUPPORTED: f"{effect} is {('below', 'above')[side]} zero{small}",
        Verdict.REFUTED: f"{effect} is below zero{small}",
        Verdict.EQUIVALENT: f"{effect} is smaller than {margin}",
        Verdict.NOT_ESTABLISHED: f"{effect} is not established",
        Verdict.NOT_TESTED: f"{effect} is not tested",
    }[answer.verdict]


def simultaneous(answer: Contrast) -> str:
    """The interval that holds for a whole family together; none where nothing is tested."""
    return wording.interval(answer.simultaneous_low, answer.simultaneous_high, sign=True)


def _numbers(answer: Contrast) -> str:
    """Estimate, the interval that stands with the verdict, and the test."""
    name = f"{wording.METRIC_NAMES[answer.metric]} {wording.signed(answer.difference)}"
    if not answer.is_tested:
        alone = wording.interval(answer.ci_low, answer.ci_high, sign=True)
        return f"{name} ({answer.n_blocks} blocks, no test; 95 % of this contrast alone: {alone})"
    return f"{name} (simultaneous 95 %: {simultaneous(answer)}, adjusted p {_equal(answer.p_adjusted)})"


def _second(answer: Contrast) -> str:
    """The same in short, for the metric that stands behind the first."""
    name = f"{wording.METRIC_NAMES[answer.metric]} {wording.signed(answer.difference)}"
    if not answer.is_tested:
        return f"{name} (no test)"
    return f"{name} ({simultaneous(answer)}, p {_equal(answer.p_adjusted)})"


def _capital(text: str, *, names: Sequence[str]) -> str:
    """With a capital, unless it begins with an arm's name."""
    begins_with_name = text.split(maxsplit=1)[0].rstrip(",;") in names
    return text if begins_with_name else text[:1].upper() + text[1:]


def _equal(p: float) -> str:
    text = wording.probability(p)
    return text if text.startswith("<") else f"= {text}"


def headline(study: StudyRecord, verdicts: Sequence[VerdictSentence]) -> str:
    """One sentence for the question: what is decided, and how much is not."""
    answered = [v for v in verdicts if v.answer is not None]
    decided = [v for v in answered if v.is_decided]
    of_all = f"{len(verdicts)} comparisons" if len(verdicts) > 1 else "the one comparison"
    if not verdicts:
        return ""
    if not answered:
        return f"No answer yet in {of_all}: {verdicts[0].numbers}."
    if not decided:
        missing = next((f"; missing: {v.missing}" for v in answered if v.missing), "")
        return f"Nothing is established yet in {of_all}{missing}."
    phrases = _phrases(study, decided)
    n_more = max(len(phrases) - _MOST_PHRASES, 0)
    more = [f"{n_more} more {'is' if n_more == 1 else 'are'} decided"] if n_more else []
    n_left = len(verdicts) - len(decided)
    left = [f"{n_left} of {of_all} {'is' if n_left == 1 else 'are'} not established"] if n_left else []
    text = "; ".join([*phrases[:_MOST_PHRASES], *more, *left])
    return f"{_capital(text, names=study.arms)}."


def _phrases(study: StudyRecord, decided: Sequence[VerdictSentence]) -> list[str]:
    """What is decided, each claim with all of its contexts; arms that beat the same baseline there in one phrase."""
    pairs = {contrast.name: arm_and_baseline(contrast) for contrast in study.contrasts}
    phrases: dict[tuple[str, tuple[Context, ...]], list[str]] = {}
    for claim, verdict in {v.claim: v for v in decided}.items():
        contexts, pair = tuple(v.context for v in decided if v.claim == claim), pairs[verdict.contrast]
        is_plain = verdict.outcome == Verdict.SUPPORTED and not (verdict.answer and verdict.answer.within_margin)
        if pair is not None and is_plain:
            phrases.setdefault((study.spec.title(pair[1]), contexts), []).append(study.spec.title(pair[0]))
        else:
            phrases[claim, contexts] = []
    return [_phrase(what, contexts, arms) for (what, contexts), arms in phrases.items()]


def _phrase(what: str, contexts: Sequence[Context], arms: list[str]) -> str:
    where = [wording.context_text(context) for context in contexts if context.factors]
    claim = f"{wording.listing(arms)} {'beats' if len(arms) == 1 else 'beat'} {what}" if arms else what
    return f"{claim} with {wording.listing(where)}" if where else claim


def verdict_list(verdicts: Sequence[VerdictSentence]) -> Html:
    """The sentences, answered ones by context, the others once for each reason."""
    blocks: list[Content] = []
    answered = [v for v in verdicts if v.answer is not None]
    for context in dict.fromkeys(v.context for v in answered):
        if context.factors:
            blocks.append(paragraph(f"With {wording.context_text(context)}", class_="context"))
        rows = [_row(v.outcome, v.claim, v.numbers, v.missing) for v in answered if v.context == context]
        blocks.append(tag("ul", rows, class_="verdicts"))
    waiting = [v for v in verdicts if v.answer is None]
    if waiting:
        blocks.append(tag("ul", _waiting(waiting), class_="verdicts"))
    return markup(blocks)


def _row(outcome: str, claim: str, numbers: str, missing: str = "") -> Html:
    lacking = tag("span", " Missing: ", missing, ".", class_="missing") if missing else None
    words = tag("span", tag("b", claim, ". "), tag("span", _unbroken(numbers), ".", class_="numbers"), lacking)
    return tag("li", badge(outcome), words)


def badge(outcome: str) -> Html:
    """An outcome with its sign."""
    return tag("span", LABELS[outcome], class_=f"badge {outcome}")


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
