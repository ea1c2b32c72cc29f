"""Access to Postgres: few connections, every call retried through outages, errors mapped into our own tree."""

import json
import math
import re
import time
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeVar

import psycopg
import sqlalchemy as sa
import tenacity
from sqlalchemy.engine import Connection, Engine, Row
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

from ablate.document import finite
from ablate.errors import ForeignStore, StoreError, StoreUnavailable
from ablate.store.address import Address

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

# Ours and Optuna's, with the sequences that number their rows; what others keep beside them is theirs
_OUR_RELATIONS = "^(ablate_(?!version)|studies|study_|trials|trial_)[a-z_]*$"
_RIGHTS = """
WITH right_to AS (
    SELECT CASE WHEN c.relkind = 'S' THEN has_sequence_privilege(c.oid, 'USAGE')
           ELSE has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')
                AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE') END AS write,
           c.relkind <> 'S' AND has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE') AS change
    FROM pg_class c
    WHERE c.relkind IN ('r', 'p', 'S') AND c.relname ~ :ours
      AND c.relnamespace = (SELECT o.relnamespace FROM pg_class o WHERE o.oid = CAST('ablate_study' AS regclass))
), server AS (SELECT current_setting('transaction_read_only') = 'off' AND NOT pg_is_in_recovery() AS takes_changes)
SELECT takes_changes AND (SELECT bool_and(write) FROM right_to) AS may_write,
       takes_changes AND (SELECT bool_or(change) FROM right_to) AS may_change
FROM server
"""

T = TypeVar("T")
Values = dict[str, Any]

PATIENCE_S = 30.0
_REST_S = 2.0
# Connection, serialisation and deadlock, too few resources, operator's intervention
_TRANSIENT_CLASSES = ("08", "40", "53", "57")
_FROZEN = "25P03"  # we were stopped in the middle of a transaction, and the server gave up on us
_NO_TABLE = ("42P01", "3F000")  # no such table, no such schema
_NO_STATEMENT = ("26000", "42P05")
# Values that it cannot hold, what it cannot do, credentials, no such database, its limits, its own state, its files,
# itself
_SERVER_CLASSES = ("22", "0A", "28", "3D", "54", "55", "58", "F0", "XX")
_NO_DATABASE = re.compile(r"database \"[^\"]*\" does not exist")
_FULL, _NO_RIGHT = "53100", ("42501", "25006")
_REFUSALS = re.compile(
    r"password authentication failed|no password supplied|authentication failed|database \"[^\"]*\" does not exist"
    r"|role \"[^\"]*\" does not exist|no pg_hba\.conf entry|failed to resolve host|could not translate host name"
    r"|invalid .*value|invalid port|invalid connection option|root certificate|definition of service"
    r"|permission denied for database|is not permitted to log in|SSL.*(required|not support)|certificate",
    re.IGNORECASE,
)


