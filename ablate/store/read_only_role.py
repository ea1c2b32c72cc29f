"""A role that can only look: for dashboards, which have no users of their own and would let anybody delete a study."""

import secrets
import socket
from pathlib import Path

import psycopg
from psycopg import sql
from sqlalchemy.engine import Connection

from ablate import atomic, digest, settings
from ablate.errors import StoreError
from ablate.store.address import Address
from ablate.store.database import Database

_CREATE = "CREATE ROLE {role} LOGIN PASSWORD {verifier}"
_GRANTS = (
    "GRANT CONNECT ON DATABASE {database} TO {role}",
    "GRANT USAGE ON SCHEMA public TO {role}",
    "GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}",
    "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO {role}",
    "ALTER ROLE {role} SET default_transaction_read_only = on",
)


def read_only_url(database: Database) -> str:
    """Address under a role that has only SELECT, on Optuna's tables too; the role is made when it is not there.

    The password lies in a file of mode 0600 beside the store's own, or in ``ABLATE_HOME`` for a foreign store.

    Raises:
        StoreError: the store's user may not make roles.
    """
    passfile = _passfile(database.address)
    # Each place has a role of its own: one machine's new password must not lock another's dashboard out.
    role = f"ablate_reader_{digest.of_bytes(f'{socket.gethostname()}:{passfile}'.encode())[:8]}"
    passfile.parent.mkdir(parents=True, exist_ok=True)
    with atomic.lock(passfile):
        password = _kept_password(passfile) or secrets.token_urlsafe(24)
        atomic.write_text(passfile, f"*:*:*:{role}:{password}\n", mode=0o600)
        database.transact(lambda connection: _ensure_role(database, connection, role, password))
    return database.address.as_role(role, passfile=passfile).url


def _kept_password(passfile: Path) -> str | None:
    return passfile.read_text().strip().rpartition(":")[2] if passfile.exists() else None


def _ensure_role(database: Database, connection: Connection, role: str, password: str) -> None:
    """Make the role, or set its password and rights anew: whoever meddled with it, this is how it stands afterwards."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    # The password travels as a verifier only, so that no log of the server can show it.
    verifier = driver.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
    names = {
        "role": sql.Identifier(role),
        "database": sql.Identifier(database.address.database),
        "verifier": sql.Literal(verifier),
    }
    is_known = driver.execute("SELECT FROM pg_roles WHERE rolname = %s", [role]).fetchone() is not None
    try:
        for statement in ("ALTER ROLE {role} LOGIN PASSWORD {verifier}" if is_known else _CREATE, *_GRANTS):
            driver.execute(sql.SQL(statement).format(**names))
    except psycopg.errors.InsufficientPrivilege as error:
        raise StoreError(
            f"storage {database.shown}: its user may not make a read-only role ({str(error).splitlines()[0]}); "
            "have one made with SELECT only and pass its address, or allow writing with --write"
        ) from error


def _passfile(address: Address) -> Path:
    own = address.passfile
    if own is not None:
        return own.with_name(f"{own.name}-reader")
    place = digest.of_bytes(address.shown.encode())[: digest.SHORT]
    return settings.home() / "reader" / f"pgpass-{place}"
