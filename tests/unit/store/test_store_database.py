import json
import math

import psycopg
import pytest
import sqlalchemy as sa

from ablate.store.database import is_transient, to_json


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
        psycopg.OperationalError('invalid sslmode value: "bad"'),
        psycopg.errors.DiskFull("could not extend file: No space left on device"),
        psycopg.errors.UniqueViolation("duplicate key"),
        psycopg.errors.UndefinedTable("no such table"),
    ],
)
def test_what_is_not(original: Exception) -> None:
    assert not is_transient(failure(sa.exc.OperationalError, original))
    assert not is_transient(ValueError("a bug"))


def test_numbers_that_are_not_finite_become_null_and_others_keep_every_bit() -> None:
    value = {"a": [0.1 + 0.2, math.nan, (math.inf, 5e-324)], "b": {"c": -0.0, "d": 1e22}}
    text = to_json(value)
    assert json.loads(text) == {"a": [0.1 + 0.2, None, [None, 5e-324]], "b": {"c": -0.0, "d": 1e22}}
    assert isinstance(json.loads(text)["b"]["d"], float)
