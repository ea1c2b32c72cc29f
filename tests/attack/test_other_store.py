"""Another store at the address of ours: nothing of one ever enters the other."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sample_outcome import progress, result
from sqlalchemy.engine import make_url

from ablate.errors import ForeignStore, LeaseLost, StoreError
from ablate.store.slot import AgentCard, Claim, PlannedSlot
from ablate.store.store import Store
from ablate.worker.outbox import Outbox
from ablate.worker.spool import Spool, SpooledResult

AGENT = AgentCard(id="a", host="h", pid=1)
SLOTS = [PlannedSlot(key=f"search/ft/{i}", phase="search", arm="ft", context={}, index=i, seed=i) for i in range(3)]


class Address:
    """An address of which the database behind can be changed under everybody's hands."""

    def __init__(self, url: str) -> None:
        self.url, self.name = url, make_url(url).database or ""
        parsed = make_url(url)
        self._admin = psycopg.connect(
            host=parsed.host, port=parsed.port, user=parsed.username, dbname="postgres",
            passfile=str(parsed.query["passfile"]), autocommit=True,
        )  # fmt: skip

    def put_away(self, as_name: str) -> None:
        self._disconnect_all(self.name)
        self._admin.execute(f"ALTER DATABASE {self.name} RENAME TO {as_name}")

    def put_empty(self) -> None:
        self._admin.execute(f"CREATE DATABASE {self.name}")

    def put_back(self, as_name: str) -> None:
        self._disconnect_all(self.name)
        self._admin.execute(f"DROP DATABASE {self.name}")
        self._admin.execute(f"ALTER DATABASE {as_name} RENAME TO {self.name}")

    def copy(self, as_name: str) -> None:
        """As a dump would have it."""
        self._disconnect_all(self.name)
        self._admin.execute(f"CREATE DATABASE {as_name} TEMPLATE {self.name}")

    def close(self, *names: str) -> None:
        for name in names:
            self._admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        self._admin.close()

    def _disconnect_all(self, name: str) -> None:
        self._admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])


@pytest.fixture
def address(store_url: str) -> Iterator[Address]:
    address = Address(store_url)
    yield address
    address.close(f"{address.name}_away")


def registered(store: Store, name: str = "s") -> str:
    store.create_schema()
    store.register(name, {"question": "why?"}, "digest", SLOTS)
    return name


def claimed(store: Store, name: str = "s") -> Claim:
    claim = store.claim(name, AGENT)
    assert claim is not None
    store.set_params(claim, {"ft_lr": 1e-4})
    return claim


def test_a_study_of_the_same_name_in_an_empty_database_takes_nothing_of_ours(store: Store, address: Address) -> None:
    claim = claimed(store, registered(store))
    ours = store.study("s").id
    address.put_away(f"{address.name}_away")
    address.put_empty()
    for act in (lambda: store.renew(claim, progress()), lambda: store.claim("s", AGENT), lambda: store.study("s")):
        with pytest.raises(ForeignStore, match=f"is not the store that this process belongs to.*s \\({ours}\\)"):
            act()
    other = Store(address.url)
    assert claimed(other, registered(other)).slot.id == claim.slot.id  # the same small numbers
    assert store.claim("s", AGENT) is None
    for act in (
        lambda: store.study("s"),
        lambda: store.renew(claim, progress()),
        lambda: store.set_params(claim, {"ft_lr": 1.0}),
        lambda: store.finish(claim, result(0.1)),
        lambda: store.fail(claim, "diverged", "nan"),
        lambda: store.release(claim, "Ctrl-C"),
    ):
        with pytest.raises(ForeignStore):
            act()
    assert not store.put_study_artifact("s", "test_fold.npz", b"labels")
    assert [str(slot.state) for slot in other.slots("s")] == ["leased", "waiting", "waiting"]
    assert other.slots("s")[0].params == {"ft_lr": 1e-4}
    assert {agent.slot for agent in other.agents("s")} == {"search/ft/0"}
    other.disconnect()
    address.put_back(f"{address.name}_away")
    store.finish(claim, result(0.8))  # what waited is told when its store is back
    assert store.tables("s").scores.val_auroc.to_list() == [0.8]


