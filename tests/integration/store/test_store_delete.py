"""A study is deleted whole, and not while somebody works on it."""

from collections.abc import Callable

import optuna
import pytest
from small_study import CONFIRM, SEARCH, confirm_slots, result, search_slots

from ablate.errors import StoreError
from ablate.store.optuna_studies import optuna_storage
from ablate.store.slot import AgentCard
from ablate.store.store import Store

Register = Callable[..., str]


def test_a_deleted_study_leaves_nothing_and_its_name_is_free(
    store: Store, register: Register, agent: AgentCard
) -> None:
    name = register(*search_slots(2))
    claim = store.claim(name, agent)
    assert claim is not None
    store.finish(claim, result())
    store.mirror(name)
    with pytest.raises(StoreError, match=f"agents work on it, such as {agent.id}"):
        store.delete(name)
    store.retire(agent)
    store.delete(name)
    assert store.studies() == []
    for table in ("ablate_slot", "ablate_result", "ablate_attempt", "ablate_agent", "studies", "trials"):
        assert store.database.rows(f"SELECT count(*) AS n FROM {table}")[0].n == 0, table
    assert register(*search_slots(1)) == name
    assert store.counts(name).total() == 1


def test_optuna_studies_of_the_same_names_that_are_not_ours_stay(store: Store) -> None:
    name = "s"
    store.register(name, {"question": "why?"}, "digest", [*search_slots(1), *confirm_slots(1)])
    with optuna_storage(store.database) as storage:
        for theirs in (name, name + SEARCH, name + CONFIRM):  # after ours, and before anything was mirrored
            optuna.create_study(storage=storage, study_name=theirs)
        store.delete(name)
        assert set(optuna.get_all_study_names(storage)) == {name, name + SEARCH, name + CONFIRM}
    assert store.studies() == []


def test_a_study_that_could_not_be_deleted_is_whole_again_and_leaves_no_optuna_study(
    store: Store, register: Register, agent: AgentCard
) -> None:
    name = register(*search_slots(1))
    claim = store.claim(name, agent)
    assert claim is not None
    store.finish(claim, result())
    store.retire(agent)
    store.mirror(name)
    store.database.rows(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'not now' USING ERRCODE = '55006'; END $$"
    )
    store.database.rows("CREATE TRIGGER refuse BEFORE DELETE ON ablate_study EXECUTE FUNCTION refuse()")
    with pytest.raises(StoreError, match="not now"):
        store.delete(name)
    store.database.rows("UPDATE ablate_slot SET stale = true")
    store.mirror(name)
    assert store.database.rows("SELECT count(*) AS n FROM trials")[0].n == 1
    store.database.rows("DROP TRIGGER refuse ON ablate_study")
    store.delete(name)
    for table in ("ablate_study", "studies", "trials"):
        assert store.database.rows(f"SELECT count(*) AS n FROM {table}")[0].n == 0, table
