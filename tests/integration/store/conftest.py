"""Small studies for the store's tests, each in the managed Postgres and in a plain one where there is one."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from managed_server import make_template, managed_server
from plain_postgres import PlainPostgres, programs
from small_study import SPACE, search_slots

from ablate.store.postgres_server import Server
from ablate.store.slot import AgentCard, PlannedSlot
from ablate.store.store import Store


@pytest.fixture(scope="session", params=["managed", "plain"])
def server(request: pytest.FixtureRequest) -> Iterator[Server | PlainPostgres]:
    """A server with the tests' settings; the plain one is of Debian's programs."""
    if request.param == "managed":
        with managed_server() as server:
            yield server
        return
    if programs() is None:
        pytest.skip("no Postgres is installed beside the managed one: apt-get install postgresql")
    with tempfile.TemporaryDirectory(prefix="ablate-plain-") as folder:
        Path(folder).chmod(0o755)
        plain = PlainPostgres(Path(folder) / "postgres")
        plain.ensure_running()
        yield plain
        plain.remove()


@pytest.fixture(scope="session")
def template_url(server: Server | PlainPostgres) -> str:
    """As elsewhere, but of these servers: pytest would go on with the one that other folders' tests have used."""
    return make_template(server.url)


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