class Database:
    """A Postgres database that may be away for a while.

    At most three connections, and one when at rest; ``disconnect`` closes that one too.
    """

    def __init__(self, url: str, *, patience_s: float = PATIENCE_S, application_name: str = "ablate") -> None:
        self.address = Address.parse(url)
        self.patience_s = patience_s
        # The agent's own connection, a second for its lease, a third for whoever mirrors
        self._engine = _engine(self.address, application_name, pool_size=1, max_overflow=2, pool_timeout=10)
        _ping_when_rested(self._engine)
        self._lone = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        self._statements: dict[str, sa.TextClause] = {}
        self.studies: dict[str, str] = {}  # identifiers by name, of those that were worked with
        self._closing = weakref.finalize(self, self._engine.dispose)  # a forgotten store leaves no connection behind

    @property
    def shown(self) -> str:
        """Address fit for people's eyes: no password."""
        return self.address.shown

    def optuna_storage(self, *, create: bool = False) -> "RDBStorage":
        """Optuna's storage over connections of its own; the caller disposes of its engine.

        Args:
            create: Optuna's tables where there are none.
        """
        from optuna.storages import RDBStorage  # noqa: PLC0415 - takes a second to import

        def connect() -> psycopg.Connection[Any]:
            return self.address.connect(application_name="ablate optuna")

        kept: Values = {"pool_size": 1, "max_overflow": 2, "pool_pre_ping": True}
        once: Values = {"poolclass": NullPool}  # its constructor may fail, and would leave connections behind
        return RDBStorage(
            "postgresql+psycopg://",  # Optuna keeps it, so it holds nothing
            engine_kwargs={"creator": connect, **(once if create else kept)},
            skip_compatibility_check=not create,
            skip_table_creation=not create,
        )

    def may_write(self) -> bool:
        """Whether this user may change all that the store holds, Optuna's tables too, and the server takes changes."""
        return bool(self.rows(_RIGHTS, ours=_OUR_RELATIONS)[0].may_write)

    def may_change(self) -> bool:
        """Whether this user may change any of it."""
        return bool(self.rows(_RIGHTS, ours=_OUR_RELATIONS)[0].may_change)

    def foreign(self) -> ForeignStore:
        """The error where the studies that were worked with are not there any more."""
        ours = ", ".join(f"{name} ({study_id})" for name, study_id in self.studies.items())
        return ForeignStore(
            f"storage {self.shown}: is not the store that this process belongs to, which holds study {ours}; "
            "nothing was told to it, and what could not be told is kept until that store is back"
        )

    def patient(self, patience_s: float) -> Self:
        """The same connections with another patience."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other.patience_s = patience_s
        return other

    def transact(self, work: Callable[[Connection], T]) -> T:
        """Do ``work`` in one transaction; it may be called again after an outage, so it must bear that.

        Raises:
            StoreUnavailable: no answer within the patience.
            StoreError: the database refuses.
        """

        def attempt() -> T:
            with self._engine.begin() as connection:
                return work(connection)

        return self.retried(attempt)

    def rows(self, statement: str, **values: Any) -> Sequence[Row[Any]]:
        """Rows of one statement, which is a transaction of its own and may be sent again after an outage.

        Raises:
            StoreUnavailable: no answer within the patience.
            StoreError: the database refuses.
        """

        def attempt() -> Sequence[Row[Any]]:
            with self._lone.connect() as connection:
                result = connection.execute(self._text(statement), values)
                return result.all() if result.returns_rows else ()

        return self.retried(attempt)

    def note(self, statement: str, **values: Any) -> None:
        """One statement that stands whatever becomes of the caller's transaction; its connection is closed at once."""
        engine = _engine(self.address, "ablate note", poolclass=NullPool)
        with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            connection.execute(self._text(statement), values)

    def disconnect(self) -> None:
        """Close the resting connections; the next call opens one again."""
        self._engine.dispose()

    def _text(self, statement: str) -> sa.TextClause:
        clause = self._statements.get(statement)
        if clause is None:
            clause = self._statements[statement] = sa.text(statement)
        return clause

    def retried(self, attempt: Callable[[], T]) -> T:
        """Call ``attempt``, again and again through an outage; the driver's errors become ours.

        Raises:
            StoreUnavailable: no answer within the patience.
            StoreError: the database refuses.
        """
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(is_transient),
            wait=tenacity.wait_random_exponential(multiplier=0.1, max=5),
            stop=tenacity.stop_after_delay(self.patience_s),
            reraise=True,
        )
        try:
            return retrying(attempt)
        except (DBAPIError, PoolTimeout) as error:
            self._raise(error)

    def _raise(self, error: DBAPIError | PoolTimeout) -> NoReturn:
        said = _first_line(error)
        if is_transient(error):
            remedy = "is it running? `ablate storage status` or check --storage"
            raise StoreUnavailable(
                f"storage {self.shown}: no answer within {self.patience_s:g} s ({said}); {remedy}"
            ) from error
        sqlstate = getattr(error.orig, "sqlstate", None) if isinstance(error, DBAPIError) else None
        is_gone = sqlstate in _NO_TABLE or _NO_DATABASE.search(said)
        if is_gone and self.studies:  # a connection that is refused has no code of its own
            raise self.foreign() from error
        if sqlstate in _NO_TABLE:
            raise StoreError(f"storage {self.shown}: holds no tables of ablate; `ablate run` creates them") from error
        if sqlstate in _NO_RIGHT:
            raise StoreError(f"storage {self.shown}: this user may not do that ({said}); give it the right") from error
        if sqlstate == _FULL:
            raise StoreError(f"storage {self.shown}: the disk of the database is full; free some space") from error
        if _REFUSALS.search(said):
            raise StoreError(
                f"storage {self.shown}: refused ({said}); check --storage, PGPASSWORD or ~/.pgpass"
            ) from error
        if sqlstate in _NO_STATEMENT:
            remedy = "a pooler stands before it that knows no prepared statements; add ?prepare_threshold=none"
            raise StoreError(f"storage {self.shown}: {said}; {remedy} to its address") from error
        if (sqlstate or "")[:2] in _SERVER_CLASSES or isinstance(error, sa.exc.DataError):
            raise StoreError(f"storage {self.shown}: the database says: {said}; see its log") from error
        raise error


def is_transient(error: BaseException) -> bool:
    """Whether the same call may succeed a little later: connection lost, restart, deadlock, too many clients."""
    if isinstance(error, PoolTimeout):
        return True
    if not isinstance(error, DBAPIError):
        return False
    sqlstate = getattr(error.orig, "sqlstate", None)
    if sqlstate is not None:
        is_passing = sqlstate[:2] in _TRANSIENT_CLASSES or sqlstate == _FROZEN
        return bool(is_passing and sqlstate != _FULL)  # a full disk does not empty itself
    if error.connection_invalidated:
        return True
    is_operational = isinstance(error, sa.exc.OperationalError | sa.exc.InterfaceError)
    return is_operational and not _REFUSALS.search(str(error.orig))


def to_json(value: Any) -> str:
    """JSON in which a number that is not finite is null, since JSON has no word for it."""
    try:
        return json.dumps(value, allow_nan=False, separators=(",", ":"))
    except ValueError:
        return json.dumps(finite(value), allow_nan=False, separators=(",", ":"))


def _engine(address: Address, application_name: str, **pooling: Any) -> Engine:
    return sa.create_engine(
        "postgresql+psycopg://",
        creator=lambda: address.connect(application_name=application_name),
        **pooling,
    )


def _ping_when_rested(engine: Engine) -> None:
    """Try a connection that rested before it is used, as ``pool_pre_ping`` does, but not between calls in a row.

    A ping before each call would double the number of transactions that the server sees.
    """

    @sa.event.listens_for(engine, "checkin")
    def note_use(_: Any, record: ConnectionPoolEntry) -> None:
        record.info["used_at"] = time.monotonic()

    @sa.event.listens_for(engine, "checkout")
    def ping(dbapi_connection: Any, record: ConnectionPoolEntry, _: Any) -> None:
        if time.monotonic() - record.info.get("used_at", math.inf) > _REST_S:
            try:
                engine.dialect.do_ping(dbapi_connection)
            except psycopg.Error as error:
                raise sa.exc.DisconnectionError from error  # the pool makes a new one


def _first_line(error: BaseException) -> str:
    lines = str(getattr(error, "orig", None) or error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
