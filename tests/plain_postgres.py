"""A Postgres as an administrator has it: Debian's programs, its own settings, nothing of ours."""

import secrets
import shutil
import socket
import subprocess
from pathlib import Path
from urllib.parse import quote

from ablate.store.postgres_binaries import Account

ROLE = DATABASE = "ablate"


def programs() -> Path | None:
    """Folder of the newest Postgres that is installed here, None where there is none."""
    folders = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    return max(folders, key=lambda folder: int(folder.parent.name), default=None)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class PlainPostgres:
    """A server of its own in ``folder``, on loopback, with a password; ``ROLE`` may do all."""

    def __init__(self, folder: Path) -> None:
        found = programs()
        assert found is not None, "no Postgres is installed here"
        self._programs, self._account = found, Account.choose()
        self._folder, self._data, self.port = folder, folder / "data", free_port()
        self.passfile = folder / "pgpass"

    @property
    def url(self) -> str:
        """As the managed one's: with a password file."""
        place = f"127.0.0.1:{self.port}/{DATABASE}"
        return f"postgresql+psycopg://{ROLE}@{place}?passfile={quote(str(self.passfile), safe='')}"

    @property
    def pid(self) -> int | None:
        """Of the server, None where it does not run."""
        try:
            return int((self._data / "postmaster.pid").read_text().split("\n")[0])
        except (OSError, ValueError):
            return None

    def ensure_running(self) -> str:
        """Make and start it unless it runs; its address."""
        if not self._data.exists():
            self._make()
        if not self._call("pg_ctl", "status", "-D", self._data):
            assert self._call("pg_ctl", "start", "-w", "-D", self._data, "-l", self._folder / "log"), self.log
            self._call("createdb", "-h", self._folder, "-p", str(self.port), "-U", ROLE, "--no-password", DATABASE)
        return self.url

    def stop(self) -> None:
        """Stop it, letting transactions go."""
        self._call("pg_ctl", "stop", "-w", "-m", "fast", "-D", self._data)

    @property
    def log(self) -> str:
        """What it has written."""
        return (self._folder / "log").read_text() if (self._folder / "log").exists() else ""

    def _make(self) -> None:
        self._folder.mkdir(mode=0o755)
        self._account.own(self._folder)
        password = secrets.token_urlsafe(24)
        self.passfile.write_text(f"127.0.0.1:*:*:{ROLE}:{password}\n")
        self.passfile.chmod(0o600)
        secret = self._folder / "secret"
        secret.write_text(password)
        self._account.own(secret)
        options = ("-U", ROLE, "--pwfile", secret, "--auth-host=scram-sha-256", "--auth-local=trust", "--encoding=UTF8")
        assert self._call("initdb", "-D", self._data, "--locale=C.UTF-8", *options)
        secret.unlink()
        with (self._data / "postgresql.conf").open("a") as file:  # its sockets lie where only its account comes
            file.write(f"port = {self.port}\nunix_socket_directories = '{self._folder}'\nfsync = off\n")

    def _call(self, program: str, *arguments: str | Path) -> bool:
        try:
            return self._account.call(self._programs / program, *arguments, folder=Path("/")).returncode == 0
        except subprocess.TimeoutExpired:
            return False

    def remove(self) -> None:
        """Stop it and leave nothing."""
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)
