from dataclasses import replace

import pytest

from ablate.report.arm import arm_facts
from ablate.report.path import path_facts, path_figure, path_section
from ablate.store.study_tables import StudyTables

TENTH = '{"data_fraction": 0.1}'


@pytest.fixture(scope="module")
def walked(finished: StudyTables) -> StudyTables:
    """The same study as a path design: its arms are named by the components that are on."""
    names = {"ft": "baseline", "sd": "sd", "lp": "lp", "lp_sd": "lp+sd"}
    off = {"low": 0, "high": 0}
    components = {"lp": {"off": {"probe_epochs": off}, "on": {}}, "sd": {"off": {"drop_path_rate": off}, "on": {}}}
    spec = {**finished.spec, "arms": {names[arm]: {} for arm in finished.spec["arms"]}, "contrasts": []}
    spec["design"] = {"kind": "path", "components": components}
    seal = {**(finished.seal or {}), "contrasts": []}
    return replace(finished, spec=spec, seal=seal, slots=finished.slots.assign(arm=finished.slots["arm"].map(names)))


def test_both_directions_are_walked_through_means(walked: StudyTables) -> None:
    arms = arm_facts(walked)
    facts = path_facts(walked, arms, context=TENTH, column="test_auroc")
    assert facts is not None
    forward = facts.steps["forward"]
    assert [step.arm for step in forward] == ["lp", "lp+sd"]
    assert forward[0].change == pytest.approx(
        arms.score("lp", TENTH, "test_auroc").mean - arms.score("baseline", TENTH, "test_auroc").mean
    )
    assert facts.start["backward"] == forward[-1].score
    assert [len(trace.x) for trace in path_figure(facts).data] == [3, 3]


def test_another_design_has_no_path(finished: StudyTables) -> None:
    assert path_section(finished, arm_facts(finished)) is None


def test_a_path_waits_for_all_of_its_arms(searching: StudyTables, walked: StudyTables) -> None:
    waiting = replace(searching, spec=walked.spec)
    assert path_section(waiting, arm_facts(waiting)) is None


def test_a_simulated_path_shows_on_the_page(walked: StudyTables) -> None:
    section = path_section(walked, arm_facts(walked))
    assert section is not None
    assert len(section.body) == 1 + 4
