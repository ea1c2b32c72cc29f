from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext

from ablate.errors import StoreError
from ablate.store import migration
from ablate.store.schema import metadata
from ablate.store.slot import Agent
from ablate.store.store import Store

Register = Callable[..., str]


def set_version(store: Store, version: str) -> None:
    store.database.rows(f"UPDATE {migration.VERSION_TABLE} SET version_num = :version", version=version)


def downgrade(store: Store, version: str) -> None:
    settings = Config()
    settings.set_main_option("script_location", str(Path(migration.__file__).parent / "migrations"))

    def work(connection: sa.Connection) -> None:
        settings.attributes["connection"] = connection
        command.downgrade(settings, version)

    store.database.transact(work)


def test_the_migrations_lead_to_the_schema(store: Store) -> None:
    def compare(connection: sa.Connection) -> list[object]:
        options = {"version_table": migration.VERSION_TABLE, "include_name": is_ours, "compare_server_default": True}
        return compare_metadata(MigrationContext.configure(connection, opts=options), metadata)

    def is_ours(name: str | None, kind: str, _: object) -> bool:
        return kind != "table" or str(name).startswith("ablate_")

    assert store.database.transact(compare) == []


def test_an_older_store_is_upgraded_on_request_and_keeps_what_it_holds(
    store: Store, register: Register, agent: Agent
) -> None:
    name = register()
    downgrade(store, "0001")
    with pytest.raises(StoreError, match=r"tables of version 0001, this ablate needs .* `ablate storage upgrade`"):
        store.create_schema()
    assert store.upgrade_schema() == ("0001", migration.HEAD)
    assert store.upgrade_schema() == (migration.HEAD, migration.HEAD)
    store.create_schema()
    assert store.claim(name, agent) is not None
    assert store.reconcile(name).n_mirrored == 1


def test_a_newer_store_is_refused(store: Store) -> None:
    set_version(store, "9999")
    for act in (store.create_schema, store.upgrade_schema):
        with pytest.raises(StoreError, match="version 9999 are newer than this ablate"):
            act()


def test_upgrading_an_empty_database_creates_everything(empty_url: str) -> None:
    store = Store(empty_url)
    assert store.upgrade_schema() == (None, migration.HEAD)
    assert store.studies() == []
    store.disconnect()
