"""The published table stands on the page where an arm has one of its encoders on the same task, and only there."""

import pytest
from simulated_study import Simulator, simulated_spec

from ablate.report.arm import arm_facts
from ablate.report.evidence import weigh
from ablate.report.literature import Beside, literature_facts, literature_section
from ablate.report.study_record import StudyRecord
from ablate.study.spec import Spec


def facts_of(encoder: str, source: str = "ptbxl") -> tuple[Beside, ...]:
    document = simulated_spec(budget={"search_trials": 1, "replicates": 5}).document()
    document["encoder"] = {"name": encoder, "weights": "random"}
    document["data"] = {"source": source, "task": "superdiagnostic"} | (
        {"n_records": 400} if source == "synthetic" else {}
    )
    tables = Simulator(Spec.from_document(document), n_records=100).tables()
    study = StudyRecord.of(tables)
    arms = arm_facts(study, weigh(tables))
    facts = literature_facts(study, arms)
    assert (literature_section(study, arms) is None) == (not facts)
    return facts


def test_an_encoder_of_the_table_stands_beside_its_published_figure() -> None:
    rows = facts_of("xresnet1d101")
    ours = [row for row in rows if row.arm]
    assert {row.model for row in ours} == {"xresnet1d101 (supervised)"}
    assert {row.published for row in ours} == {0.928}
    assert all(row.measured is not None and "100 Hz" in row.differs for row in ours)
    assert {row.model: row.published for row in rows}["ECG-CPC"] == 0.9336


@pytest.mark.parametrize(("encoder", "source"), [("net1d_small", "ptbxl"), ("xresnet1d101", "synthetic")])
def test_another_encoder_or_other_records_have_no_table(encoder: str, source: str) -> None:
    assert not facts_of(encoder, source)
