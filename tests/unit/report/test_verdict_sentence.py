import math
from dataclasses import replace

import pytest

from ablate.report.context import Context
from ablate.report.evidence import Evidence, weigh
from ablate.report.forest import forest_facts, forest_figure
from ablate.report.verdict import sentence, verdict_facts, verdict_list
from ablate.stats.contrast import Contrast, Verdict
from ablate.store.study_tables import StudyTables
from ablate.study.spec import ContrastSpec

PAIR = ContrastSpec(name="lp - ft", arm="lp", baseline="ft")
BOTH = ContrastSpec(name="lp x sd", combination={"ft": 1.0, "lp": -1.0, "lp_sd": 1.0, "sd": -1.0})
MAIN = ContrastSpec(name="main", combination={"a": 0.5, "b": 0.5, "c": -1.0})


@pytest.fixture(scope="module")
def contrast(evidence: Evidence) -> Contrast:
    return evidence.contrasts[0]


@pytest.mark.parametrize(
    ("entry", "outcome", "difference", "claim"),
    [
        (PAIR, "supported", 0.1, "lp beats ft"),
        (PAIR, "refuted", -0.1, "lp is worse than ft"),
        (PAIR, "equivalent", 0.0, "lp and ft are equal within the margin of ±0.005"),
        (PAIR, "not_established", 0.0, "a difference between lp and ft is not established"),
        (BOTH, "supported", 0.1, "lp x sd: lp_sd gains more than lp and sd add up to"),
        (BOTH, "supported", -0.1, "lp x sd: lp_sd gains less than lp and sd add up to"),
        (MAIN, "supported", -0.1, "main is below zero"),
    ],
)
def test_one_sentence_for_each_verdict(
    contrast: Contrast, entry: ContrastSpec, outcome: str, difference: float, claim: str
) -> None:
    found = replace(contrast, verdict=Verdict(outcome), difference=difference, p_adjusted=0.0004)
    told = sentence(entry, found, None, 0.005, "ft")
    assert told[0] == claim
    assert "adjusted p < 0.001" in told[1]


def test_what_was_not_tested_says_so(contrast: Contrast) -> None:
    untested = replace(contrast, p=math.nan, p_adjusted=math.nan, n_blocks=3)
    _, numbers = sentence(PAIR, untested, untested, 0.005, "ft")
    assert "3 blocks, no test" in numbers
    assert numbers.endswith("(not tested)")


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
    assert points["lp - ft, 10 %"] == pytest.approx(next(c.difference for c in facts.rows if c.name == "lp - ft"))
    assert (drawn.layout.shapes[0].x0, drawn.layout.shapes[0].x1) == (-0.005, 0.005)
