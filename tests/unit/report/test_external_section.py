from dataclasses import replace

import numpy as np

from ablate.report.evidence import Evidence, weigh
from ablate.report.external import external_evidence, external_section
from ablate.report.section import render
from ablate.store.study_tables import StudyTables


def test_without_external_records_there_is_no_section(evidence: Evidence) -> None:
    assert external_section(evidence) is None


def test_contrasts_of_the_external_records_are_their_own(finished: StudyTables, evidence: Evidence) -> None:
    """The first third of the test fold as another collection: its contrasts are those of a study of these records."""
    test = finished.test
    assert test is not None
    kept = np.arange(len(test.labels)) < len(test.labels) // 3
    part = replace(test, ecg_id=test.ecg_id[kept], patient_id=test.patient_id[kept], labels=test.labels[kept])

    def read(slot_id: int, split: str) -> np.ndarray:
        own = finished.read_probabilities(slot_id, "test")
        return own[kept] if split == "external" else finished.read_probabilities(slot_id, split)

    with_external = weigh(replace(finished, external=part, read_probabilities=read))
    expected = weigh(replace(finished, test=part, read_probabilities=lambda slot_id, _: read(slot_id, "external")))
    external = external_evidence(with_external)
    assert external is not None
    assert [c.difference for c in external.contrasts] == [c.difference for c in expected.contrasts]
    assert [c.verdict for c in with_external.contrasts] == [c.verdict for c in evidence.contrasts]
    section = external_section(with_external)
    assert section is not None
    assert f"{kept.sum()} records" in render(section)
    assert "they change no verdict" in render(section)
