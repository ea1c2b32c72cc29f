import json
import math

import psycopg
import pytest
import sqlalchemy as sa

from ablate.errors import StoreError
from ablate.store.database import Database, is_transient, to_json


def failure(kind: type[sa.exc.DBAPIError], original: Exception) -> sa.exc.DBAPIError:
    return kind("SELECT 1", {}, original)


@pytest.mark.parametrize(
    "original",
    [
        psycopg.OperationalError("connection failed: ... Connection refused"),
        psycopg.OperationalError("server closed the connection unexpectedly"),
        psycopg.errors.AdminShutdown("terminating connection due to administrator command"),
        psycopg.errors.CannotConnectNow("the database system is starting up"),
        psycopg.errors.SerializationFailure("could not serialize access"),
        psycopg.errors.DeadlockDetected("deadlock detected"),
        psycopg.errors.TooManyConnections("sorry, too many clients already"),
        psycopg.errors.IdleInTransactionSessionTimeout("terminating connection due to idle-in-transaction timeout"),
    ],
)
def test_what_is_tried_again(original: Exception) -> None:
    assert is_transient(failure(sa.exc.OperationalError, original))


@pytest.mark.parametrize(
    "original",
    [
        psycopg.OperationalError('FATAL:  password authentication failed for user "u"'),
        psycopg.OperationalError('FATAL:  database "d" does not exist'),
        psycopg.OperationalError("failed to resolve host 'h': [Errno -2] Name or service not known"),
        psycopg.OperationalError("fe_sendauth: no password supplied"),
        psycopg.errors.DiskFull("could not extend file: No space left on device"),
        psycopg.errors.UniqueViolation("duplicate key"),
        psycopg.errors.UndefinedTable("no such table"),
    ],
)
def test_what_is_not(original: Exception) -> None:
    assert not is_transient(failure(sa.exc.OperationalError, original))
    assert not is_transient(ValueError("a bug"))


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:geheim@h:5432/d",
        "postgres://u:geheim@h:5432/d",
        "postgresql+psycopg://u@h:5432/d?password=geheim",
        "postgresql://u@h:5432/d?sslmode=verify-full&sslpassword=geheim&passfile=/home/u/geheim",
    ],
)
def test_an_address_is_shown_without_secrets(url: str) -> None:
    database = Database(url)
    assert "geheim" not in database.shown
    assert database.shown.startswith("postgresql://u")
    assert database.shown.partition("?")[0].endswith("@h:5432/d")
    assert database.url.drivername == "postgresql+psycopg"


def test_options_of_the_address_reach_the_driver() -> None:
    database = Database("postgresql://u@h/d?sslmode=verify-full&connect_timeout=60&application_name=mine")
    _, options = database._engine.dialect.create_connect_args(database.url)
    assert options["sslmode"] == "verify-full"
    assert (options["connect_timeout"], options["application_name"]) == ("60", "mine")


@pytest.mark.parametrize("url", ["", "sqlite://", "postgresql+asyncpg://u:geheim@h/d", "postgresql://h:port/d"])
def test_an_address_that_cannot_be_used(url: str) -> None:
    with pytest.raises(StoreError, match="--storage") as caught:
        Database(url)
    assert "geheim" not in str(caught.value)


def test_prepared_statements_can_be_forbidden_for_a_pooler() -> None:
    connect_args: dict[str, object] = {}
    database = Database("postgresql://u@h/d?prepare_threshold=none")

    @sa.event.listens_for(database._engine, "do_connect")
    def note(_dialect: object, _record: object, _args: object, options: dict[str, object]) -> None:
        connect_args.update(options)
        raise psycopg.OperationalError("FATAL: no password supplied")

    with pytest.raises(StoreError):
        database.rows("SELECT 1")
    assert connect_args["prepare_threshold"] is None


def test_numbers_that_are_not_finite_become_null_and_others_keep_every_bit() -> None:
    value = {"a": [0.1 + 0.2, math.nan, (math.inf, 5e-324)], "b": {"c": -0.0, "d": 1e22}}
    text = to_json(value)
    assert json.loads(text) == {"a": [0.1 + 0.2, None, [None, 5e-324]], "b": {"c": -0.0, "d": 1e22}}
    assert isinstance(json.loads(text)["b"]["d"], float)
