"""What all tests share: a private Postgres for the session, and a database of its own for each test."""

import logging
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: several threads on busy cores cost six times as much

import signal
import uuid
from collections.abc import Iterator

import pytest
from managed_server import TEMPLATE, as_admin, database_url, make_template, managed_server

from ablate.store.postgres_server import Server
from ablate.store.store import Store

# A shell's background job ignores Ctrl-C, and so would each process that a test starts to interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)  # before the names of groups are read
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Several processes share the tests by file: what a module has built is used where it was built."""
    for item in items:
        group = "whole machine" if item.get_closest_marker("whole_machine") else item.nodeid.partition("::")[0]
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture(autouse=True)
def logging_stays_on() -> Iterator[None]:
    """No test may switch off the product's loggers for the ones that its process runs after it."""
    yield
    loggers = [logging.getLogger(name) for name in list(logging.root.manager.loggerDict) if name.startswith("ablate")]
    assert not [each.name for each in loggers if each.disabled]


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A managed server in a folder of its own, gone with the session."""
    with managed_server() as server:
        yield server


@pytest.fixture(scope="session")
def template_url(server: Server) -> str:
    """Address of a database with all tables, which each test gets a copy of."""
    return make_template(server.url)


@pytest.fixture
def store_url(server: Server, template_url: str) -> Iterator[str]:
    """Address of a fresh database with all tables and no study."""
    name = f"t{uuid.uuid4().hex[:12]}"
    with as_admin(server.url) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
    yield database_url(server.url, name)
    _drop(server.url, name)


@pytest.fixture
def empty_url(server: Server) -> Iterator[str]:
    """Address of a fresh database without any table."""
    name = f"t{uuid.uuid4().hex[:12]}"
    with as_admin(server.url) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    yield database_url(server.url, name)
    _drop(server.url, name)


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """A store in a fresh database."""
    store = Store(store_url)
    yield store
    store.disconnect()


def _drop(url: str, database: str) -> None:
    with as_admin(url) as connection:
        connection.execute(f"DROP DATABASE {database} WITH (FORCE)")
