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
from sqlalchemy.engine import URL, Connection, Engine, Row, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import ConnectionPoolEntry

from ablate.errors import ForeignStore, StoreError, StoreUnavailable

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

T = TypeVar("T")
Values = dict[str, Any]

PATIENCE_S = 30.0
_REST_S = 2.0
# Connection, serialisation and deadlock, too few resources, operator's intervention
_TRANSIENT_CLASSES = ("08", "40", "53", "57")
_FROZEN = "25P03"  # we were stopped in the middle of a transaction, and the server gave up on us
_NO_TABLE = ("42P01", "3F000")  # no such table, no such schema
_FULL, _NO_RIGHT = "53100", ("42501", "25006")
_CONNECTION = {
    "connect_timeout": 5,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,  # a peer that vanished without a word is noticed in half a minute, not in hours
}
_REFUSALS = re.compile(
    r"password authentication failed|no password supplied|authentication failed|database \"[^\"]*\" does not exist"
    r"|role \"[^\"]*\" does not exist|no pg_hba\.conf entry|failed to resolve host|could not translate host name"
    r"|permission denied for database|is not permitted to log in|SSL.*(required|not support)|certificate",
    re.IGNORECASE,
)


class Database:
    """A Postgres database that may be away for a while.

    At most three connections, and one when at rest; ``disconnect`` closes that one too.
    """

    def __init__(self, url: str, *, patience_s: float = PATIENCE_S, application_name: str = "ablate") -> None:
        self.url = _parse(url)
        self.patience_s = patience_s
        self._engine = _engine(self.url, application_name)
        self._lone = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        self._statements: dict[str, sa.TextClause] = {}
        self.studies: dict[str, str] = {}  # identifiers by name, of those that were worked with
        self._closing = weakref.finalize(self, self._engine.dispose)  # a forgotten store leaves no connection behind

    @property
    def shown(self) -> str:
        """Address fit for people's eyes: no password."""
        plain = self.url.set(drivername="postgresql")
        return str(plain.difference_update_query(["password", "sslpassword", "passfile"]))

    def optuna_storage(self, *, create: bool = False) -> "RDBStorage":
        """Optuna's storage over connections of its own; the caller disposes of its engine.

        Args:
            create: Optuna's tables where there are none.
        """
        from optuna.storages import RDBStorage  # noqa: PLC0415 - takes a second to import

        plain, arguments = _opening(self.url)
        settings = {"pool_size": 1, "max_overflow": 2, "pool_pre_ping": True, "connect_args": arguments}
        return RDBStorage(
            plain.render_as_string(hide_password=False),
            engine_kwargs=settings,
            skip_compatibility_check=not create,
            skip_table_creation=not create,
        )

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

        return self._retried(attempt)

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

        return self._retried(attempt)

    def disconnect(self) -> None:
        """Close the resting connections; the next call opens one again."""
        self._engine.dispose()

    def _text(self, statement: str) -> sa.TextClause:
        known = self._statements.get(statement)
        if known is None:
            known = self._statements[statement] = sa.text(statement)
        return known

    def _retried(self, attempt: Callable[[], T]) -> T:
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
        if sqlstate in _NO_TABLE and self.studies:
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
        return json.dumps(_finite(value), allow_nan=False, separators=(",", ":"))


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise StoreError("--storage: not a database address; expected postgresql://user@host:port/database") from error
    if parsed.drivername not in ("postgres", "postgresql", "postgresql+psycopg"):
        raise StoreError(
            f"--storage: {parsed.drivername} is not supported; expected postgresql://user@host:port/database"
        )
    return parsed.set(drivername="postgresql+psycopg")


def _engine(url: URL, application_name: str) -> Engine:
    plain, arguments = _opening(url)
    settings = {"application_name": application_name, **_CONNECTION, **arguments}
    engine = sa.create_engine(
        plain,
        pool_size=1,  # the agent's own connection, a second for its lease, a third for whoever mirrors
        max_overflow=2,
        pool_timeout=10,
        connect_args={key: value for key, value in settings.items() if key not in plain.query},
    )
    _ping_when_rested(engine)
    return engine


def _opening(url: URL) -> tuple[URL, Values]:
    """Address, and the driver's arguments that an address cannot hold: those that are no text."""
    threshold = url.query.get("prepare_threshold")  # "none" for poolers that know no prepared statements
    if threshold is None:
        return url, {}
    arguments = {"prepare_threshold": None if threshold == "none" else int(str(threshold))}
    return url.difference_update_query(["prepare_threshold"]), arguments


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
