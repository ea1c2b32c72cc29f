import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from small_study import search_slots
from sqlalchemy.engine import make_url

from ablate.errors import StoreError
from ablate.store.read_only_role import read_only_url
from ablate.store.slot import AgentCard
from ablate.store.store import Store

Register = Callable[..., str]


def test_it_reads_everything_and_writes_nothing(store: Store, register: Register, agent: AgentCard) -> None:
    name = register(*search_slots(2))
    url = read_only_url(store.database)
    assert read_only_url(store.database) == url
    reader = Store(url, patience_s=5)
    assert reader.counts(name).total() == 2
    assert reader.tables(name).slots.shape[0] == 2
    [row] = reader.database.rows("SELECT count(*) AS n FROM studies")
    assert row.n == 2  # search and confirmation
    for act in (
        lambda: reader.request_stop(name),
        lambda: reader.claim(name, agent),
        lambda: reader.database.rows("DELETE FROM studies"),
        lambda: reader.database.rows("CREATE TABLE mine (id int)"),
    ):
        with pytest.raises(StoreError, match="this user may not do that"):
            act()
    reader.database.rows("SET default_transaction_read_only = off")  # on the one connection that it has
    with pytest.raises(StoreError, match="permission denied"):
        reader.database.rows("DELETE FROM trials")
    reader.disconnect()
    assert store.counts(name).total() == 2


def test_its_password_lies_in_a_file_of_its_own(store: Store) -> None:
    url = make_url(read_only_url(store.database))
    assert url.password is None
    passfile = Path(str(url.query["passfile"]))
    assert stat.S_IMODE(passfile.stat().st_mode) == 0o600
    assert passfile.read_text() != Path(str(store.database.address.passfile)).read_text()


def test_a_lost_password_file_is_made_anew(store: Store) -> None:
    url = read_only_url(store.database)
    Path(str(make_url(url).query["passfile"])).unlink()
    assert read_only_url(store.database) == url
    reader = Store(url, patience_s=5)
    assert reader.studies() == []
    reader.disconnect()


def test_a_user_who_may_not_make_roles_is_told(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ABLATE_HOME", str(tmp_path))
    store.database.rows("CREATE ROLE plain LOGIN PASSWORD 'plain'")
    url = make_url(store.database.address.url).set(username="plain", password="plain", query={})
    plain = Store(url.render_as_string(hide_password=False), patience_s=5)
    store.database.rows(f"GRANT ALL ON DATABASE {url.database} TO plain")
    try:
        with pytest.raises(StoreError, match="may not make a read-only role"):
            read_only_url(plain.database)
    finally:
        plain.disconnect()
        store.database.rows(f"REVOKE ALL ON DATABASE {url.database} FROM plain")
        store.database.rows("DROP ROLE plain")
