"""Where a database is, and how to connect to it: the only place that knows a password and the driver's own words."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qsl, quote, unquote, urlencode

import psycopg
from psycopg.conninfo import make_conninfo

from ablate.errors import StoreError

_EXPECTED = "expected postgresql://user@host:port/database"
_SCHEMES = ("postgres", "postgresql", "postgresql+psycopg")
_FORM = re.compile(
    # a password ends at the last @ before the path, so that one within it is no part of the host
    r"(?P<scheme>[\w+]+)://(?:(?P<user>[^:/@?]*)(?::(?P<password>[^/?]*))?@)?(?P<hosts>[^@/?]*)"
    r"(?:/(?P<database>[^?]*))?(?:\?(?P<query>.*))?",
    re.DOTALL,
)
_SECRETS = ("password", "sslpassword", "passfile")
_WORDS = {
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "target_session_attrs": ("any", "read-write", "read-only", "primary", "standby", "prefer-standby"),
}
_CONNECTION = {
    "connect_timeout": "5",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",  # a peer that vanished without a word is noticed in half a minute, not in hours
}
# What our statements and Optuna's take for granted, whatever the database, the role or the environment say
_SESSION = (
    "SET datestyle = 'ISO, MDY'; SET timezone = 'UTC'; SET intervalstyle = 'postgres'; SET bytea_output = 'hex'; "
    "SET standard_conforming_strings = on; SET extra_float_digits = 1"
)


@dataclass(frozen=True)
class Address:
    """A database; what is printed of it holds no secret.

    Attributes:
        parameters: as libpq calls them: host, port, user, password, dbname, sslmode, ...
        prepare_threshold: uses of a statement before the server keeps it; None never, as some poolers need it.
    """

    parameters: Mapping[str, str] = field(repr=False)
    prepare_threshold: int | None = 5

    @classmethod
    def parse(cls, text: str) -> Self:
        """The database that ``text`` names; several hosts are tried in turn, until one takes writes.

        Raises:
            StoreError: it is no address that can be used. The message holds no value of it: where an @ is forgotten
                or a password holds ? or @, no part of an address is safely something else than the password.
        """
        form = _FORM.fullmatch(text.strip())
        if form is None or "@" in (form["database"] or "") + (form["query"] or ""):
            hint = "; within a password, / ? @ and % are written %2F %3F %40 and %25" if "@" in text else ""
            raise StoreError(f"--storage: not a database address; {_EXPECTED}{hint}")
        if form["scheme"] not in _SCHEMES:
            raise StoreError(f"--storage: {form['scheme']} is not supported; {_EXPECTED}")
        query = _query(form["query"] or "")
        threshold = _threshold(query.pop("prepare_threshold", None))
        named = {"user": form["user"], "password": form["password"], "dbname": form["database"]}
        parameters = {key: unquote(value) for key, value in named.items() if value} | _hosts(form["hosts"]) | query
        if "," in parameters.get("host", ""):
            parameters.setdefault("target_session_attrs", "read-write")  # after a failover, the new primary
        _check(parameters)
        return cls(parameters, threshold)

    @property
    def shown(self) -> str:
        """For people's eyes: without any secret."""
        return self._url("postgresql", {key: value for key, value in self.parameters.items() if key not in _SECRETS})

    @property
    def url(self) -> str:
        """For programs, its password included where it has one."""
        return self._url("postgresql+psycopg", self.parameters)

    @property
    def database(self) -> str:
        """Name of the database."""
        return self.parameters.get("dbname") or self.parameters.get("user", "")

    @property
    def passfile(self) -> Path | None:
        """File of the password, where the address names one."""
        named = self.parameters.get("passfile")
        return None if named is None else Path(named)

    @property
    def hosts(self) -> list[str]:
        """Names, addresses or folders of sockets; none where libpq chooses."""
        return [host for host in self.parameters.get("host", "").split(",") if host]

    def without_password(self) -> tuple[Self, str | None]:
        """The same for files and process lists, and its password, if it has one."""
        plain = {key: value for key, value in self.parameters.items() if key != "password"}
        return replace(self, parameters=plain), self.parameters.get("password")

    def as_role(self, role: str, *, passfile: Path) -> Self:
        """The same database under another role, whose password lies in ``passfile``; nothing is left of ours."""
        plain = {key: value for key, value in self.parameters.items() if key not in _SECRETS}
        return replace(self, parameters=plain | {"user": role, "passfile": str(passfile)})

    def connect(self, *, application_name: str) -> psycopg.Connection[Any]:
        """A connection in the session settings that we take for granted.

        Raises:
            psycopg.Error: there is none now, or none at all; ``Database`` says which.
        """
        own = {"client_encoding": "utf8", "application_name": application_name, **_CONNECTION}
        text = make_conninfo(**{**own, **self.parameters})
        connection = psycopg.connect(text, prepare_threshold=self.prepare_threshold, autocommit=True)
        try:
            connection.execute(_SESSION)
            connection.autocommit = False
        except BaseException:
            connection.close()
            raise
        return connection

    def _url(self, scheme: str, parameters: Mapping[str, str]) -> str:
        rest = dict(parameters)
        user, password = (quote(rest.pop(key, ""), safe="") for key in ("user", "password"))
        login = f"{user}{':' if password else ''}{password}@" if user else ""
        hosts, ports = rest.pop("host", "").split(","), rest.pop("port", "").split(",")
        ports += [""] * (len(hosts) - len(ports))
        places = ",".join(_place(host, port) for host, port in zip(hosts, ports, strict=True))
        if self.prepare_threshold != Address.prepare_threshold:
            rest["prepare_threshold"] = "none" if self.prepare_threshold is None else str(self.prepare_threshold)
        database = quote(rest.pop("dbname", ""))
        return f"{scheme}://{login}{places}/{database}{'?' if rest else ''}{urlencode(rest, quote_via=quote)}"


