"""Which arm a partial report flatters, and which way."""

import html
import re
from pathlib import Path

import pytest
from simulated_study import Simulator

from ablate.report.document import report_document
from ablate.report.dropped import Lean, dropped_facts, dropped_notes
from ablate.report.evidence import weigh
from ablate.report.page import write_report
from ablate.report.summary import summary
from ablate.store.study_tables import StudyTables

LP, FT = "confirm/lp/data_fraction=0.1/3", "confirm/ft/data_fraction=0.1/2"


def failing(*keys: str, **more: object) -> StudyTables:
    return Simulator(replicates=5, failed=keys, **more).tables()


def test_an_arm_whose_replicate_failed_is_flattered(tmp_path: Path) -> None:
    evidence = weigh(failing(LP), partial=True)
    (one,) = dropped_facts(evidence)
    assert (one.arm, one.context.values, one.n_failed, one.n_planned) == ("lp", {"data_fraction": 0.1}, 1, 5)
    assert one.leans == {"lp - ft": Lean.HIGH, "lp x sd": Lean.LOW}
    (note,) = dropped_notes(evidence)
    assert note == (
        "leaving out the blocks of failed replicates flatters lp with 10 % of the data, 1 of whose 5 failed: "
        "lp - ft is rather too high; lp x sd is rather too low"
    )
    assert note in summary(evidence).notes
    document = report_document(evidence)
    assert note in document.notes
    assert document.dropped[0].leans == {"lp - ft": "too_high", "lp x sd": "too_low"}
    page = (Path(write_report(evidence, tmp_path).page)).read_text()
    assert note[1:] in html.unescape(re.sub(r"<[^>]+>", "", page)).replace("\u00a0", " ")


def test_a_baseline_whose_replicate_failed_makes_differences_too_low() -> None:
    (one,) = dropped_facts(weigh(failing(FT), partial=True))
    assert {one.leans[name] for name in ("sd - ft", "lp - ft", "lp_sd - ft")} == {Lean.LOW}


def test_where_both_arms_failed_no_direction_is_known() -> None:
    by_arm = {one.arm: one.leans for one in dropped_facts(weigh(failing(LP, FT), partial=True))}
    assert by_arm["ft"]["lp - ft"] is by_arm["lp"]["lp - ft"] is Lean.EITHER
    assert by_arm["ft"]["sd - ft"] is Lean.LOW


@pytest.mark.parametrize(
    ("partial", "inference"), [(False, {}), (True, {"failures": "worst"})], ids=["refused", "counted as the worst"]
)
def test_where_no_block_is_left_out_nobody_is_flattered(partial: bool, inference: dict) -> None:
    evidence = weigh(failing(LP, inference=inference), partial=partial)
    assert dropped_facts(evidence) == ()
    assert report_document(evidence).dropped == []
