"""Records that moved most between two arms."""

from dataclasses import replace

import numpy as np
import pytest

from ablate.ecg.synthetic import Synthetic
from ablate.report.evidence import Evidence, weigh
from ablate.report.moved_record import moved_facts, moved_section
from ablate.report.section import Picture, render
from ablate.store.slot import SlotState
from ablate.store.study_tables import StudyTables


def test_the_records_are_those_whose_own_class_moved_most(evidence: Evidence, finished: StudyTables) -> None:
    facts = moved_facts(evidence)
    assert facts is not None
    assert finished.test is not None
    assert (facts.arm, facts.baseline, facts.context.data_fraction, facts.n_blocks) == ("lp", "ft", 0.1, 5)
    slots = finished.slots[(finished.slots["phase"] == "confirm") & (finished.slots["data_fraction"] == 0.1)]
    mean = {
        arm: np.mean([finished.probabilities(slot) for slot in slots.loc[slots["arm"] == arm, "slot_id"]], axis=0)
        for arm in ("lp", "ft")
    }
    gains = np.where(finished.test.labels, mean["lp"] - mean["ft"], np.nan)
    assert len({record.ecg_id for record in facts.records}) == 4
    assert facts.records[0].gain == pytest.approx(np.nanmax(gains), abs=1e-6)
    assert facts.records[-1].gain == pytest.approx(np.nanmin(gains), abs=1e-6)
    row = int(np.flatnonzero(finished.test.ecg_id == facts.records[0].ecg_id)[0])
    assert finished.test.labels[row, finished.test.classes.index(facts.records[0].class_name)]


def test_their_ecgs_stand_with_both_probabilities_where_the_records_are_here(evidence: Evidence) -> None:
    section, facts = moved_section(evidence, Synthetic(n_records=200, seed=1)), moved_facts(evidence)
    assert section is not None
    assert facts is not None
    pictures = [part for part in section.body if isinstance(part, Picture)]
    assert [len(picture.figure.data) for picture in pictures] == [13] * 4  # twelve leads and the rhythm strip
    first = facts.records[0]
    assert f"ft {first.before:.2f}, lp {first.after:.2f}" in pictures[0].title
    assert f"Record {first.ecg_id}" in render(section)
    assert moved_section(evidence, None) is None


def test_records_that_cannot_be_read_cost_no_page(evidence: Evidence) -> None:
    section = moved_section(replace(evidence), Synthetic(n_records=2, seed=1))
    assert section is not None
    assert "They cannot be drawn: synthetic: there is no record" in render(section)


def test_without_an_answer_no_record_is_shown(going: StudyTables, evidence: Evidence) -> None:
    assert moved_facts(weigh(going)) is None
    assert moved_facts(replace(evidence, contrasts=())) is None


def test_without_a_block_that_both_arms_finished_no_record_is_shown(evidence: Evidence) -> None:
    study = evidence.study
    lost = (study.slots["phase"] == "confirm") & (study.slots["arm"] != "ft")
    states = study.slots["state"].mask(lost, SlotState.FAILED)
    assert moved_facts(replace(evidence, study=replace(study, slots=study.slots.assign(state=states)))) is None
