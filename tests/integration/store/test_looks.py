"""Blocks added look by look, in a real store: predictions with known effects, decided by the report's own function."""

import pytest
from growing_study import SKILL, begin, blocks, fill, spec

from ablate.report.evidence import weigh
from ablate.store.slot import AgentCard
from ablate.store.store import Store
from ablate.study.confirmation import Step, advance
from ablate.study.looks import look_lines


@pytest.fixture
def agent() -> AgentCard:
    return AgentCard(id="a", host="h", pid=1)


def test_only_what_is_undecided_gets_further_blocks(store: Store, agent: AgentCard) -> None:
    study = spec()
    begin(store, study)
    assert blocks(store) == dict.fromkeys(SKILL, 5)
    assert advance(store, study) is Step.NONE  # nothing before the look is complete
    fill(store, study, agent)
    assert advance(store, study) is Step.GREW
    assert blocks(store) == {"ft": 6, "sd": 6, "lp": 5}
    assert look_lines(study, store.slots("growing")) == [
        "look at 5 blocks: sd - ft undecided, more blocks; lp - ft decided or without a prospect"
    ]
    early = {c.name: c for c in weigh(store.tables("growing")).contrasts if c.metric == "auroc"}
    assert early["lp - ft"].verdict == "supported"
    fill(store, study, agent)
    assert advance(store, study) is Step.GREW
    fill(store, study, agent)
    assert advance(store, study) is Step.NONE
    assert blocks(store) == {"ft": 7, "sd": 7, "lp": 5}
    late = {c.name: c for c in weigh(store.tables("growing")).contrasts if c.metric == "auroc"}
    assert late["lp - ft"].interval == early["lp - ft"].interval
    assert (late["sd - ft"].n_blocks, late["sd - ft"].n_looks) == (7, 3)


def test_whoever_asks_twice_plans_nothing_twice(store: Store, agent: AgentCard) -> None:
    study = spec()
    begin(store, study)
    fill(store, study, agent)
    first, second = advance(store, study), advance(store, study)
    assert (first, second) == (Step.GREW, Step.NONE)
    assert blocks(store) == {"ft": 6, "sd": 6, "lp": 5}


def test_nobody_looks_while_blocks_are_cancelled(store: Store, agent: AgentCard) -> None:
    study = spec()
    begin(store, study)
    fill(store, study, agent, failing="confirm/lp/-/3")
    store.retry_failed(study.name)
    assert store.cancel(study.name) == 1
    assert advance(store, study) is Step.NONE  # or lp would be left at five blocks for ever
    assert blocks(store) == dict.fromkeys(SKILL, 5)
    store.retry_failed(study.name)
    fill(store, study, agent)
    assert advance(store, study) is Step.GREW


def test_a_contrast_with_a_failed_block_waits_for_a_retry(store: Store, agent: AgentCard) -> None:
    study = spec()
    begin(store, study)
    fill(store, study, agent, failing="confirm/sd/-/3")
    assert advance(store, study) is Step.NONE
    assert store.retry_failed(study.name) == 1
    fill(store, study, agent)
    assert advance(store, study) is Step.GREW
    assert blocks(store) == {"ft": 6, "sd": 6, "lp": 5}


def test_a_failed_replicate_counts_as_the_worst_where_declared(store: Store, agent: AgentCard) -> None:
    study = spec(failures="worst", looks=[5, 7])
    begin(store, study)
    fill(store, study, agent, failing="confirm/lp/-/3")
    assert advance(store, study) is Step.GREW  # with a run that learned nothing, lp is not above ft any more
    assert blocks(store)["lp"] == 7
    fill(store, study, agent)
    found = {c.name: c for c in weigh(store.tables("growing")).contrasts if c.metric == "auroc"}
    assert min(found["lp - ft"].block_differences) < -0.2
