"""Searches that go on until they are settled, and seals that wait for a complete search; in a real store."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from agent_workplace import Workplace

from ablate.errors import StoreError
from ablate.store.slot import AgentCard, SlotState
from ablate.study.confirmation import Step, advance, seal_incomplete
from ablate.study.plan import chain, following
from ablate.worker.agent_options import Ending

BUDGET = {"search_trials": {"first": 4, "most": 12, "until": "settled"}, "generation": 4, "replicates": 2}


def _card() -> AgentCard:
    """Somebody who claims a slot."""
    return AgentCard(id="test-other", host="here", pid=1)


def _searched(workplace: Workplace) -> tuple[dict[str, Any], dict[str, Any]]:
    """How many search trials each arm has, and what was asked and sealed."""
    slots = [slot for slot in workplace.store.slots(workplace.name) if slot.phase == "search"]
    assert {slot.state for slot in slots} == {SlotState.DONE}
    sealed = workplace.store.study(workplace.name).seal
    return {slot.key: slot.params for slot in slots}, sealed


def test_a_search_goes_on_until_it_is_settled_and_is_the_same_with_three_agents(
    make_workplace: Callable[..., Any], in_background: Callable[..., Any]
) -> None:
    workplace = make_workplace(**BUDGET)
    assert workplace.agent("responding").serve() is Ending.OVER
    params, sealed = _searched(workplace)
    n_ft, n_sd = (sum(f"/{arm}/" in key for key in params) for arm in ("ft", "sd"))
    assert n_ft == 4  # nothing is searched there
    assert 4 < n_sd <= 12
    choice = sealed["chosen"][chain("sd", {})]
    assert choice["n_trials"] == n_sd
    assert choice["is_settled"] or n_sd == 12
    again = make_workplace(name="t", **BUDGET)
    endings = [in_background(again.agent("responding").serve) for _ in range(3)]
    assert [ending.result(120) for ending in endings] == [Ending.OVER] * 3
    params_of_three, sealed_of_three = _searched(again)
    assert params_of_three == params
    assert sealed_of_three["chosen"] == sealed["chosen"]


def test_the_same_generation_is_added_once_by_however_many(make_workplace: Callable[..., Any]) -> None:
    workplace = make_workplace(**BUDGET)
    slots = following(workplace.spec, chain("sd", {}), 4)
    with ThreadPoolExecutor(4) as pool:
        added = list(pool.map(lambda _: workplace.store.extend("s", slots), range(4)))
    assert sorted(added) == [0, 0, 0, 4]
    assert len(workplace.store.slots("s")) == 2 * 4 + 2 * 2 + 4


def test_a_sealed_study_grows_no_more(make_workplace: Callable[..., Any]) -> None:
    workplace = make_workplace(**BUDGET)
    workplace.store.seal("s", {"chosen": {}})
    assert workplace.store.extend("s", following(workplace.spec, chain("sd", {}), 4)) == 0


def test_an_incomplete_search_is_sealed_by_its_author_alone_and_says_so_for_ever(
    make_workplace: Callable[..., Any],
) -> None:
    workplace = make_workplace(search_trials=3, replicates=2)
    first = workplace.store.claim("s", _card())
    workplace.store.fail(first, "bad_data", "signals.npy: damaged")
    assert workplace.agent().serve() is Ending.OVER
    assert workplace.store.study("s").seal is None
    assert advance(workplace.store, workplace.spec) is Step.BLOCKED
    seal_incomplete(workplace.store, workplace.spec)
    (said,) = workplace.store.study("s").seal["incomplete"]
    assert "1 of 3 search trials failed or were cancelled" in said
    assert workplace.agent().serve() is Ending.OVER
    assert workplace.store.counts("s").of(SlotState.DONE, phase="confirm") == 4


def test_retrying_what_failed_completes_the_search(make_workplace: Callable[..., Any]) -> None:
    workplace = make_workplace(search_trials=3, replicates=2)
    workplace.store.fail(workplace.store.claim("s", _card()), "bad_data", "signals.npy: damaged")
    workplace.agent().serve()
    assert workplace.store.retry_failed("s") == 1
    assert workplace.agent().serve() is Ending.OVER
    assert "incomplete" not in workplace.store.study("s").seal


def test_cancelling_and_retrying_half_way_loses_no_search_trial(make_workplace: Callable[..., Any]) -> None:
    workplace = make_workplace(search_trials=3, replicates=2)
    agent = workplace.agent(phases=("search",))
    workplace.store.cancel("s")
    assert agent.serve() is Ending.OVER
    assert advance(workplace.store, workplace.spec) is Step.BLOCKED
    workplace.store.retry_failed("s")
    assert workplace.agent().serve() is Ending.OVER
    assert workplace.store.study("s").seal["chosen"][chain("sd", {})]["n_trials"] == 3


def test_a_search_of_which_every_trial_diverges_seals_nothing_and_is_named(make_workplace: Callable[..., Any]) -> None:
    workplace = make_workplace(search_trials=2, replicates=1)
    assert workplace.agent("sd_diverging").serve() is Ending.OVER
    assert workplace.store.study("s").seal is None
    with pytest.raises(StoreError, match="sd: none of its 2 search trials ran to its end, 2 diverged"):
        seal_incomplete(workplace.store, workplace.spec)