def _query(text: str) -> dict[str, str]:
    if any("=" not in part for part in filter(None, text.split("&"))):
        raise StoreError("--storage: a parameter after ? has no value; expected key=value, several with & between them")
    return dict(parse_qsl(text, keep_blank_values=True))


def _threshold(given: str | None) -> int | None:
    if given is None:
        return Address.prepare_threshold
    if given != "none" and not given.isdigit():
        raise StoreError("--storage: prepare_threshold: expected none or a whole number")
    return None if given == "none" else int(given)


def _hosts(text: str) -> dict[str, str]:
    """Host and port as libpq wants several: lists with a comma."""
    if not text:
        return {}
    hosts, ports = [], []
    for place in text.split(","):
        form = re.fullmatch(r"(\[[^\]]+\]|[^:]*)(?::(.*))?", place)
        if form is None:
            raise StoreError(f"--storage: holds no host and port; {_EXPECTED}")
        hosts.append(unquote(form[1]).strip("[]"))
        ports.append(form[2] or "")
    return {"host": ",".join(hosts)} | ({"port": ",".join(ports)} if any(ports) else {})


def _place(host: str, port: str) -> str:
    shown = f"[{host}]" if ":" in host else quote(host, safe="")
    return f"{shown}:{port}" if port else shown


def _check(parameters: Mapping[str, str]) -> None:
    """Find now what would otherwise look like an outage."""
    for port in filter(None, parameters.get("port", "").split(",")):
        if not (port.isdigit() and 1 <= int(port) <= 65535):
            raise StoreError(f"--storage: port: expected a number from 1 to 65535; {_EXPECTED}")
    for key, words in _WORDS.items():
        if key in parameters and parameters[key] not in words:
            raise StoreError(f"--storage: {key}: expected one of {', '.join(words)}")
    try:
        make_conninfo(**dict(parameters))
    except psycopg.ProgrammingError as error:
        raise StoreError(f"--storage: {str(error).strip()}; see the parameters of libpq") from error
