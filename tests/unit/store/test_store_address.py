from pathlib import Path

import pytest

from ablate.errors import StoreError
from ablate.store.address import Address


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://u:geheim@h:5432/d",
        "postgres://u:geheim@h:5432/d",
        "postgresql://u:pa@geheim@h:5432/d",
        "postgresql://u:%40geheim%2F@h:5432/d",
        "postgresql+psycopg://u@h:5432/d?password=geheim",
        "postgresql://u@h:5432/d?sslmode=verify-full&sslpassword=geheim&passfile=/home/u/geheim",
    ],
)
def test_an_address_is_shown_without_secrets_and_gives_them_to_programs(text: str) -> None:
    address = Address.parse(text)
    assert "geheim" not in address.shown + repr(address)
    assert address.shown.partition("?")[0] == "postgresql://u@h:5432/d"
    assert Address.parse(address.url) == address


def test_a_password_may_hold_anything() -> None:
    for password in ("a@b", "a:b", "p%C3%A4ss%20w%25rt", "@", "a%2Fb%3Fc%23"):
        address = Address.parse(f"postgresql://u:{password}@h/d")
        assert address.hosts == ["h"]
        assert Address.parse(address.url) == address
    assert Address.parse("postgresql://u:p%40ss%25@h/d").parameters["password"] == "p@ss%"


def test_another_role_keeps_nothing_of_ours() -> None:
    address = Address.parse("postgresql://writer:geheim@h/d?sslmode=require&passfile=/ours").as_role(
        "reader", passfile=Path("/theirs")
    )
    assert address.url == "postgresql+psycopg://reader@h/d?sslmode=require&passfile=%2Ftheirs"


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("postgresql://u@[::1]:5433/d", "::1", "5433"),
        ("postgresql://u@one:1,two:2/d", "one,two", "1,2"),
        ("postgresql://u@one,two/d", "one,two", None),
        ("postgresql:///d?host=/run/postgresql", "/run/postgresql", None),
        ("postgresql:///d?service=mine", None, None),
    ],
)
def test_every_form_of_host(text: str, host: str | None, port: str | None) -> None:
    address = Address.parse(text)
    assert (address.parameters.get("host"), address.parameters.get("port")) == (host, port)
    assert Address.parse(address.url) == address
    is_several = host is not None and "," in host
    assert address.parameters.get("target_session_attrs") == ("read-write" if is_several else None)


def test_statements_are_not_kept_where_a_pooler_asks_for_it() -> None:
    address = Address.parse("postgresql://u@h/d?prepare_threshold=none")
    assert address.prepare_threshold is None
    assert Address.parse(address.url) == address


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not a database address"),
        ("sqlite://", "sqlite is not supported"),
        ("postgresql+asyncpg://u:geheim@h/d", "not supported"),
        ("postgresql://u:geheim/@h/d", "written %2F"),
        ("postgresql://h:port/d", "port: expected a number from 1 to 65535"),
        ("postgresql://u:geheim@h:99999/d", "port: expected a number"),
        ("postgresql://u:geheim@h/d?sslmode=bad", "sslmode: expected one of disable"),
        ("postgresql://u@h/d?target_session_attrs=any-old", "target_session_attrs: expected one of"),
        ("postgresql://u:geheim@h/d?colour=red", 'invalid connection option "colour"'),
        ("postgresql://u@h/d?prepare_threshold=often", "expected none or a whole number"),
        # what an unencoded password does to the rest
        ("postgresql://u:geheim", "port: expected a number"),
        ("postgresql://u:geheim/d", "port: expected a number"),
        ("postgresql://u:1?geheim@h/d", "written %2F %3F %40"),
        ("postgresql://u:1?user=geheim@h/d", "written %2F %3F %40"),
        ("postgresql://u:ab?geheim/d", "has no value"),
        ("postgresql://u:a@b?geheim@h/d", "written %2F %3F %40"),
        ("postgresql://u:a@b:geheim/c@h/d", "written %2F %3F %40"),
        ("postgresql://u:a?sslmode=geheim", "port: expected"),
        ("postgresql://u?sslmode=geheim", "sslmode: expected one of"),
        ("postgresql://u?prepare_threshold=geheim", "expected none"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_at_once(text: str, said: str) -> None:
    with pytest.raises(StoreError, match="--storage") as caught:
        Address.parse(text)
    assert said in str(caught.value)
    assert "geheim" not in str(caught.value)
