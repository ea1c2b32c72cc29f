from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from small_study import CONFIRM, SEARCH

import ablate.store
from ablate.errors import StoreError
from ablate.store.optuna_studies import optuna_storage
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


def migrated_to(store: Store, version: str) -> None:
    """Tables as an earlier version of ablate left them, beside Optuna's."""
    store.database.optuna_storage(create=True).engine.dispose()
    settings = Config()
    settings.set_main_option("script_location", str(Path(ablate.store.__file__).parent / "migrations"))

    def migrate(connection: sa.Connection) -> None:
        settings.attributes["connection"] = connection
        command.upgrade(settings, version)

    store.database.transact(migrate)


def test_a_study_of_the_first_tables_goes_on_with_optuna_studies_of_its_own(empty_url: str) -> None:
    store = Store(empty_url)
    migrated_to(store, "0001")
    store.database.rows(
        "INSERT INTO ablate_study (id, name, spec, spec_digest, metric_names, distributions, max_attempts) "
        """VALUES ('old', 's', '{"question": "why?"}', 'digest', '["val_auroc"]', '{}', 3)"""
    )
    store.database.rows(
        "INSERT INTO ablate_slot (study_id, ordinal, key, phase, arm, context, search, index, generation, chain,"
        " priority, seed, params, state, token, trial_id) "
        """VALUES ('old', 0, 'search/ft/0', 'search', 'ft', '{"data_fraction": 0.1}', 0, 0, 0, 'ft', 0, 1, '{}',"""
        " 'failed', 1, 1)"
    )
    with optuna_storage(store.database) as storage:
        optuna.create_study(storage=storage, study_name="s").set_user_attr("ablate_study", "old")
        optuna.create_study(storage=storage, study_name="theirs")
        store.database.rows("UPDATE ablate_study SET optuna_study_id = 1")
        with pytest.raises(StoreError, match="`ablate storage upgrade` brings them there"):
            store.mirror("s")
        assert store.upgrade_schema() == ("0001", HEAD)
        assert store.mirror("s") == 1
        assert set(optuna.get_all_study_names(storage)) == {"theirs", "s" + SEARCH, "s" + CONFIRM}
        [trial] = optuna.load_study(study_name="s" + SEARCH, storage=storage).trials
        assert trial.user_attrs["slot"] == "search/ft/0"
        assert store.mirror("s") == 0
        store.delete("s")
        assert optuna.get_all_study_names(storage) == ["theirs"]
    store.disconnect()


def test_upgrading_an_empty_database_creates_everything(empty_url: str) -> None:
    store = Store(empty_url)
    assert store.upgrade_schema() == (None, HEAD)
    assert store.upgrade_schema() == (HEAD, HEAD)
    store.create_schema()
    assert store.studies() == []
    store.disconnect()
