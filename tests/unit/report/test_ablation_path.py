import pytest
from simulated_study import SMALL, SPACE, Simulator

from ablate.report.arm import arm_facts
from ablate.report.context import Context
from ablate.report.path import path_facts, path_figure, path_section
from ablate.report.study_record import StudyRecord

TENTH = Context.of({"data_fraction": 0.1})


@pytest.fixture(scope="module")
def walked() -> StudyRecord:
    """A path from fine-tuning alone to both components."""
    space = {name: SPACE[name] for name in ("probe_epochs", "drop_path_rate")}
    components = {
        "lp": {"off": {"probe_epochs": 0}, "on": {"probe_epochs": SPACE["probe_epochs"]}},
        "sd": {"off": {"drop_path_rate": 0.0}, "on": {"drop_path_rate": SPACE["drop_path_rate"]}},
    }
    design = {"kind": "path", "components": components}
    simulator = Simulator(**SMALL, arms=None, contrasts=None, space=space, design=design)
    return StudyRecord.of(simulator.tables())


def test_both_directions_are_walked_through_means(walked: StudyRecord) -> None:
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


def test_another_design_has_no_path(study: StudyRecord) -> None:
    assert path_section(study, arm_facts(study)) is None


def test_a_path_waits_for_all_of_its_arms(walked: StudyRecord) -> None:
    waiting = Simulator(walked.spec, n_records=60, confirmed=0.0).tables()
    assert path_section(StudyRecord.of(waiting), arm_facts(StudyRecord.of(waiting))) is None


def test_a_simulated_path_shows_on_the_page(walked: StudyRecord) -> None:
    section = path_section(walked, arm_facts(walked))
    assert section is not None
    assert len(section.body) == 1 + 4
