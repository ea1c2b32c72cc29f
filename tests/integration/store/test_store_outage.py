import multiprocessing
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from proxy import Proxy
from small_study import result, search_slots
from sqlalchemy.engine import make_url

from ablate.errors import StoreError, StoreUnavailable
from ablate.store import database
from ablate.store.postgres_server import Server
from ablate.store.slot import AgentCard, SlotState
from ablate.store.store import Store

Register = Callable[..., str]


@pytest.fixture
def proxy(store_url: str) -> Iterator[Proxy]:
    proxy = Proxy(make_url(store_url).port or 0)
    yield proxy
    proxy.close()


@pytest.fixture
def proxied(proxy: Proxy, store_url: str) -> Iterator[Store]:
    store = Store(make_url(store_url).set(port=proxy.port).render_as_string(hide_password=False), patience_s=20)
    yield store
    store.disconnect()


def n_connections(store: Store, name: str) -> int:
    statement = (
        "SELECT count(*) AS n FROM pg_stat_activity WHERE application_name = :name AND datname = current_database()"
    )
    n: int = store.database.rows(statement, name=name)[0].n
    return n


def test_cut_connections_are_not_noticed(proxied: Store, proxy: Proxy, register: Register, agent: AgentCard) -> None:
    name = register(*search_slots(5))
    for _ in range(5):
        claim = proxied.claim(name, agent)
        assert claim is not None
        assert proxy.cut() > 0
        proxied.renew(claim)
        assert proxy.cut() > 0
        proxied.finish(claim, result())
        assert proxy.cut() > 0
    assert proxied.counts(name).of(SlotState.DONE) == 5


def test_answers_that_are_lost_do_no_harm(proxied: Store, proxy: Proxy, register: Register, agent: AgentCard) -> None:
    """The server has done what it was asked, but nobody hears of it: the call is sent again and must find it done."""
    name = register(*search_slots(2))
    proxied.counts(name)
    proxy.drop_answers = 1
    claim = proxied.claim(name, agent)
    assert claim is not None
    assert claim.token == 1
    assert proxied.counts(name).of(SlotState.LEASED) == 1
    proxy.drop_answers = 1
    proxied.finish(claim, result(0.7))
    proxied.finish(claim, result(0.7))
    other = proxied.claim(name, agent)
    assert other is not None
    proxy.drop_answers = 1
    assert proxied.fail(other, "crashed", "signal 11") == SlotState.WAITING
    assert [slot.failures for slot in proxied.slots(name)] == [0, 1]


def comes_to(n: int, store: Store) -> bool:
    """Whether so many connections are left; the server ends one a little after its client has."""
    deadline = time.monotonic() + 10
    while (is_so := n_connections(store, "busy") == n) is False and time.monotonic() < deadline:
        pass  # it is asked again
    return is_so


def test_few_connections_and_none_after_disconnecting(store: Store, store_url: str, register: Register) -> None:
    name = register()
    busy = Store(store_url, application_name="busy")
    threads = [threading.Thread(target=lambda: [busy.counts(name) for _ in range(20)]) for _ in range(10)]
    for thread in threads:
        thread.start()
    most = 0
    while any(thread.is_alive() for thread in threads):
        most = max(most, n_connections(store, "busy"))
    assert 1 <= most <= 3
    assert comes_to(1, store)
    busy.disconnect()
    assert comes_to(0, store)
    assert busy.counts(name).total() == 4
    busy.disconnect()


def test_a_rested_connection_that_died_is_replaced_before_use(
    store: Store, store_url: str, register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_REST_S", 0.0)  # every pause is a rest
    name = register()
    rested = Store(store_url, application_name="rested", patience_s=0)
    rested.counts(name)
    statement = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'rested'"
    store.database.rows(statement)
    assert rested.counts(name).total() == 4
    rested.disconnect()


def test_an_absent_server_is_named_after_the_patience(store_url: str) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = make_url(store_url).set(port=closed.getsockname()[1], password="geheim")
        store = Store(url.render_as_string(hide_password=False), patience_s=0.5)
        started = time.monotonic()
        with pytest.raises(StoreUnavailable, match=r"no answer within 0.5 s .*Connection refused") as caught:
            store.counts("s")
        assert time.monotonic() - started > 0.3
    assert "geheim" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"password": "geheim", "query": {}}, "password authentication failed"),
        ({"password": None, "query": {"passfile": "/dev/null"}}, "no password supplied"),
        ({"database": "nowhere"}, 'database "nowhere" does not exist'),
        ({"host": "nohost.invalid"}, "nohost.invalid"),
    ],
)
def test_refusals_are_told_at_once_and_never_show_the_password(
    store_url: str, change: dict[str, object], said: str
) -> None:
    store = Store(make_url(store_url).set(**change).render_as_string(hide_password=False), patience_s=600)  # type: ignore[arg-type]
    with pytest.raises(StoreError, match=said) as caught:
        store.studies()
    assert not isinstance(caught.value, StoreUnavailable)
    assert "geheim" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("url", ["sqlite:///x.db", "nonsense", "mysql://u:geheim@h/d"])
def test_an_address_that_is_no_postgres_is_refused(url: str) -> None:
    with pytest.raises(StoreError, match=r"expected postgresql://user@host:port/database") as caught:
        Store(url)
    assert "geheim" not in str(caught.value)


def test_a_database_without_tables_is_named(empty_url: str) -> None:
    store = Store(empty_url)
    with pytest.raises(StoreError, match="holds no tables of ablate"):
        store.studies()
    store.disconnect()


@pytest.fixture
def own_server() -> Iterator[Server]:
    folder = Path(tempfile.mkdtemp(prefix="ablate-outage-"))
    folder.chmod(0o755)
    server = Server(folder / "postgres")
    server.ensure_running()
    yield server
    server.stop()
    shutil.rmtree(folder)


def _fill(url: str, number: int) -> None:
    store = Store(url, patience_s=60)
    agent = AgentCard(id=f"agent-{number}", host="h", pid=number)
    while store.counts("s").unfinished():
        claim = store.claim("s", agent, lease_s=30)
        if claim is not None:
            store.renew(claim)
            store.finish(claim, result(claim.slot.index / 1000))


def test_a_study_survives_restarts_and_kill_9_of_the_server(own_server: Server) -> None:
    store = Store(own_server.url, patience_s=60)
    store.create_schema()
    store.register("s", {}, "d", search_slots(200))
    store.disconnect()
    context = multiprocessing.get_context("fork")
    agents = [context.Process(target=_fill, args=(own_server.url, number)) for number in range(4)]
    for process in agents:
        process.start()
    for n_done in (30, 80, 130):
        while store.counts("s").of(SlotState.DONE) < n_done:
            pass
        if n_done == 80:
            own_server.stop()
        else:
            process = psutil.Process(own_server.status().pid)
            process.kill()
            psutil.wait_procs([process])
        own_server.ensure_running()
    for agent_process in agents:
        agent_process.join(timeout=120)
        assert agent_process.exitcode == 0
    assert store.counts("s").of(SlotState.DONE) == 200
    assert store.tables("s").scores.val_auroc.to_list() == [i / 1000 for i in range(200)]
    store.disconnect()
