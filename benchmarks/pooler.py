"""The store behind PgBouncer: the same load with few connections to Postgres, and without PgBouncer beside it.

    python benchmarks/pooler.py --clients 64 --slots 1000 --connections 16

Needs Debian's package pgbouncer. Transactions are pooled, so agents must not prepare statements:
``?prepare_threshold=none`` in their storage address.
"""

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
from sqlalchemy.engine import URL, make_url
from store_load import measure

from ablate.store.postgres_server import Server

_SETTINGS = """\
[databases]
* = host=127.0.0.1 port={port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {own_port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {folder}/users
pool_mode = transaction
default_pool_size = {connections}
max_client_conn = 5000
logfile = {folder}/pgbouncer.log
pidfile = {folder}/pgbouncer.pid
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--slots", type=int, default=1000)
    parser.add_argument("--connections", type=int, default=16, help="from PgBouncer to Postgres")
    given = parser.parse_args()
    if shutil.which("pgbouncer") is None:
        sys.exit("pgbouncer is not installed: apt-get install pgbouncer")
    with tempfile.TemporaryDirectory(prefix="ablate-pooler-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        server = Server(folder / "postgres")
        try:
            direct = with_password(make_url(server.ensure_running()))
            figures = {}
            with pgbouncer(folder, direct, given.connections) as pooled:
                for way, url in (("direct", direct), ("pooled", pooled)):
                    fresh_database(direct, way)
                    address = url.set(database=way).render_as_string(hide_password=False)
                    figures[way] = measure(address, n_clients=given.clients, n_slots=given.slots, n_finished=0)
                    print(way, json.dumps(figures[way]), file=sys.stderr)
        finally:
            server.stop()
    print(json.dumps(figures, indent=2))


def with_password(url: URL) -> URL:
    """The address with the password of its password file, since PgBouncer answers at another port."""
    password = Path(str(url.query["passfile"])).read_text().strip().rsplit(":", 1)[1]
    return url.set(password=password, query={})


def fresh_database(url: URL, name: str) -> None:
    plain = url.set(drivername="postgresql", database="postgres").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")


@contextlib.contextmanager
def pgbouncer(folder: Path, url: URL, connections: int) -> Iterator[URL]:
    """PgBouncer before the server at ``url``; its own address."""
    own_port = (url.port or 5432) + 1
    settings = folder / "pgbouncer.ini"
    settings.write_text(_SETTINGS.format(port=url.port, own_port=own_port, folder=folder, connections=connections))
    (folder / "users").write_text(f'"{url.username}" "{url.password}"\n')
    account = "postgres" if os.geteuid() == 0 else None
    if account:
        for path in (folder, settings, folder / "users"):
            shutil.chown(path, account)
    process = subprocess.Popen(["pgbouncer", "-q", str(settings)], user=account)
    pooled = url.set(port=own_port, query={"prepare_threshold": "none"})
    try:
        _await(pooled)
        yield pooled
    finally:
        process.terminate()
        process.wait()


def _await(url: URL, *, timeout_s: float = 20.0) -> None:
    until = time.monotonic() + timeout_s
    plain = url.set(drivername="postgresql", database="postgres", query={}).render_as_string(hide_password=False)
    while True:
        try:
            psycopg.connect(plain).close()
        except psycopg.OperationalError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)
        else:
            return


if __name__ == "__main__":
    main()
