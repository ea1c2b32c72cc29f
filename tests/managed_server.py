"""A managed Postgres for a session of tests, and its administrator."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
from sqlalchemy.engine import make_url

from ablate.errors import AblateError
from ablate.store.postgres_server import Server
from ablate.store.store import Store

PREFIX = "ablate-test-"
TEMPLATE = "ablate_template"


@contextlib.contextmanager
def managed_server() -> Iterator[Server]:
    """A managed server in a folder of its own, gone afterwards."""
    sweep()
    with tempfile.TemporaryDirectory(prefix=PREFIX) as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "owner").write_text(str(os.getpid()))
        server = Server(folder / "postgres")
        server.ensure_running()
        with as_admin(server.url) as connection:
            for setting in ("fsync", "synchronous_commit", "full_page_writes"):  # nothing here must outlive a power cut
                connection.execute(f"ALTER SYSTEM SET {setting} = off")
            connection.execute("SELECT pg_reload_conf()")
        yield server
        server.stop()


def sweep() -> None:
    """Remove the servers of sessions that were killed."""
    for owner in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/owner"):
        with contextlib.suppress(OSError, ValueError, AblateError):
            if not psutil.pid_exists(int(owner.read_text())):
                Server(owner.parent / "postgres").stop()
                shutil.rmtree(owner.parent)


def database_url(url: str, database: str) -> str:
    """The same server's address with another database."""
    return make_url(url).set(database=database).render_as_string(hide_password=False)


def make_template(url: str) -> str:
    """Address of a database with all tables on the server at ``url``, which each test gets a copy of."""
    with as_admin(url) as connection:
        connection.execute(f"CREATE DATABASE {TEMPLATE}")
    store = Store(database_url(url, TEMPLATE))
    store.create_schema()
    store.disconnect()
    return database_url(url, TEMPLATE)


def as_admin(url: str) -> psycopg.Connection:
    parsed = make_url(url)
    return psycopg.connect(
        host=parsed.host,
        port=parsed.port,
        user=parsed.username,
        dbname="postgres",
        passfile=str(parsed.query["passfile"]),
        autocommit=True,
    )
