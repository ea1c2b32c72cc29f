"""The managed Postgres: one server in a folder, shared by all processes of the machine, started on demand.

It listens on 127.0.0.1 only and asks for a password, which lies beside it in libpq's own format, so that the URL holds
none. Whoever needs it first starts it under a file lock; it belongs to nobody's session and outlives its starter.
"""

import contextlib
import os
import random
import re
import secrets
import shutil
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import psycopg

from ablate import atomic, digest
from ablate.errors import StoreError, StoreUnavailable
from ablate.store.postgres_binaries import SHARED_PLACE, Account, Binaries

ROLE = "ablate"
DATABASE = "ablate"
_START_S = 60.0
_CAUSE = re.compile(r"FATAL|PANIC|error:|could not|cannot", re.IGNORECASE)
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "320",  # 256 agents, each with one connection most of the time
    "shared_buffers": "64MB",
    "max_wal_size": "256MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_parallel_workers_per_gather": "0",  # needs shared memory that small containers do not have
    "jit": "off",  # costs more than our queries
    "log_checkpoints": "off",
    "log_timezone": "UTC",
    "timezone": "UTC",
    "idle_in_transaction_session_timeout": "60s",  # a frozen agent must not hold its locks for ever
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
}


@dataclass(frozen=True)
class ServerStatus:
    """What ``ablate storage status`` shows."""

    running: bool
    url: str | None
    pid: int | None
    folder: Path
    version: str | None
    disk_bytes: int


