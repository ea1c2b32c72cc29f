"""Which version of the tables a database holds, and whether this ablate may use them."""

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from ablate.errors import StoreError
from ablate.store.database import Database

HEAD = "0002"
VERSION_TABLE = "ablate_version"


def current(connection: Connection) -> str | None:
    """Version of the tables in the database, None when it holds none."""
    if connection.scalar(sa.text("SELECT to_regclass(:name)"), {"name": VERSION_TABLE}) is None:
        return None
    version: str | None = connection.scalar(sa.text(f"SELECT version_num FROM {VERSION_TABLE}"))  # noqa: S608
    return version


def check(database: Database, version: str | None) -> None:
    """Refuse tables of another version.

    Raises:
        StoreError: older, newer or missing tables.
    """
    if version is None:
        raise StoreError(f"storage {database.shown}: holds no tables of ablate; `ablate run` creates them")
    where = f"storage {database.shown}: tables of version {version}"
    if version < HEAD:
        raise StoreError(f"{where}, this ablate needs {HEAD}; `ablate storage upgrade` brings them there")
    if version > HEAD:
        raise StoreError(f"{where} are newer than this ablate ({HEAD}); install a newer ablate")
