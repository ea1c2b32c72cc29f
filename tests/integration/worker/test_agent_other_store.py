"""Another store appears at the address while an agent trains: it stops, says whose it is, and keeps its results."""

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from agent_workplace import Workplace
from psycopg import Connection
from sqlalchemy.engine import make_url
from test_agent import wait_for

from ablate.errors import ForeignStore
from ablate.store.store import Store
from ablate.study.plan import plan


@pytest.fixture
def admin(store_url: str) -> Iterator[Connection]:
    parsed = make_url(store_url)
    passfile = str(parsed.query["passfile"])
    with psycopg.connect(
        host=parsed.host, port=parsed.port, user=parsed.username, dbname="postgres", passfile=passfile, autocommit=True
    ) as connection:
        yield connection
        connection.execute(f"DROP DATABASE IF EXISTS {parsed.database}_away WITH (FORCE)")


def test_an_agent_stops_and_the_other_study_stays_empty(
    workplace: Workplace, store_url: str, admin: Connection, in_background: Callable[..., Any]
) -> None:
    name = make_url(store_url).database
    ending = in_background(workplace.agent("slow", lease_s=2.0).serve)
    wait_for(lambda: any(slot.params for slot in workplace.store.slots("s")))
    admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
    admin.execute(f"ALTER DATABASE {name} RENAME TO {name}_away")
    admin.execute(f"CREATE DATABASE {name}")
    other, spec = Store(store_url), workplace.spec
    other.create_schema()
    other.register("s", spec.document(), spec.digest(), plan(spec))
    with pytest.raises(ForeignStore, match="is not the store that this process belongs to"):
        ending.result(60)
    assert {str(slot.state) for slot in other.slots("s")} == {"waiting"}
    assert other.agents("s") == []
    other.disconnect()