class Server:
    """The managed Postgres of one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self._account = Account.choose(self.folder)
        self._binaries = Binaries(self._account)

    @property
    def url(self) -> str:
        """Address without password; meaningful once the server has been started."""
        return self._address(ROLE)

    def _address(self, role: str) -> str:
        return f"postgresql+psycopg://{role}@127.0.0.1:{self._port()}/{DATABASE}?passfile={quote(str(self._passfile))}"

    def ensure_running(self) -> str:
        """Create and start the server unless it answers; give its address.

        Raises:
            StoreError: it cannot be created here.
            StoreUnavailable: it does not answer.
        """
        try:
            if not self._answers():
                self._prepare_folder()
                with atomic.lock(self.folder / "server"):
                    self._make_answer()
        except OSError as error:
            said = f"{self.folder}: cannot hold a Postgres ({error.strerror or error})"
            raise StoreError(f"{said}; set ABLATE_HOME or pass --storage") from error
        return self.url

    def _make_answer(self) -> None:
        if not self._answers():
            self._create()
            self._start()
            self._create_database()

    def stop(self) -> bool:
        """Stop the server, letting transactions go; False when it was not running."""
        if self._pid() is None:
            return False
        with atomic.lock(self.folder / "server"):
            done = self._binaries.call("pg_ctl", "stop", "-w", "-m", "fast", "-D", self._data, folder=self._place)
            if done.returncode != 0 and self._pid() is not None:
                raise StoreError(f"{self._data}: Postgres does not stop: {_cause(done.stdout)}")
        return True

    def status(self) -> ServerStatus:
        """What is known of the server, without starting it."""
        pid = self._pid()
        version_file = self._data / "PG_VERSION"
        return ServerStatus(
            running=pid is not None and self._answers(),
            url=self.url if self._port_file.exists() else None,
            pid=pid,
            folder=self._place,
            version=version_file.read_text().strip() if version_file.exists() else None,
            disk_bytes=_disk_bytes(self._data),
        )

    # Where things lie

    @property
    def _place(self) -> Path:
        """Folder that the server's account owns: ours, unless that account cannot get there."""
        elsewhere = SHARED_PLACE / digest.of_bytes(str(self.folder).encode())[: digest.SHORT]
        for place in (self.folder, elsewhere):
            if (place / "data").exists():
                return place
        return self.folder if self._account.reaches(self.folder.parent) else elsewhere

    @property
    def _data(self) -> Path:
        return self._place / "data"

    @property
    def _passfile(self) -> Path:
        return self.folder / "pgpass"

    @property
    def _port_file(self) -> Path:
        return self.folder / "port"

    def _port(self) -> int:
        return int(self._port_file.read_text()) if self._port_file.exists() else 0

    # Is it there?

    def _answers(self) -> bool:
        """Whether the server on our port takes our password and serves our folder, and not somebody else's."""
        if not (self._passfile.exists() and self._port_file.exists()):
            return False
        try:
            with self._connect() as connection:
                row = connection.execute("SHOW data_directory").fetchone()
        except psycopg.OperationalError:
            return False
        return row is not None and Path(row[0]) == self._data

    def _connect(self, database: str = "postgres") -> psycopg.Connection[Any]:
        return psycopg.connect(
            host="127.0.0.1", port=self._port(), user=ROLE, dbname=database, passfile=str(self._passfile),
            connect_timeout=5, autocommit=True, application_name="ablate server",
        )  # fmt: skip

    def _pid(self) -> int | None:
        """Process of the live server, None when the pid file is missing, stale or names another program."""
        try:
            pid = int((self._data / "postmaster.pid").read_text().split("\n")[0])
            process = psutil.Process(pid)
            alive = process.status() != psutil.STATUS_ZOMBIE and str(self._data) in process.cmdline()
        except (OSError, ValueError, psutil.Error):
            return None
        return pid if alive else None

    # Making and starting it; the lock is held

    def _prepare_folder(self) -> None:
        self._refuse_links()
        missing = [path for path in reversed(self.folder.parents) if not path.exists()]
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        for path in missing:  # by root, in the home of whoever the account is
            if self._account.uid == path.parent.stat().st_uid:
                self._account.own(path)
        place = self._place
        place.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        for folder in {self.folder, place}:
            folder.mkdir(mode=0o700, exist_ok=True)
            if folder.stat().st_uid == os.geteuid():  # what belongs to somebody else stays as it is
                folder.chmod(0o700)
                if folder == place:
                    self._account.own(folder)

    def _refuse_links(self) -> None:
        """Root gives what it makes to another account; behind a link, that might be anything."""
        if os.geteuid() == 0:
            for path in (self.folder, self._place, self._data, self._passfile, self._port_file, self._log):
                if path.is_symlink():
                    raise StoreError(
                        f"{path}: is a link, and root follows none here; set ABLATE_HOME to where it leads, or run "
                        "as the account that owns it"
                    )

    def _write(self, path: Path, content: str) -> None:
        """A file for nobody but the server's account."""
        atomic.write_text(path, content, mode=0o600)
        self._account.own(path)

    def _create(self) -> None:
        if self._data.exists():
            return
        password = secrets.token_urlsafe(24)
        self._write(self._passfile, f"127.0.0.1:*:*:{ROLE}:{password}\n")
        scratch, secret = self._place / "data.new", self._place / "secret"
        shutil.rmtree(scratch, ignore_errors=True)  # left by somebody who was killed here
        self._write(secret, password)
        try:
            done = self._binaries.call(
                "initdb", "-D", scratch, "-U", ROLE, "--pwfile", secret,
                "--auth-host=scram-sha-256", "--auth-local=scram-sha-256",
                "--locale=C", "--encoding=UTF8", folder=self._place,
            )  # fmt: skip
        finally:
            secret.unlink()
        if done.returncode != 0:
            said = _cause(done.stdout)
            raise StoreError(
                f"{self._place}: Postgres cannot be created here: {said}; set ABLATE_HOME or pass --storage"
            )
        with (scratch / "postgresql.conf").open("a") as file:
            file.write("\ninclude_if_exists = 'ablate.conf'\n")
        scratch.rename(self._data)

    def _start(self) -> None:
        deadline = time.monotonic() + _START_S
        began = self._log.stat().st_size if self._log.exists() else 0
        spawned: int | None = None
        while time.monotonic() < deadline:
            if self._answers():
                return
            if self._pid() is None and not (spawned and _lives(spawned)):
                self._forget_stale_pid()
                self._write_settings()
                # Not by pg_ctl, which lets a shell read the names of folders
                spawned = self._binaries.spawn("postgres", "-D", self._data, folder=self._place, output=self._log)
            time.sleep(0.1)  # crash recovery goes on, or orphans of a killed server still hold its memory
        said = _cause(self._log.read_bytes()[began:].decode(errors="replace")) if self._log.exists() else "no message"
        raise StoreUnavailable(
            f"{self._data}: Postgres does not answer after {_START_S:.0f} s ({said}); see {self._log}"
        )

    @property
    def _log(self) -> Path:
        return self._place / "server.log"

    def _forget_stale_pid(self) -> None:
        """Remove a pid file whose number now belongs to another program, which Postgres would take for itself.

        A dead number is left to Postgres, which also looks for orphans of the old server; as long as there are any,
        nothing may be removed.
        """
        path = self._data / "postmaster.pid"
        try:
            pid = int(path.read_text().split("\n")[0])
        except (OSError, ValueError):
            return
        if psutil.pid_exists(pid) and not any(_works_in(process, self._data) for process in psutil.process_iter()):
            path.unlink(missing_ok=True)

    def _write_settings(self) -> None:
        port = self._port()
        if port == 0 or not _is_free(port):
            port = _free_port()
            self._write(self._port_file, str(port))
        settings = _SETTINGS | {"port": str(port)}
        path = self._data / "ablate.conf"
        self._write(path, "".join(f"{key} = '{value}'\n" for key, value in settings.items()))

    def _create_database(self) -> None:
        with self._connect() as connection:
            if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone() is None:
                connection.execute(f"CREATE DATABASE {DATABASE}")
                connection.execute(f"REVOKE ALL ON DATABASE {DATABASE} FROM PUBLIC")


def _disk_bytes(folder: Path) -> int:
    """Space that ``folder`` takes; a living server's files come and go meanwhile."""
    n_bytes = 0
    for file in folder.rglob("*"):
        with contextlib.suppress(OSError):
            n_bytes += file.stat().st_size
    return n_bytes


def _lives(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _works_in(process: psutil.Process, folder: Path) -> bool:
    try:
        return bool(process.cwd() == str(folder))
    except psutil.Error:
        return False


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _free_port() -> int:
    """A port below those that the kernel gives to outgoing connections, so that it is free again after a restart."""
    ports = range(20_000, 32_000)
    return next(port for port in random.sample(ports, len(ports)) if _is_free(port))


def _cause(output: str) -> str:
    """The line that says why: what comes after it is what was tidied up."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    causes = [line for line in lines if _CAUSE.search(line)]
    return causes[0] if causes else (lines or ["no message"])[-1]
