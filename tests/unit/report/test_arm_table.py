import math

import numpy as np
import pytest
from scipy import stats

from ablate.report.arm import arm_facts, arm_section
from ablate.report.block import block_facts, block_figure
from ablate.report.context import Context
from ablate.report.efficiency import efficiency_facts, efficiency_figure
from ablate.report.evidence import Evidence
from ablate.report.section import render
from ablate.report.study_record import StudyRecord
from ablate.store.study_tables import StudyTables

TENTH, WHOLE = Context.of({"data_fraction": 0.1}), Context.of({"data_fraction": 1.0})


def scores(tables: StudyTables, arm: str, column: str) -> np.ndarray:
    slots = tables.slots[(tables.slots["phase"] == "confirm") & (tables.slots["arm"] == arm)]
    slots = slots[(slots["data_fraction"] == 0.1) & (slots["state"] == "done")]
    return tables.scores.loc[slots["slot_id"], column].to_numpy()


def test_mean_spread_and_interval_of_an_arm(study: StudyRecord) -> None:
    found, values = arm_facts(study).score("lp", TENTH, "val_auroc"), scores(study.tables, "lp", "val_auroc")
    assert (found.n, found.mean, found.sd) == (5, pytest.approx(values.mean()), pytest.approx(values.std(ddof=1)))
    assert (found.low, found.high) == pytest.approx(stats.t.interval(0.95, 4, values.mean(), stats.sem(values)))


def test_test_intervals_hold_the_patients_too(study: StudyRecord, evidence: Evidence) -> None:
    alone, both = (arm_facts(study, given).score("lp", TENTH, "test_auroc") for given in (None, evidence))
    assert both.with_patients
    assert both.high - both.low > alone.high - alone.low
    assert both.mean == alone.mean


def test_search_values_never_enter_a_table_of_replicates(study: StudyRecord, searching: StudyTables) -> None:
    assert arm_facts(study).phase == "confirm"
    begun = StudyRecord.of(searching)
    found = arm_facts(begun)
    assert found.phase == "search"
    assert found.columns == ("val_auroc", "val_auprc")
    assert "ranks nothing" in render(arm_section(begun, found))


def test_an_arm_without_a_score_has_none(untouched: StudyTables) -> None:
    found = arm_facts(StudyRecord.of(untouched))
    assert found.columns == ()
    assert math.isnan(found.score("ft", TENTH, "val_auroc").mean)


def test_a_block_keeps_a_gap_where_its_slot_failed(failed: StudyTables) -> None:
    facts = block_facts(StudyRecord.of(failed), context=TENTH, column="test_auroc")
    row = facts.values[facts.blocks.index(3)]
    assert [math.isnan(value) for value in row] == [arm == "lp" for arm in facts.arms]
    assert block_figure(facts).data[0].connectgaps is False


def test_efficiency_needs_two_fractions(study: StudyRecord, searched: StudyTables) -> None:
    facts = efficiency_facts(arm_facts(study), column="test_auroc")
    assert facts is not None
    assert facts.fractions == (0.1, 1.0)
    assert [trace.name for trace in efficiency_figure(facts).data] == ["ft", "sd", "lp", "lp_sd"]
    assert efficiency_facts(arm_facts(StudyRecord.of(searched)), column="val_auroc") is None
