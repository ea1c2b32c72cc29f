import numpy as np
import pandas as pd
import pytest
from simulated_study import search_study

from ablate.report.importance import (
    importance_facts,
    importance_figure,
    importance_section,
    importance_sentences,
    leading,
    marginal_figure,
)
from ablate.report.importance_pool import pools
from ablate.report.interaction import interaction_figure, interaction_section
from ablate.report.section import render
from ablate.report.study_record import StudyRecord
from ablate.store.study_tables import StudyTables


@pytest.fixture(scope="module")
def facts(searched: StudyTables) -> tuple:
    return importance_facts(StudyRecord.of(searched))


def test_pools_over_contexts_and_within_arms(study: StudyRecord) -> None:
    keys = [pool.key for pool in pools(study)]
    assert keys[:2] == ["data_fraction=0.1", "data_fraction=1"]
    assert "data_fraction=0.1;arm=lp_sd" in keys
    assert len(keys) == 2 + 4 * 2


def test_a_parameter_that_some_arms_lack_appears_within_those_that_have_it(study: StudyRecord) -> None:
    by_key = {pool.key: pool for pool in pools(study)}
    assert "probe_lr" not in by_key["data_fraction=1"].axes
    assert "probe_lr" in by_key["data_fraction=1;arm=lp"].axes
    assert "drop_path_rate" not in by_key["data_fraction=1;arm=lp"].axes
    assert not any("data_fraction" in pool.axes for pool in by_key.values())


def test_whole_numbers_are_whole_in_an_importance(study: StudyRecord) -> None:
    within = {pool.key: pool for pool in pools(study)}["data_fraction=1;arm=lp"]
    assert within.axes["probe_epochs"].integer
    assert not within.axes["ft_lr"].integer
    assert within.axes["ft_lr"].log


def test_a_searched_fraction_is_split_into_little_and_much_data() -> None:
    tables = search_study(n_records=20, search_trials=40).tables()
    fractions = np.geomspace(0.05, 1, len(tables.params))
    tables.params["data_fraction"] = pd.Series(fractions, index=tables.params.index)
    bands = list(pools(StudyRecord.of(tables)))[1:]
    assert [len(pool.trials) for pool in bands] == [20, 20]
    assert bands[0].axes["data_fraction"].high == bands[1].axes["data_fraction"].low == pytest.approx(0.05**0.5)


def test_shares_come_with_intervals_and_a_statement(facts: tuple) -> None:
    found = facts[0].found
    assert found is not None
    assert all(share.low <= share.mean <= share.high for share in found.main.values())
    assert leading(facts)[0] == max(found.main, key=lambda name: found.main[name].mean)
    sentence = importance_sentences(facts)[0]
    assert sentence.startswith("Validation AUROC is moved most by")
    assert "64 trials" in sentence


def test_too_few_trials_have_no_ranking_but_how_many_more_it_takes(study: StudyRecord) -> None:
    facts = importance_facts(study)
    assert all(one.found is None for one in facts)
    assert importance_sentences(facts) == [
        "4 arms, 10 % of the data: 16 search trials are finished; a ranking takes 40 (10 for each of 4 parameters), "
        "24 more."
    ]
    page = render(importance_section(facts))
    assert page.count("24 more") == 2
    assert "share" not in page


def test_bands_never_leave_the_scale_of_the_score(facts: tuple) -> None:
    for param in leading(facts):
        band, line = marginal_figure(facts[0], param=param).data
        assert 0 < min(band.y) <= min(line.y) <= max(line.y) <= max(band.y) < 1


def test_figures_show_every_parameter(facts: tuple) -> None:
    found = facts[0].found
    assert found is not None
    assert set(importance_figure(facts[0]).data[0].y) == set(found.main)
    heat = interaction_figure(facts[0]).data[0]
    n = len(found.main)
    assert sum(value is not None for row in heat.z for value in row) == n * (n - 1) // 2 == len(found.pairs)
    assert len(marginal_figure(facts[0], param="ft_lr").data) == 2
    assert interaction_section(facts) is not None
