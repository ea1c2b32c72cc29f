"""A known password and a running service: who can see what."""

import os
import stat
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import click
import psutil
import psycopg
import pytest
import typer.main
from click.testing import CliRunner
from managed_server import as_admin
from sqlalchemy.engine import make_url

from ablate.cli.main import app
from ablate.store.postgres_server import Server
from ablate.store.store import Store

PASSWORD = "ge@heim/7"
PARTS = ("ge@heim", "heim/7", "ge%40heim", "heim%2F7")
STUDY = """
question = "Who can see the password?"
data = {source = "synthetic", task = "superdiagnostic", n_records = 200, seed = 3}
encoder = {name = "net1d_small", weights = "random"}
fixed = {ft_epochs = 1, batch_size = 64}
budget = {search_trials = 0, replicates = 1}
space = {drop_path_rate = {low = 0.0, high = 0.5}}
arms = {ft = {drop_path_rate = 0.0}, sd = {drop_path_rate = 0.2}}
"""


@pytest.fixture
def url(store_url: str) -> Iterator[str]:
    """The store's address under a role whose password stands in it."""
    database = make_url(store_url).database
    with as_admin(store_url) as admin:
        admin.execute(f"CREATE ROLE boss SUPERUSER LOGIN PASSWORD '{PASSWORD}'")
        yield (
            make_url(store_url).set(username="boss", password=PASSWORD, query={}).render_as_string(hide_password=False)
        )
        admin.execute(f"ALTER DATABASE {database} OWNER TO CURRENT_USER")
        with psycopg.connect(
            host="127.0.0.1", port=make_url(store_url).port, user=admin.info.user, dbname=database,
            passfile=str(make_url(store_url).query["passfile"]), autocommit=True,
        ) as own:  # fmt: skip
            own.execute("REASSIGN OWNED BY boss TO CURRENT_USER")
            own.execute("DROP OWNED BY boss")
        admin.execute("DROP ROLE boss")


def holds(text: str) -> list[str]:
    return [part for part in PARTS if part in text]


class Watch:
    """Looks at every command line of the machine until it is told to stop."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.1):
            for process in psutil.process_iter(["cmdline"]):
                line = " ".join(process.info["cmdline"] or [])
                if holds(line):
                    self.seen.append(line)


def commands(group: click.Group, *before: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command with its words."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, *before, name)
        else:
            yield (*before, name), command


@pytest.mark.slow
def test_a_password_is_nowhere_to_be_seen(url: str, server: Server, tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(STUDY)
    home = tmp_path / "home"
    environment = {**os.environ, "ABLATE_HOME": str(home), "ABLATE_STORAGE": url, "OMP_NUM_THREADS": "1"}

    def ablate(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "ablate", *words], cwd=tmp_path, env=environment, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    with Watch() as watch:
        said = ablate("run", str(tmp_path / "tiny.toml"), "--workers", "2")
        for words in (("status", "tiny"), ("status", "tiny", "--json"), ("report", "tiny"), ("studies",), ("doctor",)):
            said += ablate(*words)
        said += ablate("storage", "url", "--read-only")
        dashboard = subprocess.Popen(
            [sys.executable, "-m", "ablate", "dashboard", "--port", "8741"], env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            said += page("http://127.0.0.1:8741/api/studies", dashboard)
            said += page("http://127.0.0.1:8741/api/studies/1", dashboard)
            with pytest.raises(urllib.error.HTTPError, match="403"):
                urllib.request.urlopen(
                    urllib.request.Request("http://127.0.0.1:8741/api/studies", headers={"Host": "evil.example"})
                )
            addresses = {c.laddr.ip for c in psutil.Process(dashboard.pid).net_connections() if c.status == "LISTEN"}
            assert addresses == {"127.0.0.1"}
        finally:
            dashboard.terminate()
            said += dashboard.communicate(timeout=30)[0]
    assert watch.seen == []
    assert holds(said) == []
    told = [path for path in (*home.rglob("*"), server.folder / "server.log") if path.is_file()]
    assert [path for path in told if holds(path.read_bytes().decode("latin-1"))] == []
    assert len(told) > 5


def page(address: str, process: "subprocess.Popen[str]") -> str:
    while True:
        try:
            with urllib.request.urlopen(address, timeout=10) as answer:
                return str(answer.read().decode())
        except urllib.error.URLError:
            assert process.poll() is None
            threading.Event().wait(0.1)


def test_no_commands_error_shows_a_password(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ABLATE_HOME", str(tmp_path))
    (tmp_path / "tiny.toml").write_text(STUDY)
    port = make_url(server.url).port
    wrong = [
        f"postgresql://u:{PASSWORD.replace('/', '%2F')}@127.0.0.1:{port}/d",  # refused by the server
        f"postgresql://u:{PASSWORD}@127.0.0.1:{port}/d",
        f"postgresql://u:{PASSWORD.replace('/', '?')}@127.0.0.1:{port}/d",
        f"postgresql://u:{PASSWORD.replace('/', '%2F')}@127.0.0.1:99999/d",
        "postgresql://u:ge?heim",
    ]
    n_said = 0
    for words, command in commands(typer.main.get_command(app)):  # type: ignore[arg-type]
        options = {option for parameter in command.params for option in parameter.opts}
        if "--storage" not in options:
            continue
        takes_study = any(isinstance(parameter, click.Argument) for parameter in command.params)
        for address in wrong:
            given = [*words, *([str(tmp_path / "tiny.toml")] if takes_study else []), "--storage", address]
            done = CliRunner().invoke(typer.main.get_command(app), given)
            said = f"{done.output} {done.exception!s} {done.exception!r}"
            assert done.exit_code != 0, given
            assert not any(part in said for part in ("heim", "ge@", "ge?")), (given, said)
            n_said += 1
    assert n_said > 50


def test_a_running_service_is_closed_to_others(server: Server) -> None:
    """Sockets, modes and owners of the managed Postgres."""
    store = Store(server.url)
    store.database.rows("SELECT 1")
    pid = server.status().pid
    assert pid is not None
    postmaster = psutil.Process(pid)
    listening = [c for c in postmaster.net_connections("all") if c.status == "LISTEN" or c.type == 0]
    assert {c.laddr.ip for c in listening} == {"127.0.0.1"}
    assert len(listening) == 1
    assert [c.laddr for c in postmaster.net_connections("unix") if c.laddr] == []
    owner = postmaster.uids().real
    assert owner != 0
    for path in (server.folder, server.folder / "data"):
        assert (stat.S_IMODE(path.stat().st_mode), path.stat().st_uid) == (0o700, owner)
    for path in server.folder.rglob("*"):
        status = path.lstat()
        assert not stat.S_ISLNK(status.st_mode)
        assert status.st_uid == owner, path
        assert not status.st_mode & 0o077 or path.suffix == ".lock", path
    store.disconnect()
