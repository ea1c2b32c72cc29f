import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ablate.report import theme
from ablate.report.context import Context
from ablate.report.landscape import contour_figure, slice_figure
from ablate.report.search import SearchTrial, pareto_front, search_facts
from ablate.report.study_record import StudyRecord
from ablate.store.study_tables import StudyTables

TENTH = Context.of({"data_fraction": 0.1})
points = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=30)


@given(points)
def test_the_front_is_what_no_other_beats(pairs: list[tuple[int, int]]) -> None:
    trials = [SearchTrial(str(k), "a", k, float(a), float(b), {}, k + 1) for k, (a, b) in enumerate(pairs)]
    front = {(pairs[int(key)]) for key in pareto_front(trials)}
    beaten = {p for p in pairs if any(q[0] >= p[0] and q[1] >= p[1] and q != p for q in pairs)}
    assert front == set(pairs) - beaten


def test_the_best_so_far_only_rises(study: StudyRecord) -> None:
    facts = search_facts(study, context=TENTH)
    assert len(facts.trials) == 4 * 4
    for arm in facts.arms:
        values = [t.score for t in facts.trials if t.arm == arm]
        assert facts.best[arm] == tuple(np.maximum.accumulate(values))


def test_a_slice_shows_the_arms_that_have_the_parameter(study: StudyRecord) -> None:
    drawn = slice_figure(search_facts(study, context=TENTH), param="probe_lr")
    assert {trace.name: len(trace.x) for trace in drawn.data} == {"ft": 0, "sd": 0, "lp": 4, "lp_sd": 4}


def test_a_contour_stays_within_the_scores(searched: StudyTables) -> None:
    facts = search_facts(StudyRecord.of(searched), context=Context())
    drawn = contour_figure(facts, x="ft_lr", y="drop_path_rate")
    assert drawn is not None
    scores = [t.score for t in facts.trials]
    assert min(scores) <= np.min(drawn.data[0].z) <= np.max(drawn.data[0].z) <= max(scores)


def test_too_few_trials_make_no_contour(searching: StudyTables) -> None:
    facts = search_facts(StudyRecord.of(searching), context=TENTH)
    assert contour_figure(facts, x="probe_lr", y="ft_lr") is None


def test_scales_fit_their_values() -> None:
    assert theme.scale_type([1e-4, 1e-2]) == "log"
    assert theme.scale_type([0, 0.5]) == "linear"
    assert theme.scale_type(["linear", "constant"]) == "category"
    assert set(theme.scale("lr", [1e-4, 3e-3])["ticktext"]) >= {"0.0001", "0.001"}
