"""Databases, roles and servers set up in ways that other programs bear, and ours did not."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psycopg
import pytest
from sample_outcome import result
from sqlalchemy.engine import make_url

from ablate.errors import StoreError, StoreUnavailable
from ablate.store.read_only_role import read_only_url
from ablate.store.slot import AgentCard, PlannedSlot
from ablate.store.store import Store

AGENT = AgentCard(id="a", host="h", pid=1)
SLOT = PlannedSlot(key="search/ft/0", phase="search", arm="ft", context={}, index=0, seed=0)
PASSWORD = "ge@heim/7"


@pytest.fixture
def admin(empty_url: str) -> Iterator[psycopg.Connection]:
    parsed = make_url(empty_url)
    with psycopg.connect(
        host=parsed.host, port=parsed.port, user=parsed.username, dbname="postgres",
        passfile=str(parsed.query["passfile"]), autocommit=True,
    ) as connection:  # fmt: skip
        yield connection


def filled(store: Store) -> float:
    """A slot filled with a score of which no bit may be lost, and its predictions read back."""
    store.create_schema()
    score = 0.1 + 0.2
    store.register("s", {"question": "why?"}, "digest", [SLOT])
    claim = store.claim("s", AGENT)
    assert claim is not None
    store.set_params(claim, {"ft_lr": 1e-4})
    store.finish(claim, result(score, val_probabilities=np.arange(256, dtype=np.float32).reshape(64, 4)))
    store.mirror("s")
    tables = store.tables("s")
    np.testing.assert_array_equal(tables.probabilities(claim.slot.id, split="val").ravel(), np.arange(256))
    assert tables.attempts.started_at.notna().all()
    return float(tables.scores.val_auroc.iloc[0])


@pytest.mark.parametrize(
    "setting",
    [
        "standard_conforming_strings = off",
        "datestyle = 'German, DMY'",
        "timezone = 'Pacific/Chatham'",
        "bytea_output = 'escape'",
        "extra_float_digits = 0",
        "intervalstyle = 'iso_8601'",
    ],
)
def test_settings_of_the_database_change_nothing(empty_url: str, admin: psycopg.Connection, setting: str) -> None:
    admin.execute(f"ALTER DATABASE {make_url(empty_url).database} SET {setting}")
    store = Store(empty_url)
    assert filled(store) == 0.1 + 0.2
    store.disconnect()


def test_a_database_without_an_encoding(empty_url: str, admin: psycopg.Connection) -> None:
    name = f"{make_url(empty_url).database}_ascii"
    admin.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'")
    store = Store(make_url(empty_url).set(database=name).render_as_string(hide_password=False))
    try:
        assert filled(store) == 0.1 + 0.2
    finally:
        store.disconnect()
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_several_hosts_are_tried_in_turn(empty_url: str) -> None:
    parsed = make_url(empty_url)
    several = f"postgresql://{parsed.username}@127.0.0.1:1,127.0.0.1:{parsed.port}/{parsed.database}"
    store = Store(f"{several}?passfile={parsed.query['passfile']}")
    assert filled(store) == 0.1 + 0.2
    store.disconnect()


def test_two_connections_are_enough(empty_url: str, admin: psycopg.Connection) -> None:
    database = make_url(empty_url).database
    admin.execute("CREATE ROLE few LOGIN PASSWORD 'few' CONNECTION LIMIT 2")
    admin.execute(f"ALTER DATABASE {database} OWNER TO few")
    url = make_url(empty_url).set(username="few", password="few", query={}).render_as_string(hide_password=False)
    store = Store(url, patience_s=1)
    try:
        with pytest.raises(StoreUnavailable, match="too many connections"):
            store.create_schema()  # beside ours, Optuna opens two to make its tables
        admin.execute("ALTER ROLE few CONNECTION LIMIT 3")
        store.create_schema()
        admin.execute("ALTER ROLE few CONNECTION LIMIT 2")
        assert filled(store) == 0.1 + 0.2
    finally:
        store.disconnect()
        admin.execute(f"DROP DATABASE {database} WITH (FORCE)")
        admin.execute("DROP ROLE few")
        admin.execute(f"CREATE DATABASE {database}")  # for the fixture to drop


def ablate(*words: str, home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    given = {**os.environ, "ABLATE_HOME": str(home), **environment}
    command = [sys.executable, "-m", "ablate", *words]
    return subprocess.run(command, env=given, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("end", [":99999/d", "/d?sslmode=bad", "/d?colour=red", ":1/d?prepare_threshold=often"])
def test_a_mistake_in_the_address_is_no_outage_and_never_shows_the_password(tmp_path: Path, end: str) -> None:
    done = ablate("studies", "--storage", f"postgresql://u:pa@geheim@127.0.0.1{end}", home=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (4, 1), done.stderr
    assert "no answer within" not in done.stderr
    assert "geheim" not in done.stdout + done.stderr


@pytest.fixture
def with_password(store: Store, store_url: str, admin: psycopg.Connection) -> Iterator[str]:
    """The store's address under a role with a password in the address, which may write and make roles."""
    admin.execute(f"CREATE ROLE boss SUPERUSER LOGIN PASSWORD '{PASSWORD}'")
    yield make_url(store_url).set(username="boss", password=PASSWORD, query={}).render_as_string(hide_password=False)
    admin.execute(f"REASSIGN OWNED BY boss TO {make_url(store_url).username}")
    store.database.rows("DROP OWNED BY boss")
    admin.execute("DROP OWNED BY boss")
    admin.execute("DROP ROLE boss")


def test_the_read_only_address_holds_nothing_of_the_writers(with_password: str, tmp_path: Path) -> None:
    done = ablate("storage", "url", "--read-only", "--storage", with_password, home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert not any(part in done.stdout + done.stderr for part in ("boss", "heim"))
    reader = Store(done.stdout.strip())
    assert reader.studies() == []
    with pytest.raises(StoreError, match="may not do that"):
        reader.register("s", {}, "digest", [SLOT])
    reader.disconnect()


def test_whoever_may_change_a_part_only_is_no_writer_and_no_reader(
    store: Store,
) -> None:
    reader = Store(read_only_url(store.database))
    assert (reader.database.may_write(), reader.database.may_change()) == (False, False)
    role = reader.database.address.parameters["user"]
    store.database.rows(f"GRANT UPDATE ON ablate_study TO {role}")
    store.database.rows(f"ALTER ROLE {role} SET default_transaction_read_only = off")
    reader.disconnect()
    assert (reader.database.may_write(), reader.database.may_change()) == (False, True)
    store.database.rows(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}")
    assert not reader.database.may_write()  # rows of Optuna's tables are numbered by sequences
    store.database.rows(f"GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {role}")
    assert reader.database.may_write()
    reader.disconnect()


def test_a_report_under_a_role_that_may_only_read_is_written_and_says_what_was_left(
    store: Store, tmp_path: Path
) -> None:
    from ablate.study.file import load_spec
    from ablate.study.plan import plan

    spec = load_spec("sd_vs_lp", overrides=[])
    store.register(spec.name, spec.document(), spec.digest(), plan(spec))
    claim = store.claim(spec.name, AGENT)
    assert claim is not None
    store.set_params(claim, {"ft_lr": 1e-4})
    store.finish(claim, result())
    url = read_only_url(store.database)
    done = ablate("report", "--study", spec.name, "--storage", url, home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "takes no changes from this user" in done.stderr
    assert (tmp_path / "reports" / spec.name / "index.html").exists()
