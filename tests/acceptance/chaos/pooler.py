"""PgBouncer between agents and store, where it is installed: connections pooled by transaction."""

import shutil
import subprocess
import time
from pathlib import Path

import psycopg
from sqlalchemy.engine import URL

from ablate.store.postgres_binaries import Account

_SETTINGS = """\
[databases]
* = host=127.0.0.1 port={target}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {folder}/users
pool_mode = transaction
default_pool_size = 4
max_client_conn = 500
server_login_retry = 0.2
logfile = {folder}/log
"""


def is_pooler_here() -> bool:
    """Whether PgBouncer is installed."""
    return shutil.which("pgbouncer") is not None


class Pooler:
    """One PgBouncer before one server."""

    def __init__(self, folder: Path, target: URL, *, port: int) -> None:
        password = Path(str(target.query["passfile"])).read_text().strip().rsplit(":", 1)[1]
        self.url = target.set(port=port, password=password, query={"prepare_threshold": "none"})
        self._process: subprocess.Popen[bytes] | None = None
        self._account = Account.choose()
        folder.mkdir(mode=0o700)
        (folder / "settings").write_text(_SETTINGS.format(target=target.port, port=port, folder=folder))
        (folder / "users").write_text(f'"{target.username}" "{password}"\n')
        for path in (folder, *folder.iterdir()):
            self._account.own(path)
        self._settings = folder / "settings"

    @property
    def pid(self) -> int | None:
        """Of the process, None where it is away."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self) -> URL:
        """Start it unless it runs; its address, once it answers."""
        if self.pid is None:
            command = [str(shutil.which("pgbouncer")), "-q", str(self._settings)]
            self._process = subprocess.Popen(command, user=self._account.uid, stderr=subprocess.DEVNULL)
        plain = self.url.set(drivername="postgresql", query={}).render_as_string(hide_password=False)
        until = time.monotonic() + 20
        while True:
            try:
                psycopg.connect(plain).close()
                return self.url
            except psycopg.OperationalError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)

    def kill(self) -> None:
        """As ``kill -9``."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
