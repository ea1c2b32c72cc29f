"""What all tests share: a private Postgres for the session, and a database of its own for each test."""

import contextlib
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: several threads on busy cores cost six times as much

import shutil
import signal
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
from sqlalchemy.engine import make_url

from ablate.errors import AblateError
from ablate.store.postgres_server import Server
from ablate.store.store import Store

# A shell's background job ignores Ctrl-C, and so would each process that a test starts to interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

PREFIX = "ablate-test-"
TEMPLATE = "ablate_template"


@pytest.hookimpl(tryfirst=True)  # before the names of groups are read
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Several processes share the tests by file: what a module has built is used where it was built."""
    for item in items:
        group = "whole machine" if item.get_closest_marker("whole_machine") else item.nodeid.partition("::")[0]
        item.add_marker(pytest.mark.xdist_group(group))


def sweep() -> None:
    """Remove the servers of sessions that were killed."""
    for owner in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/owner"):
        with contextlib.suppress(OSError, ValueError, AblateError):
            if not psutil.pid_exists(int(owner.read_text())):
                Server(owner.parent / "postgres").stop()
                shutil.rmtree(owner.parent)


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A managed server in a folder of its own, gone with the session."""
    sweep()
    with tempfile.TemporaryDirectory(prefix=PREFIX) as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "owner").write_text(str(os.getpid()))
        server = Server(folder / "postgres")
        server.ensure_running()
        with _admin(server.url) as connection:
            for setting in ("fsync", "synchronous_commit", "full_page_writes"):  # nothing here must outlive a power cut
                connection.execute(f"ALTER SYSTEM SET {setting} = off")
            connection.execute("SELECT pg_reload_conf()")
        yield server
        server.stop()


@pytest.fixture(scope="session")
def template_url(server: Server) -> str:
    """Address of a database with all tables, which each test gets a copy of."""
    with _admin(server.url) as connection:
        connection.execute(f"CREATE DATABASE {TEMPLATE}")
    url = database_url(server.url, TEMPLATE)
    store = Store(url)
    store.create_schema()
    store.disconnect()
    return url


@pytest.fixture
def store_url(server: Server, template_url: str) -> Iterator[str]:
    """Address of a fresh database with all tables and no study."""
    name = f"t{uuid.uuid4().hex[:12]}"
    with _admin(server.url) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
    yield database_url(server.url, name)
    _drop(server.url, name)


@pytest.fixture
def empty_url(server: Server) -> Iterator[str]:
    """Address of a fresh database without any table."""
    name = f"t{uuid.uuid4().hex[:12]}"
    with _admin(server.url) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    yield database_url(server.url, name)
    _drop(server.url, name)


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """A store in a fresh database."""
    store = Store(store_url)
    yield store
    store.disconnect()


def database_url(url: str, database: str) -> str:
    """The same server's address with another database."""
    return make_url(url).set(database=database).render_as_string(hide_password=False)


def _admin(url: str) -> psycopg.Connection:
    parsed = make_url(url)
    return psycopg.connect(
        host=parsed.host,
        port=parsed.port,
        user=parsed.username,
        dbname="postgres",
        passfile=str(parsed.query["passfile"]),
        autocommit=True,
    )


def _drop(url: str, database: str) -> None:
    with _admin(url) as connection:
        connection.execute(f"DROP DATABASE {database} WITH (FORCE)")
