"""Versions of the store's tables: created in an empty database, upgraded on request, refused when too new."""

from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from ablate.errors import StoreError
from ablate.store.access import StoreAccess
from ablate.store.database import Database
from ablate.store.schema_version import HEAD, check, current

_LOCK = 0x61626C61  # "abla": of everybody who creates or changes tables


class Schema(StoreAccess):
    """The tables as a whole."""

    def create_schema(self) -> None:
        """Create our tables and Optuna's unless they are there; any number of processes may do so at once.

        Raises:
            StoreError: the tables are of another version.
        """

        def work(connection: Connection) -> None:
            version = current(connection)
            if version is not None:
                return check(self.database, version)
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            if current(connection) is None:
                _create_optuna(self.database)
                _migrate(connection)
            return None

        self.database.transact(work)

    def upgrade_schema(self) -> tuple[str | None, str]:
        """Bring older tables to this version; gives the version before and after.

        Raises:
            StoreError: the tables are newer than this ablate.
        """

        def work(connection: Connection) -> str | None:
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            version = current(connection)
            if version is not None and version > HEAD:
                check(self.database, version)
            if version is None:
                _create_optuna(self.database)
            if version != HEAD:
                _migrate(connection)
            return version

        return self.database.transact(work), HEAD


def _migrate(connection: Connection) -> None:
    from alembic import command  # noqa: PLC0415 - slow to import, and tables seldom change
    from alembic.config import Config  # noqa: PLC0415

    settings = Config()
    settings.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    settings.attributes["connection"] = connection
    command.upgrade(settings, "head")


def _create_optuna(database: Database) -> None:
    """Optuna creates its tables over a connection of its own; our advisory lock keeps others from doing it at once."""
    from optuna.exceptions import StorageInternalError  # noqa: PLC0415 - imported when tables change

    try:
        database.optuna_storage(create=True).engine.dispose()
    except StorageInternalError as error:
        raise error.__cause__ or error from error  # the driver's, which says what it is
    except RuntimeError as error:
        remedy = "another version; `optuna storage upgrade --storage URL`, or use a database of its own"
        raise StoreError(f"storage {database.shown}: holds tables of Optuna in {remedy}") from error
