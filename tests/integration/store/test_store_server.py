import contextlib
import json
import multiprocessing
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import psutil
import psycopg
import pytest

from ablate.errors import StoreError
from ablate.store.postgres_server import Server
from ablate.store.read_only_role import read_only_url
from ablate.store.store import Store

FORK = multiprocessing.get_context("fork")


@pytest.fixture(scope="module")
def made() -> Iterator[Path]:
    """A folder with a stopped server: making one takes long where the disk is busy."""
    with tempfile.TemporaryDirectory(prefix="ablate-made-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        server = Server(folder / "postgres")
        server.ensure_running()
        server.stop()
        with (folder / "postgres" / "data" / "postgresql.auto.conf").open("a") as file:
            file.write("fsync = off\n")
        yield folder / "postgres"


@pytest.fixture
def empty_home() -> Iterator[Path]:
    """A folder that every account can reach; whatever server is left in it is stopped."""
    folder = Path(tempfile.mkdtemp(prefix="ablate-server-"))
    folder.chmod(0o755)
    yield folder
    Server(folder / "postgres").stop()
    shutil.rmtree(folder)


@pytest.fixture
def home(empty_home: Path, made: Path) -> Path:
    """The same with a server in it that was stopped."""
    subprocess.run(["cp", "-a", made, empty_home / "postgres"], check=True)
    (empty_home / "postgres" / "port").unlink()
    return empty_home


def answer(url: str) -> int:
    """Ask the server something."""
    store = Store(url)
    one: int = store.database.rows("SELECT 1 AS one")[0].one
    store.disconnect()
    return one


def kill_server(server: Server) -> int:
    """kill -9 the postmaster; gives its number."""
    pid = server.status().pid
    assert pid is not None
    process = psutil.Process(pid)
    process.kill()
    psutil.wait_procs([process], timeout=10)
    return pid


def test_it_is_made_once_and_answers_until_it_is_stopped(empty_home: Path) -> None:
    server = Server(empty_home / "postgres")
    assert server.status().running is False
    assert server.status().url is None
    assert server.stop() is False
    url = server.ensure_running()
    assert server.ensure_running() == url
    status = server.status()
    assert (status.running, status.url, status.version) == (True, url, "18")
    assert status.disk_bytes > 10**7
    assert server.stop() is True
    assert server.status().running is False
    assert server.ensure_running() == url  # the same port again


def test_it_is_closed_to_others(home: Path) -> None:
    server = Server(home / "postgres")
    url = server.ensure_running()
    folder = home / "postgres"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "data").stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "pgpass").stat().st_mode) == 0o600
    password = (folder / "pgpass").read_text().strip().rpartition(":")[2]
    assert len(password) >= 32
    assert password not in url
    assert not [process for process in psutil.process_iter(["cmdline"]) if password in str(process.info["cmdline"])]
    assert password not in (folder / "server.log").read_text()
    port = url.rpartition(":")[2].partition("/")[0]
    for given in ({}, {"password": "wrong"}):
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(host="127.0.0.1", port=port, user="ablate", dbname="ablate", passfile="/dev/null", **given)
    listening = {
        c.laddr.ip for c in psutil.net_connections("tcp") if c.status == "LISTEN" and str(c.laddr.port) == port
    }
    assert listening == {"127.0.0.1"}


def _start(folder: Path, urls: "multiprocessing.Queue[str]") -> None:
    urls.put(Server(folder).ensure_running())


def test_eight_at_once_get_one_server(home: Path) -> None:
    urls: multiprocessing.Queue[str] = FORK.Queue()
    starters = [FORK.Process(target=_start, args=(home / "postgres", urls)) for _ in range(8)]
    for process in starters:
        process.start()
    assert len({urls.get(timeout=60) for _ in starters}) == 1
    for process in starters:
        process.join()
    data = str(home / "postgres" / "data")
    assert len([p for p in psutil.process_iter(["cmdline"]) if data in (p.info["cmdline"] or [])]) == 1


def test_it_outlives_whoever_started_it(home: Path) -> None:
    code = f"""
import os, pathlib, sys
from ablate.store.postgres_server import Server
print(Server(pathlib.Path({str(home)!r}) / "postgres").ensure_running(), flush=True)
sys.stdin.read()
"""
    starter = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stdin=subprocess.PIPE, start_new_session=True, text=True
    )
    assert starter.stdout is not None
    url = starter.stdout.readline().strip()
    os.killpg(starter.pid, signal.SIGKILL)
    starter.wait()
    starter.stdout.close()
    assert starter.stdin is not None
    starter.stdin.close()
    server = Server(home / "postgres")
    pid = server.status().pid
    assert server.ensure_running() == url
    assert server.status().pid == pid
    assert pid is not None
    assert os.getsid(pid) != os.getsid(0)


