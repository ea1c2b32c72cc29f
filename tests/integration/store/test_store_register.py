import multiprocessing
from typing import Any

import optuna
import pytest
from small_study import SPACE, confirm_slots, search_slots

from ablate.errors import StoreError
from ablate.store.slot import SlotState
from ablate.store.store import Store

SPEC: dict[str, Any] = {"question": "why?", "budget": {"replicates": 3}, "arms": ["ft", "sd"]}


def test_a_study_is_registered_once_with_all_its_slots(store: Store) -> None:
    slots = [*search_slots(3), *confirm_slots(2)]
    assert store.register("s", SPEC, "d", slots, space=SPACE) is True
    assert store.register("s", SPEC, "d", slots, space=SPACE) is False
    found = store.slots("s")
    assert [slot.key for slot in found] == [slot.key for slot in slots]
    assert [(slot.seed, slot.chain, slot.index) for slot in found[:2]] == [(2**62, "ft", 0), (2**62 + 1, "ft", 1)]
    assert {slot.state for slot in found} == {SlotState.WAITING}
    study = store.study("s")
    assert (study.spec, study.spec_digest, study.seal, study.stop_requested) == (SPEC, "d", None, False)
    assert study.created_at.utcoffset() is not None
    assert store.studies() == ["s"]


def test_another_spec_under_the_same_name_is_refused_with_its_differences(store: Store) -> None:
    store.register("s", SPEC, "d", search_slots(1))
    other = SPEC | {"budget": {"replicates": 10}, "margin": {"auroc": 0.01}}
    with pytest.raises(StoreError) as caught:
        store.register("s", other, "e", search_slots(1))
    text = str(caught.value)
    assert "budget.replicates: stored 3, given 10" in text
    assert "margin.auroc: stored null, given 0.01" in text
    assert "question" not in text
    assert len(store.slots("s")) == 1


def test_a_study_that_is_not_there_is_named_beside_those_that_are(store: Store) -> None:
    store.register("here", SPEC, "d", [])
    with pytest.raises(StoreError, match=r"study gone: not in storage .*it holds: here"):
        store.counts("gone")


def test_a_name_that_an_optuna_user_took_is_refused(store: Store, store_url: str) -> None:
    storage = optuna.storages.RDBStorage(store_url)
    optuna.create_study(storage=storage, study_name="taken · confirm", directions=["minimize"])
    with pytest.raises(StoreError, match="an Optuna study taken · confirm is in the store already"):
        store.register("taken", SPEC, "d", search_slots(1))
    assert store.studies() == []
    storage.engine.dispose()


def _launch(url: str, outcomes: "multiprocessing.Queue[object]") -> None:
    try:
        store = Store(url)
        store.create_schema()
        outcomes.put(store.register("s", SPEC, "d", search_slots(20), space=SPACE))
        store.disconnect()
    except BaseException as error:
        outcomes.put(repr(error))


def test_eight_launches_at_once_on_an_empty_database(empty_url: str) -> None:
    context = multiprocessing.get_context("fork")
    outcomes: multiprocessing.Queue[object] = context.Queue()
    launches = [context.Process(target=_launch, args=(empty_url, outcomes)) for _ in range(8)]
    for process in launches:
        process.start()
    assert sorted(str(outcomes.get(timeout=120)) for _ in launches) == ["False"] * 7 + ["True"]
    for process in launches:
        process.join()
    store = Store(empty_url)
    assert store.counts("s").total() == 20
    store.disconnect()
