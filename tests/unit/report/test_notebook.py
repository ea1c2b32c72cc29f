"""A study in a notebook."""

from dataclasses import replace

import plotly.graph_objects as go
import pytest

from ablate.errors import OptionError
from ablate.report.notebook import Study
from ablate.store.study_tables import StudyTables


@pytest.fixture(scope="module")
def study(finished: StudyTables) -> Study:
    return Study(finished)


def test_a_cell_shows_a_short_summary(study: Study) -> None:
    for shown in (repr(study), study._repr_html_()):
        assert study.name in shown
        assert "trials done" in shown
        assert len(shown) < 3000
    assert all(len(line) < 300 for line in repr(study).splitlines())


def test_a_question_is_text_in_a_cell_never_markup(finished: StudyTables) -> None:
    asked = {**finished.spec, "question": "<script>x</script>"}
    shown = Study(replace(finished, spec=asked))._repr_html_()
    assert "<script" not in shown
    assert "&lt;script" in shown


def test_tables_have_a_column_for_each_factor_and_the_pages_figures(study: Study, finished: StudyTables) -> None:
    for frame in (study.arms, study.contrasts, study.verdicts, study.trials):
        assert "context" not in frame
        assert set(frame["data_fraction"]) == {0.1, 1.0}
    lp = study.arms.query("arm == 'lp' and data_fraction == 0.1 and metric == 'test_auroc'").iloc[0]
    slots = finished.slots.set_index("slot_id").join(finished.scores["test_auroc"])
    own = slots[(slots["arm"] == "lp") & (slots["data_fraction"] == 0.1) & (slots["phase"] == "confirm")]
    assert lp["mean"] == pytest.approx(own["test_auroc"].mean())
    assert len(study.trials) == len(finished.slots)
    assert len(study.verdicts) == 8
    auroc = study.contrasts.query("metric == 'auroc'").set_index(["contrast", "data_fraction"])["verdict"]
    assert study.verdicts.set_index(["contrast", "data_fraction"])["outcome"].to_dict() == auroc.to_dict()
    assert list(study.importances) == ["metric", "context", "parameter", "importance", "ci_low", "ci_high"]


def test_figures_are_titled_and_of_the_context_that_is_asked_for(study: Study) -> None:
    drawn = [study.figures.forest(), study.figures.blocks("auprc"), study.figures.efficiency(), study.figures.curves()]
    assert all(isinstance(figure, go.Figure) and figure.layout.title.text for figure in drawn)
    assert "all of the data" in study.figures.blocks(data_fraction=1.0).layout.title.text.lower()


def test_what_there_is_not_is_one_line(study: Study, searching: StudyTables) -> None:
    with pytest.raises(OptionError, match="metric acc: expected auroc or auprc"):
        study.figures.forest("acc")
    with pytest.raises(OptionError, match="no such context; the study has 10 %"):
        study.figures.blocks(data_fraction=0.3)
    with pytest.raises(OptionError, match="nothing for this figure yet"):
        Study(searching).figures.forest()
