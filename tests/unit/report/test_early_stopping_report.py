"""What the page and the files say of early stopping."""

from pathlib import Path

import pandas as pd
import pytest
from scipy import stats
from simulated_study import Simulator

from ablate.report.context import Context
from ablate.report.early_stopping import rung_facts
from ablate.report.evidence import weigh
from ablate.report.importance_pool import pools
from ablate.report.page import write_report
from ablate.report.search import history_figure, search_facts
from ablate.report.study_record import StudyRecord
from ablate.store.study_tables import StudyTables

CONTEXT = Context.of({"data_fraction": 0.1})
STOPPED = {"search/ft/data_fraction=0.1/4": 1, "search/ft/data_fraction=0.1/6": 3, "search/lp/data_fraction=0.1/7": 1}


@pytest.fixture(scope="module")
def study() -> StudyRecord:
    early = {"early_stopping": {"eta": 3, "first_rung": 1}}
    small = {"n_records": 80, "n_classes": 4, "replicates": 2, "fractions": (0.1,)}
    return StudyRecord.of(Simulator(**small, stopped=STOPPED, search=early).tables())


def test_each_rung_tells_who_came_who_went_and_what_was_saved(study: StudyRecord) -> None:
    facts = rung_facts(study)
    assert (facts.is_on, facts.n_trials, facts.n_stopped) == (True, 32, 3)
    assert facts.saved_s == pytest.approx((7 + 5 + 7) * 0.5)  # epochs of half a second that were not run
    ft = {rung.epoch: rung for rung in facts.rungs if rung.arm == "ft"}
    assert {epoch: (r.n_reached, r.n_stopped, r.n_whole) for epoch, r in ft.items()} == {1: (8, 1, 6), 3: (7, 1, 6)}


def test_the_rank_correlation_is_between_the_rung_and_the_end_of_those_that_ran_there(study: StudyRecord) -> None:
    [rung] = [r for r in rung_facts(study).rungs if (r.arm, r.epoch) == ("ft", 3)]
    slots = study.slots
    ft = slots[(slots["arm"] == "ft") & (slots["phase"] == "search") & slots["stopped_epoch"].isna()]
    epochs = study.tables.epochs[(study.tables.epochs["stage"] == "finetune") & (study.tables.epochs["epoch"] == 3)]
    early = epochs.set_index("slot_id")["val_auroc"].reindex(ft.index)
    last = study.tables.scores["val_auroc"].reindex(ft.index)
    assert rung.spearman == pytest.approx(stats.spearmanr(early, last).statistic)
    assert rung.kendall == pytest.approx(stats.kendalltau(early, last).statistic)


def test_a_stopped_trial_counts_as_done_and_in_nothing_that_compares_scores(study: StudyRecord) -> None:
    facts = search_facts(study, context=CONTEXT)
    assert {trial.key for trial in facts.stopped} == set(STOPPED)
    assert len(facts.trials) == 32 - 3
    assert not set(STOPPED) & {trial.key for trial in facts.trials}
    assert not set(STOPPED) & set(next(iter(pools(study))).trials["key"])
    assert [trial.place for trial in facts.stopped if trial.arm == "ft"] == [5, 7]
    hollow = [trace for trace in history_figure(facts).data if str(trace.marker.symbol).endswith("-open")]
    assert sorted(place for trace in hollow for place in trace.x) == [5, 7, 8]
    assert len(study.finished("search", with_stopped=True)) == 32


def test_the_page_and_the_files_say_it(study: StudyRecord, tmp_path: Path) -> None:
    page = write_report(weigh(study.tables), tmp_path).page.read_text()
    assert "3 of 32 finished search trials were stopped early, which saved about 9.5 s of training." in page
    assert "3 search trials were stopped early." in page
    rungs = pd.read_csv(tmp_path / "rungs.csv")
    assert rungs["stopped"].sum() == 3
    assert {"spearman", "kendall", "n", "saved_s"} <= set(rungs)
    trials = pd.read_csv(tmp_path / "trials.csv").set_index("key")
    assert trials["stopped_epoch"].dropna().to_dict() == STOPPED


def test_without_it_the_page_is_silent_and_the_file_shows_what_its_rungs_would_tell(finished: StudyTables) -> None:
    facts = rung_facts(StudyRecord.of(finished))
    assert not facts.is_on
    assert facts.n_stopped == 0
    assert {rung.epoch for rung in facts.rungs} == {1, 3}