def test_between_a_store_and_the_next_a_worker_hears_that_its_own_is_gone(store: Store, address: Address) -> None:
    claim = claimed(store, registered(store))
    address.put_away(f"{address.name}_away")
    with pytest.raises(ForeignStore):
        store.renew(claim, progress())
    with pytest.raises(StoreError, match=r"does not exist.*check --storage"):  # who has seen none has a wrong address
        Store(address.url).study("s")
    address.put_empty()


def test_a_result_waits_on_disk_until_its_own_store_is_back(store: Store, address: Address, tmp_path: Path) -> None:
    claim = claimed(store, registered(store))
    address.put_away(f"{address.name}_away")
    address.put_empty()
    other = Store(address.url)
    registered(other)
    with Spool(tmp_path, agent="a") as spool:
        outbox = Outbox(store, spool)
        outbox.put(SpooledResult(claim, result(0.8), b"labels"))
        with pytest.raises(ForeignStore):
            outbox.tell(lambda _: None)
        assert len(list(tmp_path.rglob("*.result"))) == len(outbox) == 1
        assert other.read_artifact("s", None, "test_fold.npz") is None
        other.disconnect()
        address.put_back(f"{address.name}_away")
        outbox.tell(lambda _: None)
        assert list(tmp_path.rglob("*.result")) == []
    assert str(store.slots("s")[0].state) == "done"
    assert store.read_artifact("s", None, "test_fold.npz") == b"labels"


def test_a_restored_dump_takes_no_result_of_an_attempt_that_it_does_not_know(store: Store, address: Address) -> None:
    name = registered(store)
    address.copy(f"{address.name}_away")
    late = claimed(store)  # after the dump
    address.put_back(f"{address.name}_away")
    new = claimed(store)
    assert (new.slot.id, new.token) == (late.slot.id, late.token)
    for act in (
        lambda: store.finish(late, result(0.1)),
        lambda: store.renew(late),
        lambda: store.fail(late, "hung", ""),
    ):
        with pytest.raises(LeaseLost):
            act()
    store.finish(new, result(0.8))
    with pytest.raises(LeaseLost):
        store.finish(late, result(0.1))
    assert store.tables(name).scores.val_auroc.to_list() == [0.8]


def test_a_study_that_was_deleted_and_registered_anew_is_another(store: Store) -> None:
    claim = claimed(store, registered(store))
    store.database.rows("DELETE FROM ablate_study WHERE name = 's'")
    other = Store(store.database.address.url)
    registered(other, "s")
    with pytest.raises(ForeignStore):
        store.finish(claim, result())
    assert {str(slot.state) for slot in other.slots("s")} == {"waiting"}
    other.disconnect()


def test_a_renamed_study_is_the_same_and_its_old_name_free(store: Store) -> None:
    claim = claimed(store, registered(store))
    store.database.rows("UPDATE ablate_study SET name = 'renamed' WHERE name = 's'")
    other = Store(store.database.address.url)
    registered(other, "s")
    assert store.study("s").name == "renamed"
    store.finish(claim, result())
    assert {str(slot.state) for slot in other.slots("s")} == {"waiting"}
    assert [str(slot.state) for slot in other.slots("renamed")] == ["done", "waiting", "waiting"]
    other.disconnect()


@pytest.mark.parametrize(("version", "message"), [("0000", "storage upgrade"), ("9999", "newer than this ablate")])
def test_tables_of_another_version_are_not_written(store: Store, version: str, message: str) -> None:
    claim = claimed(store, registered(store))
    store.database.rows("UPDATE ablate_version SET version_num = :version", version=version)
    assert store.claim("s", AGENT) is None
    for act in (lambda: store.study("s"), lambda: store.finish(claim, result()), lambda: store.renew(claim)):
        with pytest.raises(StoreError, match=message):
            act()
    fresh = Store(store.database.address.url)
    with pytest.raises(StoreError, match=message):
        fresh.claim("s", AGENT)
    fresh.disconnect()
    rows = store.database.rows("SELECT DISTINCT state FROM ablate_slot")
    assert {row.state for row in rows} == {"leased", "waiting"}


def test_an_artifact_that_is_not_what_was_written_is_refused(store: Store) -> None:
    claim = claimed(store, registered(store))
    store.finish(claim, result())
    assert store.tables("s").probabilities(claim.slot.id, split="val").shape == (2, 2)
    store.database.rows("UPDATE ablate_artifact SET content = content || content")
    with pytest.raises(StoreError, match=r"artifact val\.npz: damaged in the store"):
        store.tables("s").probabilities(claim.slot.id, split="val")