def test_it_comes_back_after_kill_9_of_the_server(home: Path) -> None:
    server = Server(home / "postgres")
    url = server.ensure_running()
    store = Store(url)
    store.create_schema()
    store.register("kept", {}, "d", [])
    kill_server(server)
    assert server.ensure_running() == url
    assert store.studies() == ["kept"]
    store.disconnect()


def test_a_pid_file_that_names_another_program_is_not_believed(home: Path) -> None:
    server = Server(home / "postgres")
    server.ensure_running()
    pid = kill_server(server)
    pid_file = home / "postgres" / "data" / "postmaster.pid"
    account = server._account  # the number was given to another program of the same account
    sleeper = subprocess.Popen(["sleep", "600"], user=account.uid, group=account.gid)
    try:
        pid_file.write_text(pid_file.read_text().replace(str(pid), str(sleeper.pid), 1))
        assert server.status().running is False
        assert server.stop() is False
        server.ensure_running()
        assert sleeper.poll() is None
    finally:
        sleeper.kill()
        sleeper.wait()


def _hang_up_on_everybody(listener: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            listener.accept()[0].close()


def test_a_taken_port_is_exchanged(home: Path) -> None:
    server = Server(home / "postgres")
    url = server.ensure_running()
    server.stop()
    with socket.socket() as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # the port's last connections linger
        thief.bind(("127.0.0.1", server._port()))
        thief.listen()
        threading.Thread(target=_hang_up_on_everybody, args=(thief,), daemon=True).start()
        new_url = server.ensure_running()
        thief.shutdown(socket.SHUT_RDWR)
    assert new_url != url
    assert answer(new_url) == 1


def test_a_half_made_folder_is_made_anew(empty_home: Path) -> None:
    folder = empty_home / "postgres"
    (folder / "data.new").mkdir(parents=True)
    (folder / "data.new" / "junk").write_text("left by somebody who was killed")
    (folder / "pgpass").write_text("127.0.0.1:*:*:ablate:old\n")
    (folder / "pgpass").chmod(0o600)
    assert answer(Server(folder).ensure_running()) == 1


def _as_nobody(folder: Path, answers: "multiprocessing.Queue[object]") -> None:
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
    server = Server(folder / "postgres")
    try:
        answers.put((answer(server.ensure_running()), psutil.Process(server.status().pid).uids().real))
        answers.put(server.stop())
    except BaseException as error:
        answers.put(repr(error))
        raise


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_an_ordinary_user_has_a_server_of_their_own(home: Path) -> None:
    server = Server(home / "postgres")
    answer(server.ensure_running())  # so that all modules are there: others may not reach where Python lies
    server.stop()
    shutil.rmtree(home / "postgres")
    os.chown(home, 65534, 65534)
    answers: multiprocessing.Queue[object] = FORK.Queue()
    user = FORK.Process(target=_as_nobody, args=(home, answers))
    user.start()
    assert answers.get(timeout=60) == (1, 65534)
    assert answers.get(timeout=60) is True
    user.join()


@pytest.mark.skipif(os.geteuid() != 0, reason="root's own case")
def test_root_keeps_the_data_where_the_account_of_postgres_can_reach_it(home: Path) -> None:
    closed = home / "closed"
    closed.mkdir(mode=0o700)
    server = Server(closed / "postgres")
    try:
        server.ensure_running()
        status = server.status()
        assert status.running
        assert status.folder.is_relative_to("/var/lib/ablate")
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700
        assert psutil.Process(status.pid).uids().real != 0
    finally:
        server.stop()
        shutil.rmtree(server.status().folder)


def test_a_folder_that_cannot_be_made_is_an_error_of_one_line(home: Path) -> None:
    (home / "file").write_text("")
    with pytest.raises(StoreError, match=r"file/postgres: cannot hold a Postgres .* set ABLATE_HOME") as caught:
        Server(home / "file" / "postgres").ensure_running()
    assert "\n" not in str(caught.value)


def test_optuna_dashboard_takes_the_address(store_url: str, store: Store) -> None:
    store.register("shown", {"question": "?"}, "d", [])
    store.mirror("shown")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        str(Path(sys.executable).parent / "optuna-dashboard"),
        "--port",
        str(port),
        read_only_url(store.database),
    ]
    dashboard = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        page = _fetch(f"http://127.0.0.1:{port}/api/studies", dashboard)
        assert [study["study_name"] for study in json.loads(page)["study_summaries"]] == ["shown · confirm"]
        assert '"val_auroc"' in _fetch(f"http://127.0.0.1:{port}/api/studies/1", dashboard)
    finally:
        dashboard.terminate()
        dashboard.communicate(timeout=30)


def _fetch(address: str, process: "subprocess.Popen[str]") -> str:
    deadline = time.monotonic() + 60
    while True:
        try:
            with urlopen(address, timeout=10) as answer:
                return answer.read().decode()
        except OSError:
            assert process.poll() is None, process.stderr and process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.1)
