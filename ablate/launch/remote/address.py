"""Addresses as other machines see them: a storage on localhost is somebody else's localhost there."""

import ipaddress
import os
import socket
from collections.abc import Iterable

import psutil

from ablate.errors import LaunchError, StoreError
from ablate.store.address import Address

PASSWORD = "PGPASSWORD"  # where libpq, and so every agent, looks for it  # noqa: S105


def own_addresses() -> frozenset[str]:
    """Every address and name of this machine."""
    addresses = {address.address.partition("%")[0] for each in psutil.net_if_addrs().values() for address in each}
    return frozenset(addresses | {"localhost", socket.gethostname(), socket.getfqdn()})


def others(hosts: Iterable[str]) -> list[str]:
    """Those of ``hosts``, names or addresses, that are not this machine."""
    own = own_addresses()
    return [host for host in hosts if host not in own and not _resolved(host) & own]


def require_reachable(storage: str, hosts: Iterable[str], *, what: str) -> None:
    """See that ``storage`` means the same database on every host.

    Args:
        storage: address of the store.
        hosts: where agents will work.
        what: a host is in the engine's words, such as "Ray node".

    Raises:
        LaunchError: the storage is on this machine's loopback, or a socket file, and some host is another machine.
    """
    far = others(hosts)
    host = storage_host(storage)
    if far and (host is None or is_loopback(host)):
        raise LaunchError(
            f"--storage {host or 'a socket file'}: means another machine on {what} {far[0]}, and the managed Postgres "
            "listens on this machine only; give a Postgres that all of them reach: --storage postgresql://user@host/database"
        )


def storage_host(storage: str) -> str | None:
    """Name or address of the database's machine; None for a socket file.

    Raises:
        LaunchError: it is not an address.
    """
    try:
        hosts = Address.parse(storage).hosts
    except StoreError as error:
        raise LaunchError(str(error)) from error
    name = hosts[0] if hosts else os.environ.get("PGHOST") or ""
    return None if not name or name.startswith("/") else name


def is_loopback(host: str) -> bool:
    """Whether ``host`` can only be reached from the machine that says it."""
    addresses = _resolved(host)
    return bool(addresses) and all(ipaddress.ip_address(address).is_loopback for address in addresses)


def without_password(storage: str) -> tuple[str, dict[str, str]]:
    """``storage`` fit for files and process lists, and the environment that brings its password to an agent."""
    plain, own = Address.parse(storage).without_password()
    password = own or os.environ.get(PASSWORD)
    return plain.url, {PASSWORD: password} if password else {}


def _resolved(host: str) -> frozenset[str]:
    try:
        return frozenset(str(each[4][0]).partition("%")[0] for each in socket.getaddrinfo(host, None))
    except OSError:
        return frozenset()
