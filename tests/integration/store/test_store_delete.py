"""A study is deleted whole, and not while somebody works on it."""

from collections.abc import Callable

import pytest
from small_study import result, search_slots

from ablate.errors import StoreError
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
