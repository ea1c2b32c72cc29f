"""Small studies for the store's tests."""

from collections.abc import Callable
from typing import Any

import pytest
from small_study import SPACE, search_slots

from ablate.store.slot import AgentCard, PlannedSlot
from ablate.store.store import Store


@pytest.fixture
def agent() -> AgentCard:
    return AgentCard(id="host-1-a", host="host", pid=1, device="cuda:0", facts={"torch": "2.13.0"})


@pytest.fixture
def rival() -> AgentCard:
    return AgentCard(id="host-2-b", host="other", pid=2)


@pytest.fixture
def register(store: Store) -> Callable[..., str]:
    """Registers a study of search and confirmation slots and gives its name."""

    def register(*slots: PlannedSlot, name: str = "s", **options: Any) -> str:
        store.register(name, {"question": "why?"}, "digest", slots or search_slots(4), space=SPACE, **options)
        store.mirror(name)
        return name

    return register
