"""Several hosts on one machine: a database, two workers and a dashboard, each in a network of its own.

One worker host loses its network and gets it back. Its results are told late or dropped, no slot is lost or filled
twice, and scores are those of a single machine.
"""

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

import pytest
from cluster_study import N_SLOTS, assert_equal, assert_filled, fill_here, register, write_study

from ablate.launch.remote.address import without_password
from ablate.store.postgres_server import Server
from ablate.store.slot import SlotState
from ablate.store.store import Store

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "hosts.sh"
PREFIX, BRIDGE = "10.79.113", "abltest"
DATABASE, ONE, TWO, DASHBOARD = "db", "one", "two", "dash"
ADDRESSES = {name: f"{PREFIX}.{number}" for number, name in enumerate((DATABASE, ONE, TWO, DASHBOARD), 11)}
START = """
import sys, pathlib, ablate.store.postgres_server
ablate.store.postgres_server.Server(pathlib.Path(sys.argv[1])).ensure_running()
"""
LEASE_S = 3.0
LIMIT_S = 1500.0


def missing() -> str | None:
    """Why there can be no network namespaces here."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "needs ip: apt-get install iproute2"
    done = subprocess.run(["ip", "netns", "add", "abltry"], capture_output=True, text=True, check=False)
    subprocess.run(["ip", "netns", "delete", "abltry"], capture_output=True, check=False)
    return f"no network namespaces here: {done.stderr.strip()}" if done.returncode else None


why_not = missing()
pytestmark = [pytest.mark.cluster, pytest.mark.skipif(why_not is not None, reason=why_not or "")]


@dataclass
class Hosts:
    """The hosts and what was started on them."""

    folder: Path

    def __post_init__(self) -> None:
        self._started: list[subprocess.Popen[bytes]] = []

    def call(self, *arguments: str) -> None:
        subprocess.run([str(SCRIPT), *arguments], check=True, env=self._environment)

    def start(self, host: str, *arguments: str, **variables: str) -> subprocess.Popen[bytes]:
        """``python ARGUMENTS`` as ``host``, with a home and a log of its own."""
        variables = {"ABLATE_HOME": str(self.folder / host / "home")} | variables
        (self.folder / host).mkdir(exist_ok=True)
        with (self.folder / host / "log").open("ab") as log:
            process = subprocess.Popen(
                [str(SCRIPT), "exec", host, sys.executable, *arguments],
                env=self._environment | variables, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self._started.append(process)
        return process

    def log(self, host: str) -> str:
        return (self.folder / host / "log").read_text()

    def remove(self) -> None:
        self.call("down")
        for process in self._started:
            process.wait()

    @property
    def _environment(self) -> dict[str, str]:
        return {**os.environ, "ABLATE_HOSTS_PREFIX": PREFIX, "ABLATE_HOSTS_BRIDGE": BRIDGE}


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Hosts]:
    hosts = Hosts(tmp_path)
    hosts.call("down")
    try:
        hosts.call("up", *ADDRESSES)
        yield hosts
    finally:
        hosts.remove()


@pytest.fixture
def url(hosts: Hosts, tmp_path: Path) -> Iterator[str]:
    """Address of a database on its own host, with its password."""
    for folder in (tmp_path, *tmp_path.parents[:-1]):
        folder.chmod(folder.stat().st_mode | 0o055)  # the server's account must get there
    server = Server(tmp_path / "postgres")
    server.ensure_running()
    server.stop()
    data = server.status().folder / "data"
    with (data / "postgresql.conf").open("a") as file:
        file.write("listen_addresses = '*'\n")
    with (data / "pg_hba.conf").open("a") as file:
        file.write(f"host all all {PREFIX}.0/24 scram-sha-256\n")
    assert hosts.start(DATABASE, "-c", START, str(server.folder)).wait() == 0, hosts.log(DATABASE)
    _, port, _, _, password = (server.folder / "pgpass").read_text().strip().split(":")
    port = (server.folder / "port").read_text()
    yield f"postgresql://ablate:{password}@{ADDRESSES[DATABASE]}:{port}/ablate"


@pytest.mark.parametrize(
    ("cut_s", "ft_epochs"),
    [(2 * LEASE_S, 2), pytest.param(60.0, 20, marks=pytest.mark.slow)],
    ids=["seconds", "minute"],
)
def test_host_that_is_cut_off_and_comes_back(
    hosts: Hosts,
    url: str,
    empty_url: str,
    cut_s: float,
    ft_epochs: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ABLATE_HOME", str(tmp_path / "home"))
    spec = write_study(tmp_path, ft_epochs=ft_epochs)
    store = Store(url)
    store.create_schema()
    register(store, spec)

    def n_done() -> int:
        return store.counts(spec.name).of(SlotState.DONE)

    plain, secret = without_password(url)
    wanted = ("--study", spec.name, "--storage", plain, "--lease", f"{LEASE_S:g}")
    workers = [hosts.start(host, "-m", "ablate", "worker", *wanted, **secret) for host in (ONE, TWO)]
    show = ("--host", ADDRESSES[DASHBOARD], "--port", "8080")
    hosts.start(DASHBOARD, "-m", "ablate", "dashboard", "--storage", plain, *show, **secret)

    wait_until(lambda: n_done() >= 3 and {agent.host for agent in store.agents(spec.name)} == {ONE, TWO})
    hosts.call("cut", ONE)
    cut_at, n_before = time.monotonic(), n_done()
    wait_until(lambda: time.monotonic() - cut_at > cut_s and n_done() > n_before)
    assert all(worker.poll() is None for worker in workers), hosts.log(ONE) + hosts.log(TWO)
    hosts.call("heal", ONE)
    healed_with = n_done_by(store, spec.name, ONE)

    wait_until(lambda: study_is_shown(spec.name))
    wait_until(lambda: n_done() == N_SLOTS)
    assert [worker.wait() for worker in workers] == [0, 0], hosts.log(ONE) + hosts.log(TWO)
    assert n_done_by(store, spec.name, ONE) > healed_with
    store.disconnect()
    assert_filled(url, spec.name, N_SLOTS)
    fill_here(empty_url, spec)
    assert_equal(url, empty_url, spec.name)


def n_done_by(store: Store, study: str, host: str) -> int:
    return sum(agent.n_done for agent in store.agents(study) if agent.host == host)


def study_is_shown(study: str) -> bool:
    """Whether the dashboard on its host lists the study."""
    try:
        with urllib.request.urlopen(f"http://{ADDRESSES[DASHBOARD]}:8080/api/studies", timeout=5) as answer:
            return study in [each["study_name"] for each in json.load(answer)["study_summaries"]]
    except (URLError, TimeoutError):
        return False


def wait_until(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + LIMIT_S
    while not holds():
        if time.monotonic() > until:
            pytest.fail(f"not within {LIMIT_S:g} s")
        time.sleep(0.1)
