import math
from dataclasses import replace

import pytest

from ablate.report.context import Context
from ablate.report.evidence import Evidence, weigh
from ablate.report.forest import forest_facts, forest_figure
from ablate.report.study_record import StudyRecord
from ablate.report.verdict import headline, verdict_facts, verdict_list, verdict_sentence
from ablate.stats.contrast import Contrast, Lack, Verdict
from ablate.store.study_tables import StudyTables
from ablate.study.spec import ContrastSpec

PAIR = ContrastSpec(name="lp - ft", arm="lp", baseline="ft")
BOTH = ContrastSpec(name="lp x sd", combination={"ft": 1.0, "lp": -1.0, "lp_sd": 1.0, "sd": -1.0})
MAIN = ContrastSpec(name="head_lr_ratio", combination={"lp": 0.5, "lp_sd": 0.5, "ft": -1.0})
AVERAGED = ContrastSpec(name="lp x sd", combination={"ft": 0.5, "lp": -0.5, "lp_sd": 0.5, "sd": -0.5})
TENTH = Context.of({"data_fraction": 0.1})


@pytest.fixture(scope="module")
def contrast(evidence: Evidence) -> Contrast:
    return evidence.contrasts[0]


@pytest.fixture(scope="module")
def titled(study: StudyRecord) -> StudyRecord:
    titles = {"ft": "fine-tuning alone", "lp": "+ probing", "sd": "+ drop path"}
    return replace(study, spec=study.spec.model_copy(update={"titles": titles}))


@pytest.mark.parametrize(
    ("declared", "outcome", "difference", "claim"),
    [
        (PAIR, "supported", 0.1, "+ probing beats fine-tuning alone"),
        (PAIR, "refuted", -0.1, "+ probing is worse than fine-tuning alone"),
        (PAIR, "equivalent", 0.0, "+ probing and fine-tuning alone differ by less than the margin of ±0.005"),
        (PAIR, "not_established", 0.0, "Whether + probing differs from fine-tuning alone is not established"),
        (PAIR, "not_tested", 0.0, "+ probing against fine-tuning alone is not tested"),
        (BOTH, "supported", 0.1, "probing and drop path together gain more than the sum of each"),
        (BOTH, "supported", -0.1, "probing and drop path together gain less than the sum of each"),
        (MAIN, "supported", -0.1, "The effect of head_lr_ratio is below zero"),
        (MAIN, "not_established", -0.1, "The effect of head_lr_ratio is not established"),
        (
            AVERAGED,
            "supported",
            -0.1,
            "The effect of + probing and + drop path together beyond their sum is below zero",
        ),
    ],
)
def test_one_sentence_for_each_verdict(
    titled: StudyRecord, contrast: Contrast, declared: ContrastSpec, outcome: str, difference: float, claim: str
) -> None:
    answer = replace(contrast, verdict=Verdict(outcome), difference=difference, p_adjusted=0.0004, within_margin=False)
    found = verdict_sentence(titled, declared, TENTH, answer, None)
    assert found.claim == claim
    assert "adjusted p < 0.001" in found.numbers


def test_a_gain_that_does_not_matter_says_both(titled: StudyRecord, contrast: Contrast) -> None:
    small = replace(contrast, verdict=Verdict.SUPPORTED, difference=0.002, within_margin=True)
    found = verdict_sentence(titled, PAIR, TENTH, small, None)
    assert found.claim == "+ probing beats fine-tuning alone, but by less than the margin of ±0.005"


def test_what_was_not_tested_says_so_and_its_interval_is_called_unadjusted(
    titled: StudyRecord, contrast: Contrast
) -> None:
    lacks = {"verdict": Verdict.NOT_TESTED, "lacks": (Lack.BLOCKS,)}
    nothing = dict.fromkeys(("p", "p_adjusted", "simultaneous_low", "simultaneous_high"), math.nan)
    untested = replace(contrast, **nothing, **lacks, n_blocks=3)
    found = verdict_sentence(titled, PAIR, TENTH, untested, untested)
    assert "3 blocks, no test; 95 % of this contrast alone:" in found.numbers
    assert found.numbers.endswith("(no test)")
    assert found.missing == "more blocks"
    assert found.label == "not tested"


def test_no_interval_without_zero_stands_beside_a_verdict_that_is_not_established(evidence: Evidence) -> None:
    for found in verdict_facts(evidence):
        assert found.answer is not None
        (low, high), is_open = found.answer.interval, found.outcome in ("not_established", "equivalent")
        assert (low <= 0 <= high) == is_open


def test_the_headline_is_one_sentence_of_what_is_decided(evidence: Evidence, going: StudyTables) -> None:
    verdicts = verdict_facts(evidence)
    text = headline(evidence.study, verdicts)
    assert text.startswith("lp and lp_sd beat ft with 10 % of the data; lp and sd together")
    n_left = sum(not v.is_decided for v in verdicts)
    assert text.endswith(f"{n_left} of 8 comparisons are not established.")
    waiting = weigh(going)
    assert headline(waiting.study, verdict_facts(waiting)).startswith(
        "No answer yet in 8 comparisons: 4 of its 10 slots"
    )


def test_a_verdict_for_every_contrast_and_context(evidence: Evidence) -> None:
    verdicts = verdict_facts(evidence)
    assert len(verdicts) == 8
    assert {v.outcome for v in verdicts} <= {"supported", "refuted", "equivalent", "not_established"}
    beaten = {
        v.contrast for v in verdicts if v.context == Context.of({"data_fraction": 0.1}) and v.outcome == "supported"
    }
    assert {"lp - ft", "lp_sd - ft"} <= beaten


def test_equal_reasons_are_told_once(going: StudyTables) -> None:
    shown = verdict_list(verdict_facts(weigh(going)))
    assert shown.count("<li>") == len({u.reason for u in weigh(going).unanswered})


def test_the_forest_shows_interval_and_margin(evidence: Evidence) -> None:
    facts = forest_facts(evidence, metric="auroc")
    assert len(facts.rows) == 8
    assert facts.margin == 0.005
    drawn = forest_figure(facts)
    points = {label: x for trace in drawn.data for label, x in zip(trace.y, trace.x, strict=True)}
    assert points["lp, 10\u00a0%"] == pytest.approx(next(c.difference for c in facts.rows if c.name == "lp - ft"))
    assert (drawn.layout.shapes[0].x0, drawn.layout.shapes[0].x1) == (-0.005, 0.005)
