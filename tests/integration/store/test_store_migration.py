from collections.abc import Callable

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from ablate.errors import StoreError
from ablate.store.schema import metadata
from ablate.store.schema_version import HEAD, VERSION_TABLE
from ablate.store.store import Store

Register = Callable[..., str]


def set_version(store: Store, version: str) -> None:
    store.database.rows(f"UPDATE {VERSION_TABLE} SET version_num = :version", version=version)


def test_the_migrations_lead_to_the_schema(store: Store) -> None:
    def compare(connection: sa.Connection) -> list[object]:
        options = {"version_table": VERSION_TABLE, "include_name": is_ours, "compare_server_default": True}
        return compare_metadata(MigrationContext.configure(connection, opts=options), metadata)

    def is_ours(name: str | None, kind: str, _: object) -> bool:
        return kind != "table" or str(name).startswith("ablate_")

    assert store.database.transact(compare) == []


def test_an_older_store_is_refused_with_a_remedy(store: Store) -> None:
    set_version(store, "0000")
    with pytest.raises(StoreError, match=r"tables of version 0000, this ablate needs .* `ablate storage upgrade`"):
        store.create_schema()


def test_a_newer_store_is_refused(store: Store) -> None:
    set_version(store, "9999")
    for act in (store.create_schema, store.upgrade_schema):
        with pytest.raises(StoreError, match="version 9999 are newer than this ablate"):
            act()


def test_upgrading_an_empty_database_creates_everything(empty_url: str) -> None:
    store = Store(empty_url)
    assert store.upgrade_schema() == (None, HEAD)
    assert store.upgrade_schema() == (HEAD, HEAD)
    store.create_schema()
    assert store.studies() == []
    store.disconnect()
