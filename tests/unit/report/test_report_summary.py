from dataclasses import replace

import pytest

from ablate.report.dashboard import board
from ablate.report.evidence import Evidence, weigh
from ablate.report.summary import summary
from ablate.store.study_tables import StudyTables


def test_rows_have_equal_keys_and_the_final_scores(finished: StudyTables, evidence: Evidence) -> None:
    found = summary(evidence)
    assert len(found.rows) == 8
    assert len({tuple(row) for row in found.rows}) == 1
    row = next(row for row in found.rows if (row["arm"], row["data_fraction"]) == ("lp", 0.1))
    slots = finished.slots.set_index("slot_id").join(finished.scores["test_auroc"])
    slots = slots[(slots["arm"] == "lp") & (slots["data_fraction"] == 0.1)]
    assert row["n"] == 5
    assert row["test_auroc_mean"] == pytest.approx(slots["test_auroc"].mean())
    assert len(found.verdicts) == 8
    assert found.notes == ()


def test_what_is_missing_is_noted(going: StudyTables, failed: StudyTables, mixed: StudyTables) -> None:
    assert summary(weigh(going)).notes == ("confirm: 20 of 40 slots are still to be done",)
    assert summary(weigh(failed)).notes == ("confirm: 1 of 40 slots failed: confirm/lp/data_fraction=0.1/3",)
    assert summary(weigh(mixed)).rows == []
    assert "code differs" in summary(weigh(mixed)).notes[0]


def test_the_dashboard_gets_the_same_answers(evidence: Evidence) -> None:
    shown = board(evidence)
    for verdict in summary(evidence).verdicts:
        assert verdict.claim.replace("_", r"\_") in shown.note
    assert {"forest-auroc", "blocks-0-test-auroc", "efficiency-test-auroc"} <= set(shown.figures)
    assert "| lp\\_sd | 10 % of the data | 5 |" in shown.note
    assert "- **lp\\_sd**: " in shown.note
    assert "stand-in" in shown.note
    titles = [figure.layout.title.text for figure in shown.figures.values()]
    assert all(titles)
    assert any("10 % of the data" in title for title in titles)


def test_a_note_cannot_be_made_to_do_anything(finished: StudyTables) -> None:
    spec = {**finished.spec, "question": "<script>x</script> [a](javascript:b)\n# heading"}
    note = board(weigh(replace(finished, spec=spec))).note
    assert "<script>" not in note
    assert "[a](" not in note
    assert note.splitlines()[0].startswith("# &lt;script&gt;")
